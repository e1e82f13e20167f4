"""Rows sorted by entity without comparing them: numbered as they appear, then a counting sort."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels.compiling import I1, INT, RI1, RS1, RU2, S1, U2, kernel, types


@kernel(INT, U2, S1, RU2, INT, S1)
def number_groups(known: Any, numbers: Any, hashes: Any, count: Any, groups: Any) -> Any:
    """Number hashes from `count` on as they appear; return the next number.

    `known` and `numbers` (-1: free) are a map that calls share; it is larger than all their rows.
    """
    mask = len(numbers) - 1
    for row in range(len(hashes)):
        first, second = hashes[row, 0], hashes[row, 1]
        place = np.int64(first) & mask
        while numbers[place] >= 0 and (known[place, 0] != first or known[place, 1] != second):
            place = (place + 1) & mask
        if numbers[place] < 0:
            known[place, 0] = first
            known[place, 1] = second
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


@kernel(types.void, RS1, RI1, RI1, RS1, RI1, RI1, I1)
def find_following(
    groups: Any, order: Any, times: Any, row_groups: Any, row_order: Any, row_times: Any, found: Any
) -> None:
    """Find for each row the first thing of its group with a later time, or -1.

    Both orders are group by group, and by time within a group.
    """
    place = 0
    for row in row_order:
        group, time = row_groups[row], row_times[row]
        while place < len(order):
            one = order[place]
            if groups[one] > group or (groups[one] == group and times[one] > time):
                break
            place += 1
        found[row] = -1
        if place < len(order) and groups[order[place]] == group:
            found[row] = order[place]
