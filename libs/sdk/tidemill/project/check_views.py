"""Checks feature views and on-demand features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import expressions
from tidemill.project.check_aggregations import check_aggregation, check_operands
from tidemill.project.check_view_sources import check_sources
from tidemill.project.naming import PAIRS, SEPARATOR, feature_names, longest_window_us
from tidemill.project.normalise import default_hop
from tidemill.project.rules import (
    Context,
    check_name,
    columns_of,
    is_resolution,
    positive,
    type_name,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HOPS: Final = 16
MAX_FEATURES: Final = 512


def check_view(context: Context, view: pb.FeatureView) -> None:
    """Check one view against its stream, or its sources."""
    report, path = context.report, f"views.{view.name}"
    check_name(report, path, view.name)
    if view.sources:
        stream = check_sources(context, view)
    else:
        stream = context.stream(f"{path}.stream", view.stream)
    if not view.entity:
        report.add(f"{path}.entity", "a view needs an entity", "entity: [<field>]")
    if not view.aggregations:
        report.add(f"{path}.aggregations", "a view needs at least one aggregation")
    if view.HasField("ttl"):
        positive(report, f"{path}.ttl", view.ttl.ToMicroseconds())
    scope = None if stream is None else _scope(context, path, view, stream)
    for index, aggregation in enumerate(view.aggregations):
        check_aggregation(context, f"{path}.aggregations[{index}]", aggregation, scope)
    _totals(context, path, view)
    check_operands(context, path, view)
    if stream is None or scope is None:
        return
    _entity(context, f"{path}.entity", view, stream)
    if view.filter:
        where, columns = f"{path}.filter", columns_of(scope)
        context.expression(where, view.filter, columns, what="the filter", gives="bool")


def _entity(context: Context, path: str, view: pb.FeatureView, stream: pb.Stream) -> None:
    for index, name in enumerate(view.entity):
        where = f"{path}[{index}]"
        found = context.field(where, stream, name)
        if found is not None and found.type in {pb.FIELD_TYPE_FLOAT64, pb.FIELD_TYPE_TIMESTAMP}:
            context.report.add(
                where, f"{name!r} is a {context.typed(found)}, which cannot be a key"
            )
        if name in view.entity[:index]:
            context.report.add(where, f"{name!r} stands here twice")


def _scope(context: Context, path: str, view: pb.FeatureView, stream: pb.Stream) -> pb.Stream:
    """Return the stream as the view's aggregations see it: with the columns of the view."""
    scope, columns = pb.Stream(), columns_of(stream)
    scope.CopyFrom(stream)
    for column in view.columns:
        where = f"{path}.columns.{column.name}"
        check_name(context.report, where, column.name)
        if column.name in columns:
            context.report.add(where, f"stream {stream.name!r} has a field of this name")
        if column.type == pb.FIELD_TYPE_UNSPECIFIED:
            context.report.add(f"{where}.type", "a column needs a type", "type: float64")
            continue
        if not column.expression:
            context.report.add(f"{where}.expression", "a column needs an expression")
        else:
            gives = type_name(column.type)
            what = "the column"
            context.expression(
                f"{where}.expression", column.expression, columns, what=what, gives=gives
            )
        is_resolution(context.report, where, column.resolution)
        scope.fields.add(name=column.name, type=column.type)
    return scope


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
        for one in view.aggregations
        if one.function not in PAIRS
        for window in one.windows
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
