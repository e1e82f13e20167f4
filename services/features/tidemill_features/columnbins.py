"""Bins of a numeric column that need not fit into memory: its values lie in a file.

The cells are those of `numeric_bins` over the same values, whatever their order.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill_common.reference import TAIL, NumericBins, edges_of, numeric_bins, ranks_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

SORTED_VALUES: Final = 1_000_000
"""So many values are sorted in memory; more are counted in passes over the file."""
CHUNK_VALUES: Final = 262_144
_DIGIT_BITS: Final = 8
_DIGITS: Final = 1 << _DIGIT_BITS
_SIGN: Final = np.uint64(1 << 63)


class NumericColumn:
    """The finite values of a column, and how many were missing."""

    def __init__(self, name: str, path: Path) -> None:
        """Keep the values in a new file."""
        self._name, self._path = name, path
        self._file = path.open("wb")
        self._count = self._missing = 0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Add values; NaN and infinite ones are missing."""
        finite = values[np.isfinite(values)] + 0.0  # both zeros are one
        self._missing += values.size - finite.size
        self._count += finite.size
        finite.tofile(self._file)

    def bins(self) -> NumericBins:
        """Return the bins; nothing can be added after that."""
        self._file.close()
        if self._count <= SORTED_VALUES:
            found = numeric_bins(self._name, np.fromfile(self._path, dtype=np.float64))
            return NumericBins(
                self._name, found.edges, found.counts, self._missing, found.mean, found.std,
                found.low, found.median, found.high,
            )  # fmt: skip
        return self._counted()

    def _counted(self) -> NumericBins:
        places = [(self._count - 1) * share for share in (TAIL, 0.5, 1 - TAIL)]
        bounds = ranks_of(self._count)
        around = [rank for place in places for rank in (math.floor(place), math.ceil(place))]
        ranks = np.unique(np.concatenate((bounds, np.array(around, dtype=np.int64))))
        value_at = dict(zip(ranks.tolist(), self._at_ranks(ranks).tolist(), strict=True))
        inner = np.unique([value_at[rank] for rank in bounds.tolist()])
        smallest = sum(int(np.count_nonzero(part == inner[0])) for part in self._chunks())
        edges = edges_of(inner, smallest / self._count)
        counts = np.zeros(edges.size + 1, dtype=np.int64)
        for part in self._chunks():
            cells = np.searchsorted(edges, part, side="left")
            counts += np.bincount(cells, minlength=counts.size)
        mean = math.fsum(chain.from_iterable(part.tolist() for part in self._chunks()))
        mean /= self._count
        squares = (((part - mean) ** 2).tolist() for part in self._chunks())
        low, median, high = (_between(value_at, place) for place in places)
        return NumericBins(
            self._name,
            tuple(edges.tolist()),
            tuple(counts.tolist()),
            self._missing,
            mean=mean,
            std=math.sqrt(math.fsum(chain.from_iterable(squares)) / self._count),
            low=low,
            median=median,
            high=high,
        )

    def _chunks(self) -> Iterator[npt.NDArray[np.float64]]:
        with self._path.open("rb") as file:
            while (part := np.fromfile(file, dtype=np.float64, count=CHUNK_VALUES)).size:
                yield part

    def _at_ranks(self, ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the values at ascending places of the sorted column, digit by digit."""
        left = ranks.copy()
        found = np.zeros(len(ranks), dtype=np.uint64)
        for shift in range(64 - _DIGIT_BITS, -1, -_DIGIT_BITS):
            prefixes, which = np.unique(found, return_inverse=True)
            below = np.cumsum(self._digits(prefixes, shift), axis=1)
            for place, prefix in enumerate(which.tolist()):
                digit = int(np.searchsorted(below[prefix], left[place], side="right"))
                left[place] -= int(below[prefix, digit - 1]) if digit else 0
                found[place] = (found[place] << np.uint64(_DIGIT_BITS)) | np.uint64(digit)
        return np.where(found & _SIGN, found ^ _SIGN, ~found).view(np.float64)

    def _digits(self, prefixes: npt.NDArray[np.uint64], shift: int) -> npt.NDArray[np.int64]:
        """Count the next digit of the values that begin like each prefix."""
        counts = np.zeros(len(prefixes) * _DIGITS, dtype=np.int64)
        above = shift + _DIGIT_BITS
        for part in self._chunks():
            bits = part.view(np.uint64)
            keys = np.where(bits & _SIGN, ~bits, bits | _SIGN)
            heads = keys >> np.uint64(above) if above < 64 else np.zeros_like(keys)
            places = np.minimum(np.searchsorted(prefixes, heads), len(prefixes) - 1)
            digits = ((keys >> np.uint64(shift)) & np.uint64(_DIGITS - 1)).astype(np.int64)
            wanted = prefixes[places] == heads
            np.add.at(counts, places[wanted] * _DIGITS + digits[wanted], 1)
        return counts.reshape(len(prefixes), _DIGITS)


def _between(value_at: dict[int, float], place: float) -> float:
    """Return the value between two ranks, as NumPy's quantile does."""
    below, above = value_at[math.floor(place)], value_at[math.ceil(place)]
    share = place - math.floor(place)
    if share >= 0.5:
        return above - (above - below) * (1 - share)
    return below + (above - below) * share
