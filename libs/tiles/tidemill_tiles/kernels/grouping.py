"""Rows sorted by entity without comparing them: numbered as they appear, then a counting sort."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels.compiling import I1, INT, RS1, RU2, S1, U1, kernel, types


@kernel(INT, U1, S1, RU2, INT, S1)
def number_groups(firsts: Any, numbers: Any, hashes: Any, count: Any, groups: Any) -> Any:
    """Number the first halves of hashes from `count` on as they appear; return the next number.

    `firsts` and `numbers` (-1: free) are a map that calls share; it is larger than all their rows.
    """
    mask = len(firsts) - 1
    for row in range(len(hashes)):
        first = hashes[row, 0]
        place = np.int64(first) & mask
        while numbers[place] >= 0 and firsts[place] != first:
            place = (place + 1) & mask
        if numbers[place] < 0:
            firsts[place] = first
            numbers[place] = count
            count += 1
        groups[row] = numbers[place]
    return count


@kernel(types.void, RS1, I1, I1)
def order_groups(groups: Any, ends: Any, order: Any) -> None:
    """Fill `order` with the rows, group by group, each group's in the order in which they stand.

    `ends` has a zero for every group.
    """
    for row in range(len(groups)):
        ends[groups[row]] += 1
    total = 0
    for group in range(len(ends)):
        total += ends[group]
        ends[group] = total
    for row in range(len(groups) - 1, -1, -1):
        ends[groups[row]] -= 1
        order[ends[groups[row]]] = row
