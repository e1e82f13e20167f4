"""The oracle of the functions that the engine reads from sketches: from all values, each time."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tidemill_tiles.definitions import Aggregation, Function, Gives

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND_US: Final = 1_000_000
Known = list[tuple[int, int, Any]]
"""Time, id and integer of every value, the last one at the end."""


def sketched(one: Aggregation, known: Known, step: float, at_us: int) -> float | None:
    """Return the value of a feature; None if it is NULL although there are values."""
    values = [value for _, _, value in known]
    if one.function is Function.LAST_K:
        place = one.place or 0
        return float(values[-place]) * step if place <= len(values) else None
    if one.function is Function.TOP_K:
        return _top(one, values, step)
    if one.function is Function.TIME_SINCE_LAST:
        return max(0, at_us - known[-1][0]) / SECOND_US
    if one.function is Function.EWMA:
        return _average(known, one.half_life_us or 0) * step
    return COMPUTED[one.function](one, values, step)


def _bin(one: Aggregation, values: list[Any], step: float) -> float:
    edges, place = (-math.inf, *one.edges, math.inf), one.place or 0
    return float(sum(edges[place] <= value * step < edges[place + 1] for value in values))


def _quantile(one: Aggregation, values: list[Any], step: float) -> float:
    rank = math.floor((one.quantile or 0.0) * (len(values) - 1))
    return float(sorted(values)[rank]) * step


def _rate(one: Aggregation, values: list[Any], step: float) -> float:
    return float(sum(values)) * step / ((one.window_us or 0) / SECOND_US)


COMPUTED: Final[dict[Function, Callable[[Aggregation, list[Any], float], float]]] = {
    Function.HISTOGRAM: _bin,
    Function.QUANTILE: _quantile,
    Function.RATE: _rate,
}


def _average(known: Known, half_life_us: int) -> float:
    newest = known[-1][0]
    weights = [2.0 ** ((time - newest) / half_life_us) for time, _, _ in known]
    pairs = zip(weights, known, strict=True)
    return math.fsum(weight * value for weight, (_, _, value) in pairs) / math.fsum(weights)


def _top(one: Aggregation, values: list[Any], step: float) -> float | None:
    counts = Counter(values)
    place = (one.place or 0) - 1
    if len(counts) > one.bound or place >= len(counts):
        return None
    value, count = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[place]
    if one.gives is Gives.VALUE:
        return float(value) * step
    return float(count) if one.gives is Gives.COUNT else count / len(values)
