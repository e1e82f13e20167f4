"""The tiles of a replay: chains alone, since time passes entity by entity and nothing is flushed.

Rows have no place in the row map, the buckets and the dirty list of a table: an entity's tiles are
found from its newest on, and dropped by its own clock.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels.compiling import I1, I2, INT, TABLE, helper, kernel
from tidemill_tiles.kernels.places import find_entity, tile_of
from tidemill_tiles.kernels.rows import make_entity, new_slot, remove_entity
from tidemill_tiles.kernels.sets import give_block
from tidemill_tiles.kernels.sliding import (
    WINDOWS,
    after_change,
    before_change,
    bring_to,
    oldest_row,
)
from tidemill_tiles.kernels.update import update_sources


@helper
def row_of(state: Any, template: Any, slot: Any, level: Any, tile: Any) -> Any:
    """Return the row of an entity's tile, making an empty one if there is none."""
    meta, entity, rows, links, free = state[0], state[1], state[4], state[5], state[8]
    newer, older = np.int64(-1), entity[slot, at.ENTITY_HEAD + level]
    while older >= 0 and rows[older, at.ROW_TILE] > tile:
        newer, older = older, np.int64(links[older, at.LINK_NEXT])
    if older >= 0 and rows[older, at.ROW_TILE] == tile:
        return older
    meta[at.META_FREE] -= 1
    row = np.int64(free[meta[at.META_FREE]])
    for word in range(at.ROW_HEAD, len(template)):
        rows[row, word] = template[word]
    rows[row, at.ROW_NEWER] = newer
    rows[row, at.ROW_TILE] = tile
    rows[row, at.ROW_NEWEST] = at.NOTHING
    links[row, at.LINK_NEXT] = older
    if older >= 0:
        rows[older, at.ROW_NEWER] = row
    if newer >= 0:
        links[newer, at.LINK_NEXT] = row
    else:
        entity[slot, at.ENTITY_HEAD + level] = row
    entity[slot, at.ENTITY_TILES] += 1
    meta[at.META_TILES] += 1
    return row


@helper
def remember(state: Any, laid: Any, windows: Any, events: Any, event: Any, visible: Any) -> None:
    """Add one event to its tile of every level, and to what is kept; there is room for it."""
    levels, template, plan = laid[0], laid[2], windows[0]
    hashes, data, offsets, origins, times = events[0], events[1], events[2], events[3], events[4]
    meta, rows, pool = state[0], state[4], state[10]
    first, second = np.int64(hashes[event, 0]), np.int64(hashes[event, 1])
    slot = find_entity(state[2], state[1], first, second)
    if slot < 0:
        slot = new_slot(state)
        origin = origins[event]
        make_entity(state, slot, first, second, data, offsets[origin], offsets[origin + 1])
    time, kept = times[event], windows[2][slot]
    if time > visible:
        kept[at.KEPT_LIVE] = 0  # a read may come before the event's own time
    live = kept[at.KEPT_LIVE] != 0
    for level in range(len(levels)):
        row = row_of(state, template, slot, level, tile_of(time, levels[level, at.LEVEL_HOP]))
        if live:
            before_change(plan, kept, level, rows, row)
        rows[row, at.ROW_NEWEST] = max(rows[row, at.ROW_NEWEST], time)
        update_sources(meta, pool, rows, row, laid, events, event)
        if live:
            after_change(plan, kept, level, rows, row)


@helper
def _oldest_tile(levels: Any, level: Any, time: Any) -> Any:
    """Return the oldest tile that a read at a time, or later, can see."""
    hop = levels[level, at.LEVEL_HOP]
    if hop == 0:
        return np.int64(at.NOTHING)
    return tile_of(time, hop) - levels[level, at.LEVEL_WINDOW] // hop + 1


@helper
def _cut(state: Any, set_columns: Any, slot: Any, level: Any, newer: Any) -> None:
    """Drop an entity's tiles of a level that are older than those of a row; all of them for -1."""
    meta, entity, rows, links = state[0], state[1], state[4], state[5]
    free, pool = state[8], state[10]
    if newer >= 0:
        row = np.int64(links[newer, at.LINK_NEXT])
        links[newer, at.LINK_NEXT] = -1
    else:
        row = entity[slot, at.ENTITY_HEAD + level]
        entity[slot, at.ENTITY_HEAD + level] = -1
    while row >= 0:
        older = np.int64(links[row, at.LINK_NEXT])
        for column in set_columns:
            give_block(meta, pool, rows[row, column], rows[row, column + 1])
        free[meta[at.META_FREE]] = row
        meta[at.META_FREE] += 1
        entity[slot, at.ENTITY_TILES] -= 1
        meta[at.META_TILES] -= 1
        row = older


@helper
def forget(state: Any, levels: Any, set_columns: Any, windows: Any, slot: Any, time: Any) -> None:
    """Drop an entity's tiles that no read at this time or later sees, and it, if none is left.

    What is kept of its windows is of this time, or not live.
    """
    entity, rows, links, kept = state[1], state[4], state[5], windows[2][slot]
    for level in range(len(levels)):
        if kept[at.KEPT_LIVE] != 0:
            _cut(state, set_columns, slot, level, oldest_row(windows[0], kept, level))
            continue
        oldest = _oldest_tile(levels, level, time)
        newer, row = np.int64(-1), entity[slot, at.ENTITY_HEAD + level]
        while row >= 0 and rows[row, at.ROW_TILE] >= oldest:
            newer, row = row, np.int64(links[row, at.LINK_NEXT])
        _cut(state, set_columns, slot, level, newer)
    if entity[slot, at.ENTITY_TILES] == 0:
        kept[at.KEPT_LIVE] = 0
        remove_entity(state, slot)


@kernel(INT, TABLE, I2, I1, WINDOWS, INT)
def forget_all(state: Any, levels: Any, set_columns: Any, windows: Any, time: Any) -> Any:
    """Drop what no read at this time or later sees; return how many tiles are left."""
    entity, plan, kept = state[1], windows[0], windows[2]
    for slot in range(len(entity)):
        if entity[slot, at.ENTITY_LIVE] != 0:
            if kept[slot, at.KEPT_LIVE] != 0:
                bring_to(state, plan, kept[slot], slot, time)
            forget(state, levels, set_columns, windows, slot, time)
    return state[0][at.META_TILES]
