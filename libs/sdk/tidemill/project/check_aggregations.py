"""Checks the aggregations of feature views: operands, parameters, windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import durations
from tidemill.project.naming import (
    PAIRS,
    feature_names,
    features,
    features_of,
    function_name,
    prefix_of,
    quantile_name,
)
from tidemill.project.normalise import BOUNDED, DEFAULT_ERROR, MAX_TILES, default_hop
from tidemill.project.problems import did_you_mean
from tidemill.project.rules import Context, check_name, columns_of, in_range, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT_FUNCTIONS: Final = frozenset(
    {pb.FUNCTION_COUNT, pb.FUNCTION_DISTINCT, pb.FUNCTION_TIME_SINCE_LAST, pb.FUNCTION_TOP_K}
)
FIELDLESS: Final = frozenset({pb.FUNCTION_RATE, pb.FUNCTION_TIME_SINCE_LAST})
PLACES: Final = frozenset({pb.FUNCTION_LAST_K, pb.FUNCTION_TOP_K})
OWNERS: Final = {
    "distinct_bound": BOUNDED,
    "of": PAIRS,
    "half_life": frozenset({pb.FUNCTION_EWMA}),
    "edges": frozenset({pb.FUNCTION_HISTOGRAM}),
    "quantiles": frozenset({pb.FUNCTION_QUANTILE}),
    "error": frozenset({pb.FUNCTION_QUANTILE}),
    "k": PLACES,
    "gives": frozenset({pb.FUNCTION_TOP_K}),
}
"""Which functions have a parameter."""
MAX_DISTINCT: Final = 4096
MAX_EDGES: Final = 64
MAX_PLACES: Final = 32
MIN_ERROR: Final = 0.004


def check_aggregation(
    context: Context, path: str, aggregation: pb.Aggregation, stream: pb.Stream | None
) -> None:
    """Check one aggregation against its stream, whose fields include the view's columns."""
    report = context.report
    if aggregation.function == pb.FUNCTION_UNSPECIFIED:
        report.add(f"{path}.function", "an aggregation needs a function", "for example mean")
        return
    _owners(context, path, aggregation)
    if aggregation.function in PAIRS:
        _pair(context, path, aggregation)
        return
    check_name(report, f"{path}.name", prefix_of(aggregation))
    _field(context, path, aggregation, stream)
    if stream is not None and aggregation.filter:
        columns = columns_of(stream)
        context.expression(
            f"{path}.filter", aggregation.filter, columns, what="the filter", gives="bool"
        )
    _parameters(context, path, aggregation)
    _windows(context, path, aggregation)


def check_operands(context: Context, path: str, view: pb.FeatureView) -> None:
    """Check that ratios and differences are of features that the view has."""
    known = [one.name for one in features(view) if one.aggregation.function not in PAIRS]
    for index, aggregation in enumerate(view.aggregations):
        if aggregation.function not in PAIRS:
            continue
        where = f"{path}.aggregations[{index}].of"
        for name in (name for one in features_of(aggregation) for name in one.operands):
            if name not in known:
                pair = name in feature_names(view)
                what = "is a ratio or difference itself" if pair else "is no feature of the view"
                context.report.add(where, f"{name!r} {what}", did_you_mean(name, known))


def _owners(context: Context, path: str, aggregation: pb.Aggregation) -> None:
    for name, owners in OWNERS.items():
        given = getattr(aggregation, name)
        present = aggregation.HasField("half_life") if name == "half_life" else bool(given)
        if present and aggregation.function not in owners:
            whose = " and ".join(sorted(function_name(pb.Aggregation(function=f)) for f in owners))
            message = f"{function_name(aggregation)} has no {name}"
            context.report.add(f"{path}.{name}", message, f"only {whose} can have one")


def _pair(context: Context, path: str, aggregation: pb.Aggregation) -> None:
    report, function = context.report, function_name(aggregation)
    if not aggregation.name:
        report.add(f"{path}.name", f"a {function} needs a name")
    else:
        check_name(report, f"{path}.name", aggregation.name)
    for name in ("field", "filter"):
        if getattr(aggregation, name):
            report.add(f"{path}.{name}", f"a {function} has no {name}", "its two features have")
    if len(aggregation.of) != 2:
        report.add(f"{path}.of", f"a {function} is of two features", "of: [<feature>, <feature>]")


def _field(
    context: Context, path: str, aggregation: pb.Aggregation, stream: pb.Stream | None
) -> None:
    report, function = context.report, function_name(aggregation)
    if aggregation.function == pb.FUNCTION_COUNT and aggregation.field:
        hint = f"filter: {aggregation.field} IS NOT NULL"
        report.add(f"{path}.field", "count counts events and takes no field", hint)
    elif not aggregation.field:
        if aggregation.function not in FIELDLESS | {pb.FUNCTION_COUNT}:
            report.add(f"{path}.field", f"{function} needs a field")
    elif stream is not None:
        found = context.field(f"{path}.field", stream, aggregation.field)
        if found is None or found.type != pb.FIELD_TYPE_STRING:
            return
        if aggregation.function not in TEXT_FUNCTIONS:
            message = f"{function} cannot take {aggregation.field!r}, which is a string"
            report.add(f"{path}.function", message, "count and distinct can")
        elif aggregation.function == pb.FUNCTION_TOP_K and (
            not aggregation.gives or pb.GIVES_VALUE in aggregation.gives
        ):
            message = f"the value of {aggregation.field!r} is a string, which no feature holds"
            report.add(f"{path}.gives", message, "gives: [count, share]")


def _parameters(context: Context, path: str, aggregation: pb.Aggregation) -> None:
    report = context.report
    in_range(report, f"{path}.distinct_bound", aggregation.distinct_bound, 0, MAX_DISTINCT)
    if aggregation.function == pb.FUNCTION_EWMA:
        if not aggregation.HasField("half_life"):
            report.add(f"{path}.half_life", "an ewma needs a half-life", "half_life: 1h")
        else:
            positive(report, f"{path}.half_life", aggregation.half_life.ToMicroseconds())
    if aggregation.function in PLACES:
        in_range(report, f"{path}.k", aggregation.k, 1, MAX_PLACES)
        _different(context, f"{path}.gives", list(aggregation.gives))
    if aggregation.function == pb.FUNCTION_HISTOGRAM:
        _edges(context, f"{path}.edges", list(aggregation.edges))
    if aggregation.function == pb.FUNCTION_QUANTILE:
        if not aggregation.quantiles:
            report.add(f"{path}.quantiles", "needs at least one share", "quantiles: [0.5, 0.99]")
        for index, quantile in enumerate(aggregation.quantiles):
            in_range(report, f"{path}.quantiles[{index}]", quantile, 0, 1)
        _different(context, f"{path}.quantiles", list(map(quantile_name, aggregation.quantiles)))
        in_range(report, f"{path}.error", aggregation.error or DEFAULT_ERROR, MIN_ERROR, 0.5)


def _different(context: Context, path: str, values: Sequence[object]) -> None:
    if len(set(values)) != len(values):
        context.report.add(path, "the same stands here twice")


def _edges(context: Context, path: str, edges: Sequence[float]) -> None:
    if not 1 <= len(edges) <= MAX_EDGES:
        context.report.add(path, f"{len(edges)} edges, a histogram has 1 to {MAX_EDGES}")
    elif sorted(set(edges)) != list(edges):
        context.report.add(path, "edges must ascend")


def _windows(context: Context, path: str, aggregation: pb.Aggregation) -> None:
    if not aggregation.windows:
        context.report.add(
            f"{path}.windows", "an aggregation needs a window", "windows: [1h], or [lifetime]"
        )
    lengths: set[int] = set()
    for index, window in enumerate(aggregation.windows):
        where = f"{path}.windows[{index}]"
        length = window.length.ToMicroseconds() if window.HasField("length") else 0
        if length in lengths:
            context.report.add(where, "this window is declared twice")
        lengths.add(length)
        if aggregation.function == pb.FUNCTION_RATE and not window.HasField("length"):
            context.report.add(where, "a rate needs a window with a length", "for example 1h")
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
