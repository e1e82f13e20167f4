"""The mergeable partials that functions are read from, and the room that each takes in a tile."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final

from tidemill_tiles.definitions import (
    Aggregation,
    Function,
    precision_of,
)
from tidemill_tiles.kernels import layout

if TYPE_CHECKING:
    from collections.abc import Sequence

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
VALUE_BITS: Final = 48
ROUNDING: Final = Fraction(1, 2**51)
"""How far, relatively, the quotient of two rounded doubles may be from that of the decimals."""


class Primitive(IntEnum):
    """A mergeable partial; up to SET the values are the columns of `Plan.sources` that place it."""

    N = layout.SRC_N
    SUM = layout.SRC_SUM
    SQUARES = layout.SRC_SQUARES
    MIN = layout.SRC_MIN
    MAX = layout.SRC_MAX
    FIRST = layout.SRC_FIRST
    LAST = layout.SRC_LAST
    SET = layout.SRC_SET
    NEWEST = layout.NEWEST
    BINS = layout.BINS
    BLOCKS = layout.BLOCKS
    BUCKETS = layout.BUCKETS
    RECENT = layout.RECENT
    TALLY = layout.TALLY


NEEDS: Final[dict[Function, tuple[Primitive, ...]]] = {
    Function.COUNT: (Primitive.N,),
    Function.SUM: (Primitive.N, Primitive.SUM),
    Function.MEAN: (Primitive.N, Primitive.SUM),
    Function.VAR: (Primitive.N, Primitive.SUM, Primitive.SQUARES),
    Function.STD: (Primitive.N, Primitive.SUM, Primitive.SQUARES),
    Function.MIN: (Primitive.N, Primitive.MIN),
    Function.MAX: (Primitive.N, Primitive.MAX),
    Function.FIRST: (Primitive.N, Primitive.FIRST),
    Function.LAST: (Primitive.N, Primitive.LAST),
    Function.DISTINCT: (Primitive.N, Primitive.SET),
    Function.TIME_SINCE_LAST: (Primitive.N, Primitive.NEWEST),
    Function.EWMA: (Primitive.N, Primitive.BLOCKS),
    Function.HISTOGRAM: (Primitive.N, Primitive.BINS),
    Function.QUANTILE: (Primitive.N, Primitive.BUCKETS),
    Function.LAST_K: (Primitive.N, Primitive.RECENT),
    Function.TOP_K: (Primitive.N, Primitive.TALLY),
}
EMPTY_BLOCK: Final = (-1, 0)
EMPTY: Final[dict[Primitive, tuple[int, ...]]] = {
    Primitive.N: (0,),
    Primitive.SUM: (0, 0),
    Primitive.SQUARES: (0, 0),
    Primitive.MIN: (INT64_MAX,),
    Primitive.MAX: (INT64_MIN,),
    Primitive.FIRST: (INT64_MAX, INT64_MAX, INT64_MAX),
    Primitive.LAST: (INT64_MIN, INT64_MIN, INT64_MIN),
    Primitive.SET: EMPTY_BLOCK,
    Primitive.NEWEST: (INT64_MIN,),
    Primitive.BLOCKS: EMPTY_BLOCK,
    Primitive.BUCKETS: EMPTY_BLOCK,
    Primitive.RECENT: EMPTY_BLOCK,
    Primitive.TALLY: EMPTY_BLOCK,
}
RAGGED: Final = frozenset(one for one, empty in EMPTY.items() if empty == EMPTY_BLOCK)
"""Kept in blocks of the shared pool; a row holds where."""


@dataclass(frozen=True, slots=True)
class Extra:
    """A partial with parameters, of which a source can have several."""

    primitive: Primitive
    limit: int  # the most words of its block; the bins of a histogram
    number: int = 0
    edges: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[Primitive, int, tuple[int, ...]]:
        """Return what tells it from the others of its source."""
        return self.primitive, self.number, self.edges

    @property
    def empty(self) -> tuple[int, ...]:
        """Return the words of a row without events."""
        return (0,) * self.limit if self.primitive is Primitive.BINS else EMPTY[self.primitive]


def needs(one: Aggregation) -> tuple[Primitive, ...]:
    """Return the partials that a function is read from, the count of values first."""
    if one.function is Function.RATE:
        return (Primitive.N,) if one.field is None else (Primitive.N, Primitive.SUM)
    return NEEDS[one.function]


def extra_of(one: Aggregation, step: float) -> Extra | None:
    """Return the parametrised partial of an aggregation, if its function has one."""
    extra = None
    match one.function:
        case Function.TIME_SINCE_LAST:
            extra = Extra(Primitive.NEWEST, 0)
        case Function.EWMA:
            words = layout.BLOCK_WORDS * layout.MAX_BLOCKS
            extra = Extra(Primitive.BLOCKS, words, one.half_life_us or 0)
        case Function.HISTOGRAM:
            edges = thresholds(one.edges, step)
            extra = Extra(Primitive.BINS, len(edges) + 1, edges=edges)
        case Function.QUANTILE:
            bits = precision_of(one.error)
            extra = Extra(Primitive.BUCKETS, 2 * slots_of(bits), bits)
        case Function.LAST_K:
            extra = Extra(Primitive.RECENT, layout.RECENT_WORDS * (one.place or 0))
        case Function.TOP_K:
            extra = Extra(Primitive.TALLY, layout.TALLY_WORDS * one.bound)
    return extra


def thresholds(edges: Sequence[float], step: float) -> tuple[int, ...]:
    """Return the smallest fixed-point integers that are not below the edges.

    An edge on the grid is its integer, though the quotient of two doubles misses it by a rounding.
    """
    quotients = [Fraction(edge) / Fraction(step) for edge in edges]
    return tuple(
        near if abs(one - (near := round(one))) <= abs(one) * ROUNDING else ceil(one)
        for one in quotients
    )


def slots_of(bits: int) -> int:
    """Return into how many buckets the sizes below 2**48 fall."""
    return (VALUE_BITS + 1 - bits) << bits


def pool_words(one: Aggregation) -> tuple[tuple[object, ...], int]:
    """Return which block of a tile an aggregation uses, if any, and the most words of it."""
    extra = extra_of(one, 1.0)
    if one.function is Function.DISTINCT:
        return (one.field, one.filter, Primitive.SET), one.bound + 1
    if extra is None or extra.primitive not in RAGGED:
        return (), 0
    return (one.field, one.filter, *extra.key), extra.limit


def words_per_tile(primitive: int, limit: int, number: int, hop_us: int) -> int:
    """Return the most words of an extra's block in a tile of a hop (0: a lifetime)."""
    if primitive == Primitive.BLOCKS and hop_us:
        return min(limit, layout.BLOCK_WORDS * (hop_us // number + 2))
    return limit
