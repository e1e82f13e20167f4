"""What a view is computed from: one stream, or several whose fields are mapped to its columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import expressions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def view_streams(view: pb.FeatureView) -> tuple[str, ...]:
    """Return the streams of a view, in declared order."""
    return tuple(source.stream for source in view.sources) or (view.stream,)


def mapped(source: pb.ViewSource, column: str) -> str:
    """Return the field, or the expression, that gives a column of the view."""
    return source.columns.get(column, column)


def given_field(source: pb.ViewSource, stream: pb.Stream, column: str) -> pb.Field | None:
    """Return a column's type and, if a field gives it, its resolution; None if it is not there."""
    text = mapped(source, column)
    for field in stream.fields:
        if field.name == text:
            return pb.Field(type=field.type, resolution=field.resolution)
    if column not in source.columns:
        return None
    checked = expressions.inspect(text, {field.name: field.type for field in stream.fields})
    return None if checked.message else pb.Field(type=checked.type)


def possible_columns(
    view: pb.FeatureView, streams: Mapping[str, pb.Stream]
) -> dict[str, list[pb.Field | None]]:
    """Return what each source gives for every name that at least one of them has as a column."""
    known = [(source, streams.get(source.stream)) for source in view.sources]
    names: dict[str, None] = {}
    for source, stream in known:
        names.update(dict.fromkeys(source.columns))
        names.update(dict.fromkeys(field.name for field in stream.fields) if stream else {})
    return {
        name: [given_field(source, stream, name) if stream else None for source, stream in known]
        for name in names
    }


def view_fields(view: pb.FeatureView, streams: Iterable[pb.Stream]) -> list[pb.Field]:
    """Return what a view may use: the fields of its stream, or what all its sources have.

    A column of sources has the resolution of the fields that give it; expressions have none.
    """
    by_name = {stream.name: stream for stream in streams}
    if not view.sources:
        return list(by_name[view.stream].fields) if view.stream in by_name else []
    fields = []
    for name, given in possible_columns(view, by_name).items():
        found = [one for one in given if one is not None]
        if len(found) == len(given) and len({one.type for one in found}) == 1:
            resolution = next((one.resolution for one in found if one.resolution), 0.0)
            fields.append(pb.Field(name=name, type=found[0].type, resolution=resolution))
    return fields


def columns_reading(view: pb.FeatureView, stream: str, field: str) -> set[str]:
    """Return the columns of a view that a field of one of its streams changes."""
    if not view.sources:
        return {field}
    found: set[str] = set()
    for source in view.sources:
        if source.stream == stream:
            same = set() if field in source.columns else {field}
            reads = {name for name, text in source.columns.items() if field in WORD.findall(text)}
            found |= same | reads
    return found
