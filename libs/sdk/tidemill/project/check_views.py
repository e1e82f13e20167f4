"""Checks feature views and on-demand features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import durations, expressions
from tidemill.project.normalise import (
    MAX_TILES,
    SEPARATOR,
    default_hop,
    feature_names,
    features,
    longest_window_us,
    prefix_of,
)
from tidemill.project.rules import Context, check_name, columns_of, in_range, positive

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT_FUNCTIONS: Final = frozenset({pb.FUNCTION_COUNT, pb.FUNCTION_DISTINCT})
MAX_DISTINCT: Final = 4096
MAX_HOPS: Final = 16
MAX_FEATURES: Final = 512


def check_view(context: Context, view: pb.FeatureView) -> None:
    """Check one view against its stream."""
    report, path = context.report, f"views.{view.name}"
    check_name(report, path, view.name)
    stream = context.stream(f"{path}.stream", view.stream)
    if not view.entity:
        report.add(f"{path}.entity", "a view needs an entity", "entity: [<field>]")
    if not view.aggregations:
        report.add(f"{path}.aggregations", "a view needs at least one aggregation")
    if view.HasField("ttl"):
        positive(report, f"{path}.ttl", view.ttl.ToMicroseconds())
    for index, aggregation in enumerate(view.aggregations):
        _aggregation(context, f"{path}.aggregations[{index}]", aggregation, stream)
    _totals(context, path, view)
    if stream is None:
        return
    for index, name in enumerate(view.entity):
        where = f"{path}.entity[{index}]"
        found = context.field(where, stream, name)
        if found is not None and found.type in {pb.FIELD_TYPE_FLOAT64, pb.FIELD_TYPE_TIMESTAMP}:
            report.add(where, f"{name!r} is a {context.typed(found)}, which cannot be a key")
    _filter(context, f"{path}.filter", view.filter, stream)


def _filter(context: Context, path: str, sql: str, stream: pb.Stream) -> None:
    if sql:
        context.expression(path, sql, columns_of(stream), what="the filter", gives="bool")


def _totals(context: Context, path: str, view: pb.FeatureView) -> None:
    """Check what the aggregations of a view share: names of features, hops, their number."""
    owners: dict[str, int] = {}
    for index, aggregation in enumerate(view.aggregations):
        for name in feature_names(pb.FeatureView(aggregations=[aggregation])):
            first = owners.setdefault(name, index)
            if first != index:
                message = f"feature {name!r} is also given by aggregations[{first}]"
                hint = "name: <prefix> makes them different"
                context.report.add(f"{path}.aggregations[{index}].name", message, hint)
    hops = {
        window.hop.ToMicroseconds() or default_hop(window.length.ToMicroseconds())
        for _, _, window in features(view)
        if window.HasField("length")
    }
    if len(hops) > MAX_HOPS:
        context.report.add(
            f"{path}.aggregations", f"{len(hops)} different hops, at most {MAX_HOPS}"
        )
    if len(owners) > MAX_FEATURES:
        message = f"{len(owners)} features, at most {MAX_FEATURES}"
        context.report.add(f"{path}.aggregations", message, "split the view")
    if view.HasField("ttl") and view.ttl.ToMicroseconds() > longest_window_us(view) > 0:
        hint = "values are kept for the longest window"
        context.report.add(f"{path}.ttl", "the ttl is longer than the longest window", hint)


def _aggregation(
    context: Context, path: str, aggregation: pb.Aggregation, stream: pb.Stream | None
) -> None:
    report = context.report
    if aggregation.function == pb.FUNCTION_UNSPECIFIED:
        report.add(f"{path}.function", "an aggregation needs a function", "for example mean")
        return
    function = pb.Function.Name(aggregation.function).removeprefix("FUNCTION_").lower()
    check_name(report, f"{path}.name", prefix_of(aggregation))
    if function == "count" and aggregation.field:
        hint = f"filter: {aggregation.field} IS NOT NULL"
        report.add(f"{path}.field", "count counts events and takes no field", hint)
    elif function != "count" and not aggregation.field:
        report.add(f"{path}.field", f"{function} needs a field")
    elif stream is not None and aggregation.field:
        found = context.field(f"{path}.field", stream, aggregation.field)
        if (
            found
            and found.type == pb.FIELD_TYPE_STRING
            and aggregation.function not in TEXT_FUNCTIONS
        ):
            message = f"{function} cannot take {aggregation.field!r}, which is a string"
            report.add(f"{path}.function", message, "count and distinct can")
    if stream is not None:
        _filter(context, f"{path}.filter", aggregation.filter, stream)
    if aggregation.distinct_bound and function != "distinct":
        report.add(f"{path}.distinct_bound", f"{function} has no bound", "only distinct has one")
    in_range(report, f"{path}.distinct_bound", aggregation.distinct_bound, 0, MAX_DISTINCT)
    if not aggregation.windows:
        report.add(
            f"{path}.windows", "an aggregation needs a window", "windows: [1h], or [lifetime]"
        )
    _windows(context, path, aggregation)


def _windows(context: Context, path: str, aggregation: pb.Aggregation) -> None:
    lengths: set[int] = set()
    for index, window in enumerate(aggregation.windows):
        where = f"{path}.windows[{index}]"
        length = window.length.ToMicroseconds() if window.HasField("length") else 0
        if length in lengths:
            context.report.add(where, "this window is declared twice")
        lengths.add(length)
        _window(context, where, window)


def _window(context: Context, path: str, window: pb.Window) -> None:
    report, hop = context.report, window.hop.ToMicroseconds()
    length = window.length.ToMicroseconds()
    if not window.HasField("length"):
        if window.HasField("hop"):
            report.add(f"{path}.hop", "a lifetime has no hop", "give the window a length")
    elif length <= 0:
        report.add(path, "a window must be longer than zero")
    elif not window.HasField("hop"):
        if default_hop(length) is None:
            text = durations.text_of(length)
            hint = "make it a multiple of 1s, 10s, 1m, 5m, 1h or 1d, or name a hop"
            report.add(path, f"{text} has no hop with at most {MAX_TILES} tiles", hint)
    elif hop <= 0:
        report.add(f"{path}.hop", "a hop must be longer than zero")
    elif length % hop:
        texts = durations.text_of(length), durations.text_of(hop)
        report.add(f"{path}.hop", f"the window {texts[0]} is not a multiple of its hop {texts[1]}")
    elif length // hop > MAX_TILES:
        message = f"{length // hop} tiles in a window, at most {MAX_TILES}"
        report.add(
            f"{path}.hop", message, f"a hop of {durations.text_of(-(-length // MAX_TILES))} or more"
        )


def check_on_demand(context: Context) -> None:
    """Check names, cycles and columns; how columns map to entities is checked per model."""
    edges = {}
    for one in context.on_demand.values():
        path = f"on_demand.{one.name}"
        check_name(context.report, path, one.name)
        if one.type == pb.FIELD_TYPE_UNSPECIFIED:
            context.report.add(f"{path}.type", "an on-demand feature needs a type")
        if not one.expression:
            context.report.add(f"{path}.expression", "an on-demand feature needs an expression")
            continue
        found = expressions.columns_of(one.expression)
        edges[one.name] = [name for name in found if name in context.on_demand]
    cycles = {name: cycle for name in sorted(edges) if (cycle := _cycle(name, edges))}
    for name, cycle in cycles.items():
        if name == min(cycle):
            text = " -> ".join(cycle)
            context.report.add(f"on_demand.{name}.expression", f"is computed from itself: {text}")
    _columns(context, skipped=set(cycles))


def _cycle(start: str, edges: Mapping[str, list[str]]) -> list[str]:
    """Return the shortest way from a name back to itself; empty if there is none."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for following in edges.get(way[-1], []):
            if following == start:
                return [*way, start]
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []


def _columns(context: Context, *, skipped: set[str]) -> None:
    """Let each expression see all it could ever use: any feature, alias and request field."""
    columns = {name: one.type for name, one in context.on_demand.items()}
    for view in context.project.views:
        columns |= feature_columns(view.name, view)
    spines = {model.spine.stream for model in context.project.models}
    known = spines <= context.streams.keys()  # else nobody can tell what a request carries
    for name in spines if spines and known else context.streams:
        columns |= columns_of(context.streams[name])
    for model in context.project.models:
        for item in model.inputs:
            view_named = context.views.get(item.feature.view)
            if view_named is not None and item.feature.alias:
                columns |= feature_columns(item.feature.alias, view_named)
    for name, one in context.on_demand.items():
        if one.expression and one.type and name not in skipped:
            path, others = f"on_demand.{name}.expression", dict(columns)
            del others[name]
            gives = pb.FieldType.Name(one.type).removeprefix("FIELD_TYPE_").lower()
            context.expression(path, one.expression, others, what="the expression", gives=gives)


def feature_columns(alias: str, view: pb.FeatureView) -> dict[str, pb.FieldType]:
    """Return the columns under which expressions know a view's features."""
    names = feature_names(view)
    return {f"{alias}{SEPARATOR}{name}": pb.FIELD_TYPE_FLOAT64 for name in names}
