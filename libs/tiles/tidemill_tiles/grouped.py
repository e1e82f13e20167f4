"""Rows taken entity by entity: two lists of rows in the order of time, matched in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tidemill_tiles.kernels import grouping

if TYPE_CHECKING:
    import numpy.typing as npt


class Grouped(NamedTuple):
    """The number of each row's entity, and the rows entity by entity, each one's in their order."""

    groups: npt.NDArray[np.int32]
    order: npt.NDArray[np.int64]


def by_entity(
    first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]
) -> tuple[Grouped, Grouped]:
    """Group two lists of entity hashes by the same numbers."""
    rows = len(first) + len(second)
    known = np.empty((rows, 2), dtype=np.uint64)
    numbers = np.full(1 << (2 * rows + 1).bit_length(), -1, dtype=np.int32)
    groups = [np.empty(len(hashes), dtype=np.int32) for hashes in (first, second)]
    count = grouping.number_groups(known, numbers, first, 0, groups[0])
    count = grouping.number_groups(known, numbers, second, count, groups[1])
    return _grouped(groups[0], count), _grouped(groups[1], count)


def _grouped(groups: npt.NDArray[np.int32], count: int) -> Grouped:
    order = np.empty(len(groups), dtype=np.int64)
    grouping.order_groups(groups, np.zeros(count, dtype=np.int64), order)
    return Grouped(groups, order)


def following(
    hashes: npt.NDArray[np.uint64],
    times: npt.NDArray[np.int64],
    row_hashes: npt.NDArray[np.uint64],
    row_times: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Return for each row the first of the others with its entity and a later time; -1 if none.

    Both are in the order of time; of others with one time the first counts.
    """
    found = np.empty(len(row_times), dtype=np.int64)
    others, rows = by_entity(hashes, row_hashes)
    grouping.find_following(*others, times, *rows, row_times, found)
    return found
