"""Rows sorted by entity without comparing them: numbered as they appear, then a counting sort."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels.compiling import (
    I1,
    I2,
    INT,
    RI1,
    RI2,
    RS1,
    RT2,
    RU2,
    S1,
    T2,
    U2,
    kernel,
    types,
)


@kernel(INT, U2, S1, RU2, INT, S1)
def number_groups(known: Any, numbers: Any, hashes: Any, count: Any, groups: Any) -> Any:
    """Number hashes from `count` on as they appear; return the next number.

    `numbers` (-1: free) is a map that calls share, larger than all their rows; `known` has the hash
    of each number.
    """
    mask = len(numbers) - 1
    for row in range(len(hashes)):
        first, second = hashes[row, 0], hashes[row, 1]
        place = np.int64(first) & mask
        number = numbers[place]
        while number >= 0 and (known[number, 0] != first or known[number, 1] != second):
            place = (place + 1) & mask
            number = numbers[place]
        if number < 0:
            known[count, 0] = first
            known[count, 1] = second
            number = np.int32(count)
            numbers[place] = number
            count += 1
        groups[row] = number
    return count


@kernel(types.void, RI2, RT2, RI1, I2, T2)
def take_values(values: Any, valid: Any, order: Any, into: Any, into_valid: Any) -> None:
    """Take some events of every column, in an order: of one array at a time, which stays near."""
    for column in range(len(values)):
        for place in range(len(order)):
            into[column, place] = values[column, np.uint64(order[place])]
        for place in range(len(order)):
            into_valid[column, place] = valid[column, np.uint64(order[place])]


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
