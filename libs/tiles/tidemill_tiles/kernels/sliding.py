"""Windows that move forward: merged once, then changed by the tiles that enter and leave.

Counts and sums are integers that wrap around, so taking a tile out gives the bits that merging the
others gives. An extreme (smallest, largest, first, last) stays until the tile that has it leaves;
then, at the next read, it is looked for again. All of it is what `merge` finds in the same tiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels import wide
from tidemill_tiles.kernels.compiling import I2, helper, types
from tidemill_tiles.kernels.merge import PLAN
from tidemill_tiles.kernels.places import tile_of
from tidemill_tiles.kernels.prefetching import prefetch
from tidemill_tiles.kernels.update import before

WINDOWS = types.Tuple((PLAN, PLAN, I2))
"""what slides, what is merged at every read, and what is kept: a row per slot of an entity"""


@helper
def _is_sum(primitive: Any) -> Any:
    return primitive in (at.SRC_N, at.SRC_SUM, at.SRC_SQUARES, at.BINS)


@helper
def _sum_in(kept: Any, place: Any, rows: Any, row: Any, operation: Any) -> None:
    primitive, column = operation[at.OP_PRIMITIVE], operation[at.OP_COLUMN]
    if primitive == at.SRC_N:
        kept[place] += rows[row, column]
    elif primitive == at.BINS:
        for word in range(operation[at.OP_LIMIT]):
            kept[place + word] += rows[row, column + word]
    else:
        low, high = kept[place], kept[place + 1]
        low, high = wide.add(low, high, rows[row, column], rows[row, column + 1])
        kept[place] = low
        kept[place + 1] = high


@helper
def _sum_out(kept: Any, place: Any, rows: Any, row: Any, operation: Any) -> None:
    primitive, column = operation[at.OP_PRIMITIVE], operation[at.OP_COLUMN]
    if primitive == at.SRC_N:
        kept[place] -= rows[row, column]
    elif primitive == at.BINS:
        for word in range(operation[at.OP_LIMIT]):
            kept[place + word] -= rows[row, column + word]
    else:
        low, high = kept[place], kept[place + 1]
        low, high = wide.subtract(low, high, rows[row, column], rows[row, column + 1])
        kept[place] = low
        kept[place + 1] = high


@helper
def _compare(primitive: Any, kept: Any, place: Any, rows: Any, row: Any, column: Any) -> Any:
    """Return 1 if a row has more of an extreme than what is kept, 0 if as much, -1 if less."""
    if primitive in (at.SRC_FIRST, at.SRC_LAST):
        a_time, a_tie, a_value = kept[place], kept[place + 1], kept[place + 2]
        time, tie, value = rows[row, column], rows[row, column + 1], rows[row, column + 2]
        less = before(time, tie, value, a_time, a_tie, a_value)
        more = before(a_time, a_tie, a_value, time, tie, value)
    else:
        less, more = rows[row, column] < kept[place], rows[row, column] > kept[place]
    if primitive in (at.SRC_MIN, at.SRC_FIRST):
        less, more = more, less
    return np.int64(more) - np.int64(less)


@helper
def _extreme_in(kept: Any, place: Any, holder: Any, rows: Any, row: Any, operation: Any) -> None:
    """Let a row's extreme stand if it is more; of equal ones that of the newest tile stays."""
    if kept[holder] == at.UNKNOWN:
        return
    primitive, column = operation[at.OP_PRIMITIVE], operation[at.OP_COLUMN]
    order = _compare(primitive, kept, place, rows, row, column)
    if order > 0:
        kept[place] = rows[row, column]
        if primitive in (at.SRC_FIRST, at.SRC_LAST):
            kept[place + 1] = rows[row, column + 1]
            kept[place + 2] = rows[row, column + 2]
        kept[holder] = rows[row, at.ROW_TILE]
    elif order == 0 and kept[holder] != at.NOBODY:
        kept[holder] = max(kept[holder], rows[row, at.ROW_TILE])


@helper
def _holders(plan: Any) -> Any:
    """Return where the tiles of the extremes begin."""
    return at.KEPT_GROUPS + at.KEPT_WORDS * len(plan[1]) + len(plan[3])


@helper
def _merged(plan: Any) -> Any:
    """Return where the merged integers begin."""
    return at.KEPT_GROUPS + at.KEPT_WORDS * len(plan[1])


@helper
def _group(group: Any) -> Any:
    """Return where the words of a group begin."""
    return at.KEPT_GROUPS + at.KEPT_WORDS * group


@helper
def _enter(plan: Any, kept: Any, group: Any, rows: Any, row: Any) -> None:
    """Add a tile to a window."""
    _, groups, operations, _ = plan
    merged, holders = _merged(plan), _holders(plan)
    for number in range(groups[group, at.GROUP_START], groups[group, at.GROUP_END]):
        operation = operations[number]
        place = merged + operation[at.OP_PLACE]
        if _is_sum(operation[at.OP_PRIMITIVE]):
            _sum_in(kept, place, rows, row, operation)
        else:
            _extreme_in(kept, place, holders + number, rows, row, operation)


@helper
def _take_out(plan: Any, kept: Any, group: Any, rows: Any, row: Any, gone: Any) -> None:
    """Take a tile out of a window; unless it is `gone` it comes back, and has no less then."""
    _, groups, operations, _ = plan
    merged, holders = _merged(plan), _holders(plan)
    for number in range(groups[group, at.GROUP_START], groups[group, at.GROUP_END]):
        operation = operations[number]
        if _is_sum(operation[at.OP_PRIMITIVE]):
            _sum_out(kept, merged + operation[at.OP_PLACE], rows, row, operation)
        elif gone and kept[holders + number] == rows[row, at.ROW_TILE]:
            kept[holders + number] = at.UNKNOWN


@helper
def before_change(plan: Any, kept: Any, level: Any, rows: Any, row: Any) -> None:
    """Take a tile that is about to get an event out of the windows that it is in."""
    levels = plan[0]
    if rows[row, at.ROW_NEWEST] == at.NOTHING:
        return  # it is new, and in no window yet
    for group in range(levels[level, at.LEVEL_GROUPS], levels[level, at.LEVEL_GROUPS_END]):
        if rows[row, at.ROW_TILE] > kept[_group(group) + at.KEPT_TAIL]:
            _take_out(plan, kept, group, rows, row, False)  # noqa: FBT003 (numba: by place)


@helper
def after_change(plan: Any, kept: Any, level: Any, rows: Any, row: Any) -> None:
    """Put a tile that has got an event into the windows that it belongs to."""
    levels = plan[0]
    for group in range(levels[level, at.LEVEL_GROUPS], levels[level, at.LEVEL_GROUPS_END]):
        words = _group(group)
        if rows[row, at.ROW_TILE] > kept[words + at.KEPT_TAIL]:
            _enter(plan, kept, group, rows, row)
            oldest = kept[words + at.KEPT_OLDEST]
            if oldest < 0 or rows[row, at.ROW_TILE] < rows[oldest, at.ROW_TILE]:
                kept[words + at.KEPT_OLDEST] = row


@helper
def _find_extremes(plan: Any, kept: Any, group: Any, rows: Any) -> None:
    """Look for the extremes whose tiles have left, from the oldest tile of the window on."""
    _, groups, operations, template = plan
    merged, holders = _merged(plan), _holders(plan)
    for number in range(groups[group, at.GROUP_START], groups[group, at.GROUP_END]):
        if kept[holders + number] != at.UNKNOWN:
            continue
        operation = operations[number]
        place = operation[at.OP_PLACE]
        words = 3 if operation[at.OP_PRIMITIVE] in (at.SRC_FIRST, at.SRC_LAST) else 1
        for word in range(words):
            kept[merged + place + word] = template[place + word]
        kept[holders + number] = at.NOBODY
        row = kept[_group(group) + at.KEPT_OLDEST]
        while row >= 0:
            _extreme_in(kept, merged + place, holders + number, rows, row, operation)
            row = rows[row, at.ROW_NEWER]


@helper
def _move(state: Any, plan: Any, kept: Any, level: Any, time: Any) -> None:
    """Move the windows of a level on to a time."""
    rows, links, levels, groups = state[4], state[5], plan[0], plan[1]
    head = tile_of(time, levels[level, at.LEVEL_HOP])
    for group in range(levels[level, at.LEVEL_GROUPS], levels[level, at.LEVEL_GROUPS_END]):
        words, tail = _group(group), head - groups[group, at.GROUP_TILES]
        row = kept[words + at.KEPT_OLDEST]
        while row >= 0 and rows[row, at.ROW_TILE] <= tail:
            _take_out(plan, kept, group, rows, row, True)  # noqa: FBT003 (numba: by place)
            prefetch(links, row)  # what leaves the longest window is dropped
            row = rows[row, at.ROW_NEWER]
        if row >= 0:
            prefetch(links, row)
            prefetch(rows, rows[row, at.ROW_NEWER])  # it is the next to leave; -1 does no harm
        kept[words + at.KEPT_TAIL] = tail
        kept[words + at.KEPT_OLDEST] = row
        _find_extremes(plan, kept, group, rows)


@helper
def _fill(state: Any, plan: Any, kept: Any, slot: Any, level: Any, time: Any) -> Any:
    """Merge the windows of a level as they are at a time; tell whether no tile lies after it."""
    entity, rows, links, levels, groups = state[1], state[4], state[5], plan[0], plan[1]
    head = tile_of(time, levels[level, at.LEVEL_HOP])
    first, end = levels[level, at.LEVEL_GROUPS], levels[level, at.LEVEL_GROUPS_END]
    for group in range(first, end):
        kept[_group(group) + at.KEPT_TAIL] = head - groups[group, at.GROUP_TILES]
        kept[_group(group) + at.KEPT_OLDEST] = -1
    row, complete = entity[slot, at.ENTITY_HEAD + level], True
    while row >= 0 and rows[row, at.ROW_TILE] > head:
        row, complete = np.int64(links[row, at.LINK_NEXT]), False
    while row >= 0 and rows[row, at.ROW_TILE] > kept[_group(end - 1) + at.KEPT_TAIL]:
        for group in range(first, end):
            if rows[row, at.ROW_TILE] > kept[_group(group) + at.KEPT_TAIL]:
                _enter(plan, kept, group, rows, row)
                kept[_group(group) + at.KEPT_OLDEST] = row
        row = np.int64(links[row, at.LINK_NEXT])
    return complete


@helper
def bring_to(state: Any, plan: Any, kept: Any, slot: Any, time: Any) -> None:
    """Let what is kept of an entity be its windows at a time, which is no earlier than the last."""
    if kept[at.KEPT_LIVE] != 0:
        for level in range(len(plan[0])):
            _move(state, plan, kept, level, time)
        return
    template, merged = plan[3], _merged(plan)
    for place in range(len(template)):
        kept[merged + place] = template[place]
    for number in range(len(plan[2])):
        kept[_holders(plan) + number] = at.NOBODY
    complete = True
    for level in range(len(plan[0])):
        complete = _fill(state, plan, kept, slot, level, time) and complete
    # A tile after the time would enter a window without an event of its own: merge again then.
    kept[at.KEPT_LIVE] = np.int64(complete)


@helper
def _newest_time(state: Any, plan: Any, kept: Any, slot: Any, level: Any) -> Any:
    """Return the newest time of a level's longest window; a newer tile has only newer ones."""
    entity, rows, links, levels, groups = state[1], state[4], state[5], plan[0], plan[1]
    longest = levels[level, at.LEVEL_GROUPS_END] - 1
    if kept[_group(longest) + at.KEPT_OLDEST] < 0:
        return np.int64(at.NOTHING)
    head = kept[_group(longest) + at.KEPT_TAIL] + groups[longest, at.GROUP_TILES]
    row = entity[slot, at.ENTITY_HEAD + level]
    while rows[row, at.ROW_TILE] > head:
        row = np.int64(links[row, at.LINK_NEXT])
    return rows[row, at.ROW_NEWEST]


@helper
def oldest_row(plan: Any, kept: Any, level: Any) -> Any:
    """Return the row of the oldest tile in a level's longest window, -1 if there is none."""
    return kept[_group(plan[0][level, at.LEVEL_GROUPS_END] - 1) + at.KEPT_OLDEST]


@helper
def read_windows(state: Any, windows: Any, found: Any, slot: Any, time: Any) -> None:
    """Put an entity's merged integers at a time, of what slides, into what was found."""
    plan, kept = windows[0], windows[2][slot]
    accumulators, _, _, newest, _ = found
    bring_to(state, plan, kept, slot, time)
    merged = _merged(plan)
    for place in range(len(plan[3])):
        accumulators[0, place] = kept[merged + place]
    for level in range(len(plan[0])):
        newest[0] = max(newest[0], _newest_time(state, plan, kept, slot, level))
