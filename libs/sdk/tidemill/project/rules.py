"""Rules that every part of the check shares: names, ranges, fields, expressions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import expressions
from tidemill.project.problems import Report, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
FINEST: Final = 1e-30
COARSEST: Final = 1e30
PROJECT_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Context:
    """The project being checked, what it declares by name, and the report."""

    def __init__(self, project: pb.Project, report: Report) -> None:
        """Index the definitions; of two with one name the first counts."""
        self.project = project
        self.report = report
        self.streams = {stream.name: stream for stream in reversed(project.streams)}
        self.views = {view.name: view for view in reversed(project.views)}
        self.on_demand = {one.name: one for one in reversed(project.on_demand)}

    def names(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each section's path and the names in it."""
        yield "streams", [stream.name for stream in self.project.streams]
        yield "views", [view.name for view in self.project.views]
        yield "on_demand", [one.name for one in self.project.on_demand]
        yield "models", [model.name for model in self.project.models]
        for stream in self.project.streams:
            yield f"streams.{stream.name}.fields", [field.name for field in stream.fields]
        for view in self.project.views:
            yield f"views.{view.name}.columns", [column.name for column in view.columns]

    def stream(self, path: str, name: str) -> pb.Stream | None:
        """Find a stream, or report that there is none."""
        if not name:
            self.report.add(path, "a stream must be named", did_you_mean("", self.streams))
        elif name not in self.streams:
            self.report.add(path, f"no stream {name!r}", did_you_mean(name, self.streams))
        return self.streams.get(name)

    def field(self, path: str, stream: pb.Stream, name: str) -> pb.Field | None:
        """Find a field of a stream, or report that there is none."""
        known = {field.name: field for field in stream.fields}
        if name not in known:
            message = f"stream {stream.name!r} has no field {name!r}"
            self.report.add(path, message, did_you_mean(name, known))
        return known.get(name)

    @staticmethod
    def typed(field: pb.Field) -> str:
        """Name the type of a field."""
        return type_name(field.type)

    def expression(
        self, path: str, sql: str, columns: Mapping[str, pb.FieldType], *, what: str, gives: str
    ) -> expressions.Checked:
        """Check an expression's columns and result; `gives` is bool, number or a type."""
        checked = expressions.inspect(sql, columns)
        if checked.message:
            self.report.add(path, f"{what}: {checked.message}", checked.hint)
        elif not _fits(checked.type, gives):
            message = f"{what} gives a {type_name(checked.type)}, expected a {gives}"
            self.report.add(path, message, "use CAST(... AS ...) or a comparison")
        return checked


def _fits(kind: pb.FieldType, gives: str) -> bool:
    name = type_name(kind)
    if gives == "number":
        return name in {"bool", "int64", "float64"}
    return name == gives or (gives == "float64" and name == "int64")


def type_name(kind: pb.FieldType) -> str:
    """Return a type as users write it."""
    return pb.FieldType.Name(kind).removeprefix("FIELD_TYPE_").lower()


def columns_of(stream: pb.Stream) -> dict[str, pb.FieldType]:
    """Return the typed columns of a stream."""
    return {field.name: field.type for field in stream.fields}


def check_name(report: Report, path: str, name: str, *, dashes: bool = False) -> None:
    """Names become topics, columns and folders: they must be plain."""
    if not (PROJECT_NAME if dashes else NAME).fullmatch(name):
        pattern = "[a-z][a-z0-9-]*" if dashes else "[a-z][a-z0-9_]*"
        message = f"{name!r} does not match {pattern}" if name else "a name is missing"
        report.add(
            path,
            message,
            "at most 63 lower-case letters, digits and " + ("dashes" if dashes else "underscores"),
        )
    elif "__" in name:
        report.add(path, f"{name!r} holds two underscores", "they separate view and feature")


def positive(report: Report, path: str, value: float) -> None:
    """Report a number or span that is not above zero."""
    if value <= 0:
        report.add(
            path, "must be longer than zero" if isinstance(value, int) else "must be above 0"
        )


def in_range(
    report: Report, path: str, value: float, low: float, high: float, *, open_low: bool = False
) -> None:
    """Report a number outside of its range; `open_low` excludes the lower end."""
    if not low <= value <= high or (open_low and value == low):
        bracket = "above" if open_low else "from"
        report.add(path, f"{value:g} is out of range: {bracket} {low:g} to {high:g}")


def is_resolution(report: Report, path: str, value: float) -> bool:
    """Report a resolution that no value could have; 0 stands for the default."""
    if value and not FINEST <= value <= COARSEST:
        rule = "it is not positive" if value < 0 else f"from {FINEST:g} to {COARSEST:g}"
        report.add(f"{path}.resolution", f"{value:g} is out of range: {rule}")
        return False
    return True
