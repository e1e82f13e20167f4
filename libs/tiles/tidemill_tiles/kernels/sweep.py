"""Training sets: events and label rows in one sweep of time, through the same update and merge."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels.compiling import (
    B2,
    EVENTS,
    F2,
    I1,
    I2,
    INT,
    LAYOUT,
    RI1,
    RS1,
    RU2,
    TABLE,
    helper,
    kernel,
    types,
)
from tidemill_tiles.kernels.merge import INTERMEDIATE, clear, merge_slot
from tidemill_tiles.kernels.past import forget, remember
from tidemill_tiles.kernels.places import find_entity
from tidemill_tiles.kernels.prefetching import prefetch, prefetch_item
from tidemill_tiles.kernels.rows import room_for
from tidemill_tiles.kernels.sliding import WINDOWS, oldest_row, read_windows
from tidemill_tiles.kernels.values import finish_entity

LABELS = types.Tuple((RU2, RI1, RS1, RI1))
"""hashes, times, groups, rows of the output"""
SEEN = types.Tuple((RI1, RS1))
"""when each event becomes visible, groups"""
NO_GROUP = 2**31
OUTPUT = types.Tuple((I2, F2, F2, B2, I1))
"""outputs, numbers, values, statuses, event times"""
NO_ROOM, DONE = range(2)
FAR, NEAR, SOON, NEXT = 8, 6, 4, 2
"""Rows between asking for where an entity is, for it, its newest and oldest tiles, those that
follow the oldest, and using them.
"""


@helper
def is_due(event_group: Any, visible: Any, label_group: Any, time: Any) -> Any:
    """Tell whether an event comes before a label: of an earlier group, or visible by its time."""
    return event_group < label_group or (event_group == label_group and visible <= time)


@helper
def begins(groups: Any, place: Any) -> Any:
    """Tell whether a row is the first one of another entity."""
    return place < len(groups) and groups[place] != groups[place - 1]


@helper
def ahead(entity_map: Any, hashes: Any, groups: Any, place: Any) -> Any:
    """Return the slot that the map has first for an entity that begins at a row, else -1."""
    if not begins(groups, place):
        return np.int64(-1)
    return np.int64(entity_map[np.int64(hashes[place, 0]) & (len(entity_map) - 1)])


@helper
def _foresee(state: Any, windows: Any, levels: Any, hashes: Any, groups: Any, place: Any) -> None:
    """Ask for what the entities some rows ahead will need.

    Each step reads what the one before has asked for. The slot may be another entity's: that costs
    some lines of memory, and no value depends on it.
    """
    entity, entity_map, rows, plan, kept = state[1], state[2], state[4], windows[0], windows[2]
    if begins(groups, place + FAR):
        prefetch_item(entity_map, np.int64(hashes[place + FAR, 0]) & (len(entity_map) - 1))
    slot = ahead(entity_map, hashes, groups, place + NEAR)
    if slot >= 0:
        prefetch(entity, slot)
        prefetch(kept, slot)
    slot = ahead(entity_map, hashes, groups, place + SOON)
    for level in range(len(levels) if slot >= 0 else 0):
        prefetch(rows, entity[slot, at.ENTITY_HEAD + level])
        prefetch(rows, oldest_row(plan, kept[slot], level))
    slot = ahead(entity_map, hashes, groups, place + NEXT)
    for level in range(len(levels) if slot >= 0 else 0):
        oldest = oldest_row(plan, kept[slot], level)
        if oldest >= 0:
            prefetch(rows, rows[oldest, at.ROW_NEWER])


@helper
def _answer(
    state: Any, windows: Any, found: Any, output: Any, slot: Any, row: Any, time: Any, ttl: Any
) -> None:
    """Read an entity (-1: there is none) at a time, into a row of the output."""
    outputs, numbers, values, status, event_times = output
    clear(windows[1], found, 0)
    if slot >= 0:
        read_windows(state, windows, found, slot, time)
        if len(windows[1][2]):
            merge_slot(state, windows[1], found, 0, slot, time)
    oldest = time - ttl if ttl >= 0 else at.NOTHING
    finish_entity(outputs, numbers, found, 0, time, oldest, values, status, row)
    event_times[row] = found[3][0]


@kernel(
    types.UniTuple(INT, 3),
    TABLE,
    LAYOUT,
    I1,
    WINDOWS,
    EVENTS,
    SEEN,
    LABELS,
    INTERMEDIATE,
    OUTPUT,
    types.UniTuple(INT, 3),
)
def sweep(
    state: Any,
    laid: Any,
    set_columns: Any,
    windows: Any,
    events: Any,
    seen: Any,
    labels: Any,
    found: Any,
    output: Any,
    progress: Any,
) -> Any:
    """Answer labels group by group, each after the events of its group that were visible by then.

    A group is an entity: both lists have its rows together, in the order of time. progress: next
    event, next label, time to live. Ends when all events are applied too, or when one does not fit.
    Returns why, the next event, the next label.
    """
    event, label, ttl = progress
    levels = laid[0]
    hashes, times, label_groups, rows = labels
    visible, event_groups = seen
    while True:
        time, group = np.int64(0), np.int64(NO_GROUP)
        if label < len(times):
            time, group = times[label], np.int64(label_groups[label])
        while event < len(visible):
            if not is_due(event_groups[event], visible[event], group, time):
                break
            if not room_for(state, len(levels)):
                return NO_ROOM, event, label
            _foresee(state, windows, levels, events[0], event_groups, event)
            remember(state, laid, windows, events, event, visible[event])
            event += 1
        if label == len(times):
            return DONE, event, label
        _foresee(state, windows, levels, hashes, label_groups, label)
        first, second = np.int64(hashes[label, 0]), np.int64(hashes[label, 1])
        slot = find_entity(state[2], state[1], first, second)
        _answer(state, windows, found, output, slot, rows[label], time, ttl)
        label += 1
        ends = label == len(times) or label_groups[label] != group
        if ends and slot >= 0:
            forget(state, levels, set_columns, windows, slot, time)
