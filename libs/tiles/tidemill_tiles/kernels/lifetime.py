"""Training sets of views over the whole past: an entity has one tile, and a read is that tile."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels.compiling import EVENTS, INT, LAYOUT, TABLE, helper, kernel, types
from tidemill_tiles.kernels.merge import INTERMEDIATE
from tidemill_tiles.kernels.past import row_of
from tidemill_tiles.kernels.places import find_entity
from tidemill_tiles.kernels.prefetching import prefetch, prefetch_item
from tidemill_tiles.kernels.rows import make_entity, new_slot, room_for
from tidemill_tiles.kernels.sweep import (
    DONE,
    FAR,
    LABELS,
    NEXT,
    NO_GROUP,
    NO_ROOM,
    OUTPUT,
    SEEN,
    SOON,
    ahead,
    begins,
    is_due,
)
from tidemill_tiles.kernels.update import update_sources
from tidemill_tiles.kernels.values import finish_merged


@helper
def _foresee(state: Any, hashes: Any, groups: Any, place: Any) -> None:
    """Ask for the entity some rows ahead and for its tile: no value depends on it."""
    entity, entity_map, rows = state[1], state[2], state[4]
    if begins(groups, place + FAR):
        prefetch_item(entity_map, np.int64(hashes[place + FAR, 0]) & (len(entity_map) - 1))
    slot = ahead(entity_map, hashes, groups, place + SOON)
    if slot >= 0:
        prefetch(entity, slot)
    slot = ahead(entity_map, hashes, groups, place + NEXT)
    if slot >= 0:
        prefetch(rows, entity[slot, at.ENTITY_HEAD])


@helper
def _tile_of(state: Any, hashes: Any, place: Any) -> Any:
    """Return the row of an entity's tile, -1 if it has none."""
    first, second = np.int64(hashes[place, 0]), np.int64(hashes[place, 1])
    slot = find_entity(state[2], state[1], first, second)
    return state[1][slot, at.ENTITY_HEAD] if slot >= 0 else np.int64(-1)


@helper
def _new_tile(state: Any, template: Any, events: Any, event: Any) -> Any:
    """Make an entity with an empty tile; there is room for it."""
    hashes, data, offsets, origin = events[0], events[1], events[2], events[3][event]
    first, second = np.int64(hashes[event, 0]), np.int64(hashes[event, 1])
    slot = new_slot(state)
    make_entity(state, slot, first, second, data, offsets[origin], offsets[origin + 1])
    return row_of(state, template, slot, 0, np.int64(0))


@helper
def _answer(rows: Any, row: Any, found: Any, output: Any, into: Any, time: Any, ttl: Any) -> None:
    """Read a tile (-1: there is none) at a time, into a row of the output."""
    outputs, numbers, values, status, event_times = output
    newest = rows[row, at.ROW_NEWEST] if row >= 0 else np.int64(at.NOTHING)
    oldest = time - ttl if ttl >= 0 else at.NOTHING
    merged = (rows[max(row, 0)], found[1][0], found[2][0], newest)
    finish_merged(outputs, numbers, merged, time, oldest, values, status, into)
    event_times[into] = newest


@kernel(
    types.UniTuple(INT, 3),
    TABLE,
    LAYOUT,
    EVENTS,
    SEEN,
    LABELS,
    INTERMEDIATE,
    OUTPUT,
    types.UniTuple(INT, 3),
)
def sweep_lifetime(
    state: Any,
    laid: Any,
    events: Any,
    seen: Any,
    labels: Any,
    found: Any,
    output: Any,
    progress: Any,
) -> Any:
    """Do what `sweep` does, for one level that keeps everything.

    The outputs name columns of a tile; of `found` only the expired groups are looked at: none.
    """
    event, label, ttl = progress
    rows, template = state[4], laid[2]
    hashes, times, label_groups, into = labels
    visible, event_groups = seen
    known, row = np.int64(-1), np.int64(-1)  # a group, and the row of its tile
    while True:
        time, group = np.int64(0), np.int64(NO_GROUP)
        if label < len(times):
            time, group = times[label], np.int64(label_groups[label])
        while event < len(visible):
            if not is_due(event_groups[event], visible[event], group, time):
                break
            if not room_for(state, 1):
                return NO_ROOM, event, label
            _foresee(state, events[0], event_groups, event)
            if event_groups[event] != known:
                known, row = np.int64(event_groups[event]), _tile_of(state, events[0], event)
            if row < 0:
                row = _new_tile(state, template, events, event)
            rows[row, at.ROW_NEWEST] = max(rows[row, at.ROW_NEWEST], events[4][event])
            update_sources(state[0], state[10], rows, row, laid, events, event)
            event += 1
        if label == len(times):
            return DONE, event, label
        _foresee(state, hashes, label_groups, label)
        if group != known:
            known, row = group, _tile_of(state, hashes, label)
        _answer(rows, row, found, output, into[label], time, ttl)
        label += 1
