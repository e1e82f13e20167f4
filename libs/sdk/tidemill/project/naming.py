"""Which features a view has, in which order, and how they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import durations

if TYPE_CHECKING:
    from collections.abc import Iterator

SEPARATOR: Final = "__"
LIFETIME: Final = "lifetime"
PAIRS: Final = frozenset({pb.FUNCTION_RATIO, pb.FUNCTION_DIFFERENCE})
"""Functions of two other features: they may have no window of their own."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: an aggregation in one window, and which bin, quantile or place of it."""

    name: str
    aggregation: pb.Aggregation
    window: pb.Window | None
    operands: tuple[str, ...] = ()
    place: int | None = None
    quantile: float | None = None
    gives: pb.Gives = pb.GIVES_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class _Part:
    """What tells the features of an aggregation in one window apart."""

    suffix: str = ""
    place: int | None = None
    quantile: float | None = None
    gives: pb.Gives = pb.GIVES_UNSPECIFIED


def function_name(aggregation: pb.Aggregation) -> str:
    """Return a function as users write it."""
    return pb.Function.Name(aggregation.function).removeprefix("FUNCTION_").lower()


def prefix_of(aggregation: pb.Aggregation) -> str:
    """Return the first part of the names of an aggregation's features."""
    if aggregation.name:
        return aggregation.name
    function = function_name(aggregation)
    return f"{function}_{aggregation.field}" if aggregation.field else function


def window_name(window: pb.Window) -> str:
    """Return the last part of the names of a window's features."""
    lifetime = not window.HasField("length")
    return LIFETIME if lifetime else durations.text_of(window.length.ToMicroseconds())


def features(view: pb.FeatureView) -> Iterator[Feature]:
    """Yield the features of a view in declared order."""
    for aggregation in view.aggregations:
        yield from features_of(aggregation)


def features_of(aggregation: pb.Aggregation) -> Iterator[Feature]:
    """Yield the features of an aggregation: window by window, part by part."""
    prefix = prefix_of(aggregation)
    if aggregation.function in PAIRS and not aggregation.windows:
        yield Feature(prefix, aggregation, None, tuple(aggregation.of))
    for window in aggregation.windows:
        span = window_name(window)
        operands = tuple(f"{name}_{span}" for name in aggregation.of)
        for part in _parts(aggregation):
            yield Feature(
                f"{prefix}{part.suffix}_{span}",
                aggregation,
                window,
                operands,
                part.place,
                part.quantile,
                part.gives,
            )


def feature_names(view: pb.FeatureView) -> list[str]:
    """Return the names of a view's features in declared order."""
    return [feature.name for feature in features(view)]


def quantile_name(quantile: float) -> str:
    """Return how the name of a feature says its quantile: p99_9 of 0.999."""
    return "p" + f"{100 * quantile:g}".replace(".", "_")


def longest_window_us(view: pb.FeatureView) -> int:
    """Return the length of the longest window; 0 if all are lifetimes."""
    own = (one for one in view.aggregations if one.function not in PAIRS)
    return max((w.length.ToMicroseconds() for one in own for w in one.windows), default=0)


def _parts(aggregation: pb.Aggregation) -> Iterator[_Part]:
    match aggregation.function:
        case pb.FUNCTION_HISTOGRAM:
            for number in range(len(aggregation.edges) + 1):
                yield _Part(f"_{number}", place=number)
        case pb.FUNCTION_QUANTILE:
            for quantile in aggregation.quantiles:
                yield _Part(f"_{quantile_name(quantile)}", quantile=quantile)
        case pb.FUNCTION_LAST_K:
            for place in range(1, aggregation.k + 1):
                yield _Part(f"_{place}", place=place)
        case pb.FUNCTION_TOP_K:
            for place in range(1, aggregation.k + 1):
                for gives in aggregation.gives or [pb.GIVES_VALUE]:
                    text = pb.Gives.Name(gives).removeprefix("GIVES_").lower()
                    yield _Part(f"_{place}_{text}", place=place, gives=gives)
        case _:
            yield _Part()
