"""Checks the sources of a view: their streams, and that their events have the same columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import expressions
from tidemill.project.naming import PAIRS
from tidemill.project.normalise import DEFAULT_RESOLUTION
from tidemill.project.rules import check_name, columns_of, type_name
from tidemill.project.view_sources import possible_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.project.rules import Context

MAX_SOURCES: Final = 16


def check_sources(context: Context, view: pb.FeatureView) -> pb.Stream | None:
    """Check the sources of a view; return the columns that they have, as if of one stream."""
    report, path = context.report, f"views.{view.name}"
    if view.stream:
        report.add(f"{path}.stream", "a view has a stream or sources, not both")
    if len(view.sources) > MAX_SOURCES:
        report.add(f"{path}.sources", f"{len(view.sources)} sources, at most {MAX_SOURCES}")
    names = [source.stream for source in view.sources]
    streams = []
    for index, source in enumerate(view.sources):
        where = f"{path}.sources[{index}]"
        stream = context.stream(f"{where}.stream", source.stream)
        if stream is None:
            continue
        streams.append(stream)
        if names.index(source.stream) != index:
            first = f"sources[{names.index(source.stream)}]"
            report.add(f"{where}.stream", f"stream {stream.name!r} is also {first}")
        _source(context, where, source, stream)
    if len(streams) != len(view.sources):
        return None
    scope = pb.Stream(name=" + ".join(names))
    for name, given in possible_columns(view, context.streams).items():
        _column(context, view, name, given)
        kind = next((one.type for one in given if one is not None), None)
        if kind is not None:
            scope.fields.add(name=name, type=kind)
    return scope


def _source(context: Context, path: str, source: pb.ViewSource, stream: pb.Stream) -> None:
    """Check what one source says of itself."""
    columns = columns_of(stream)
    for name, text in source.columns.items():
        where = f"{path}.columns.{name}"
        check_name(context.report, where, name)
        if text not in columns and (mistake := expressions.inspect(text, columns)).message:
            context.report.add(where, f"the column: {mistake.message}", mistake.hint)
    if source.filter:
        where = f"{path}.filter"
        context.expression(where, source.filter, columns, what="the filter", gives="bool")


def _column(
    context: Context, view: pb.FeatureView, name: str, given: Sequence[pb.Field | None]
) -> None:
    """Check that every source has a column that the view uses, of one type and resolution."""
    is_mapped = any(name in source.columns for source in view.sources)
    if not is_mapped and name not in _used(view):
        return
    pairs = list(zip(view.sources, given, strict=True))
    first = next(((source, one) for source, one in pairs if one is not None), None)
    if first is None:
        return
    for index, (source, one) in enumerate(pairs):
        where = f"views.{view.name}.sources[{index}].columns.{name}"
        if one is None and name not in source.columns:
            message = f"stream {source.stream!r} has no field {name!r}, which {first[0].stream!r} "
            message += "maps" if name in first[0].columns else "has"
            hint = f"columns: {{{name}: <field or expression>}}"
            context.report.add(where, message, hint)
        elif one is not None and one.type != first[1].type:
            theirs = f"{type_name(first[1].type)} in {first[0].stream!r}"
            message = f"{name!r} is a {type_name(one.type)} here, but {theirs}"
            context.report.add(where, message, "use CAST(... AS ...)")
    _resolution(context, view, name, pairs)


def _resolution(
    context: Context,
    view: pb.FeatureView,
    name: str,
    pairs: Sequence[tuple[pb.ViewSource, pb.Field | None]],
) -> None:
    """Check that integers of one unit are added up; an expression takes that of the fields."""
    if all(aggregation.field != name for aggregation in view.aggregations):
        return
    first: tuple[str, float] | None = None
    for index, (source, one) in enumerate(pairs):
        if one is None or not _is_field(context, source, name):
            continue
        step = one.resolution or DEFAULT_RESOLUTION.get(one.type, 0.0)
        first = first or (source.stream, step)
        if step != first[1]:
            where = f"views.{view.name}.sources[{index}].columns.{name}"
            message = f"{name!r} has the resolution {step:g} here, but {first[1]:g} in {first[0]!r}"
            hint = "declare the same, or map it by an expression"
            context.report.add(where, message, hint)


def _is_field(context: Context, source: pb.ViewSource, name: str) -> bool:
    return source.columns.get(name, name) in columns_of(context.streams[source.stream])


def _used(view: pb.FeatureView) -> set[str]:
    """Return the names that a view uses, whether there are such columns or not."""
    own = [one for one in view.aggregations if one.function not in PAIRS]
    texts = [view.filter, *(one.filter for one in own), *(one.expression for one in view.columns)]
    found = {name for text in texts if text for name in expressions.columns_of(text)}
    found |= {one.field for one in own if one.field} | set(view.entity)
    return found - {column.name for column in view.columns}
