"""Bins of a numeric column that need not fit into memory: its values lie in a file.

The cells are those of `numeric_bins` over the same values, whatever their order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill_common.reference import (
    TAIL,
    NumericBins,
    between,
    edges_of,
    ranks_of,
    sorted_bins,
)
from tidemill_tiles.sorting import sort_floats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Values = npt.NDArray[np.float64]

SORTED_VALUES: Final = 1_000_000
"""So many values are sorted in memory; more are sorted run by run, within their file."""
_SIGN: Final = np.uint64(1 << 63)
_MANTISSA: Final = 53
_HALF: Final = 26
_LEAST_EXPONENT: Final = -1_073
"""Of `frexp`, for the smallest number that is not zero."""


class NumericColumn:
    """The finite values of a column, and how many were missing."""

    def __init__(self, name: str, path: Path) -> None:
        """Keep the values in a new file."""
        self._name, self._path = name, path
        self._file = path.open("wb")
        self._count = self._missing = 0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Add values; NaN and infinite ones are missing."""
        known = np.isfinite(values)
        finite = (values if known.all() else values[known]) + 0.0  # both zeros are one
        self._missing += values.size - finite.size
        self._count += finite.size
        finite.tofile(self._file)

    def bins(self) -> NumericBins:
        """Return the bins; nothing can be added after that."""
        self._file.close()
        if self._count <= SORTED_VALUES:
            values = np.fromfile(self._path, dtype=np.float64)
            sort_floats(values)
            return sorted_bins(self._name, values, self._missing)
        return self._counted()

    def _counted(self) -> NumericBins:
        runs = self._sorted()
        places = [(self._count - 1) * share for share in (TAIL, 0.5, 1 - TAIL)]
        bounds = ranks_of(self._count)
        around = [rank for place in places for rank in (math.floor(place), math.ceil(place))]
        ranks = np.unique(np.concatenate((bounds, np.array(around, dtype=np.int64))))
        value_at = dict(zip(ranks.tolist(), _at_ranks(runs, ranks).tolist(), strict=True))
        inner = np.unique([value_at[rank] for rank in bounds.tolist()])
        edges = edges_of(inner, int(_not_above(runs, inner[:1])[0]) / self._count)
        counts = np.diff(_not_above(runs, edges), prepend=0, append=self._count)
        mean = exact_sum(self._chunks()) / self._count
        squares = exact_sum((part - mean) ** 2 for part in self._chunks())
        low, median, high = (
            between(value_at[math.floor(place)], value_at[math.ceil(place)], place)
            for place in places
        )
        return NumericBins(
            self._name,
            tuple(edges.tolist()),
            tuple(counts.tolist()),
            self._missing,
            mean=mean,
            std=math.sqrt(squares / self._count),
            low=low,
            median=median,
            high=high,
        )

    def _chunks(self) -> Iterator[Values]:
        with self._path.open("rb") as file:
            while (part := np.fromfile(file, dtype=np.float64, count=SORTED_VALUES)).size:
                yield part

    def _sorted(self) -> list[Values]:
        """Sort the file run by run; return the runs, which stay in it."""
        with self._path.open("r+b") as file:
            for part in self._chunks():
                sort_floats(part)
                file.write(part.data)
        whole = np.memmap(self._path, np.float64, "r")
        starts = range(0, self._count, SORTED_VALUES)
        return [whole[start : start + SORTED_VALUES] for start in starts]


def exact_sum(parts: Iterable[Values]) -> float:
    """Return the float that is nearest to the sum of finite values, like `math.fsum`.

    Mantissas are added as integers, exponent by exponent, in two halves that no float rounds.
    """
    total = 0
    for part in parts:
        fraction, exponent = np.frexp(part)
        mantissa = np.ldexp(fraction, _MANTISSA).astype(np.int64)
        place = exponent - _LEAST_EXPONENT
        high = np.bincount(place, weights=mantissa >> _HALF)
        low = np.bincount(place, weights=mantissa & ((1 << _HALF) - 1))
        for one in np.flatnonzero((high != 0) | (low != 0)).tolist():
            total += ((int(high[one]) << _HALF) + int(low[one])) << one
    return total / (1 << (_MANTISSA - _LEAST_EXPONENT))


def _not_above(runs: Sequence[Values], values: Values) -> npt.NDArray[np.int64]:
    """Return how many values of sorted runs are not above each of some values."""
    found = np.zeros(len(values), dtype=np.int64)
    for run in runs:
        found += np.searchsorted(run, values, side="right")
    return found


def _at_ranks(runs: Sequence[Values], ranks: npt.NDArray[np.int64]) -> Values:
    """Return the values at places of all that sorted runs hold, bit by bit of their order."""
    low = np.full(len(ranks), _to_keys(np.array([min(run[0] for run in runs)]))[0])
    high = np.full(len(ranks), _to_keys(np.array([max(run[-1] for run in runs)]))[0])
    while np.any(low < high):
        middle = low + (high - low) // np.uint64(2)
        enough = _not_above(runs, _from_keys(middle)) > ranks
        low, high = np.where(enough, low, middle + np.uint64(1)), np.where(enough, middle, high)
    return _from_keys(low) + 0.0  # both zeros are one


def _to_keys(values: Values) -> npt.NDArray[np.uint64]:
    """Return integers in the order of the values."""
    bits = values.view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _from_keys(keys: npt.NDArray[np.uint64]) -> Values:
    return np.where(keys & _SIGN, keys ^ _SIGN, ~keys).view(np.float64)
