"""Events into tiles, and tiles out again: apply, evict, erase."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import decay, wide
from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels.compiling import (
    EVENTS,
    I1,
    I2,
    INT,
    LAYOUT,
    RI1,
    RU2,
    TABLE,
    helper,
    kernel,
    types,
)
from tidemill_tiles.kernels.hashing import mix64
from tidemill_tiles.kernels.places import find_entity, tile_of
from tidemill_tiles.kernels.rows import (
    free_row,
    leave_bucket,
    make_entity,
    mark_dirty,
    new_slot,
    remove_entity,
    room_for,
    row_for,
)
from tidemill_tiles.kernels.sets import add_to_row
from tidemill_tiles.kernels.sketches import (
    add_recent,
    add_sized,
    add_tally,
    add_weighted,
    ordered,
)


@helper
def before(a_time: Any, a_tie: Any, a_value: Any, b_time: Any, b_tie: Any, b_value: Any) -> Any:
    """Order of events for first and last: time, then event id, then value."""
    if a_time != b_time:
        return a_time < b_time
    if a_tie != b_tie:
        return a_tie < b_tie
    return a_value < b_value


@helper
def set_event(rows: Any, row: Any, column: Any, time: Any, tie: Any, value: Any) -> None:
    """Store the event that is first or last."""
    rows[row, column] = time
    rows[row, column + 1] = tie
    rows[row, column + 2] = value


@helper
def update_row(
    meta: Any, rows: Any, pool: Any, row: Any, source: Any, value: Any, time: Any, tie: Any
) -> None:
    """Add one value to the columns of its source."""
    rows[row, source[at.SRC_N]] += 1
    column = source[at.SRC_SUM]
    if column >= 0:
        low, high = wide.add(rows[row, column], rows[row, column + 1], value, value >> 63)
        rows[row, column] = low
        rows[row, column + 1] = high
    column = source[at.SRC_SQUARES]
    if column >= 0:
        low, high = wide.square(value)
        low, high = wide.add(rows[row, column], rows[row, column + 1], low, high)
        rows[row, column] = low
        rows[row, column + 1] = high
    column = source[at.SRC_MIN]
    if column >= 0:
        rows[row, column] = min(rows[row, column], value)
    column = source[at.SRC_MAX]
    if column >= 0:
        rows[row, column] = max(rows[row, column], value)
    column = source[at.SRC_FIRST]
    if column >= 0 and before(
        time, tie, value, rows[row, column], rows[row, column + 1], rows[row, column + 2]
    ):
        set_event(rows, row, column, time, tie, value)
    column = source[at.SRC_LAST]
    if column >= 0 and before(
        rows[row, column], rows[row, column + 1], rows[row, column + 2], time, tie, value
    ):
        set_event(rows, row, column, time, tie, value)
    column = source[at.SRC_SET]
    if column >= 0:
        add_to_row(meta, pool, rows, row, column, source[at.SRC_LIMIT], mix64(value))


@helper
def bin_of(edges: Any, start: Any, count: Any, value: Any) -> Any:
    """Return how many of `count` ascending edges a value has reached."""
    low, high = np.int64(0), np.int64(count)
    while low < high:
        middle = (low + high) // 2
        if edges[start + middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@helper
def update_extra(
    meta: Any, rows: Any, pool: Any, row: Any, extra: Any, edges: Any,
    value: Any, time: Any, tie: Any,
) -> None:  # fmt: skip
    """Add one value to a partial with parameters."""
    primitive, column = extra[at.EXTRA_PRIMITIVE], extra[at.EXTRA_COLUMN]
    limit, number = extra[at.EXTRA_LIMIT], extra[at.EXTRA_NUMBER]
    if primitive == at.NEWEST:
        rows[row, column] = max(rows[row, column], time)
    elif primitive == at.BINS:
        rows[row, column + bin_of(edges, number, limit - 1, value)] += 1
    elif primitive == at.BLOCKS:
        key = ordered(decay.half_life_of(time, number))
        weight = decay.weight(time, number)
        add_weighted(meta, pool, rows, row, column, limit, key, weight, value)
    elif primitive == at.BUCKETS:
        add_sized(meta, pool, rows, row, column, number, value)
    elif primitive == at.RECENT:
        add_recent(meta, pool, rows, row, column, limit, time, tie, value)
    else:
        add_tally(meta, pool, rows, row, column, limit, value)


@helper
def update_sources(
    meta: Any, pool: Any, rows: Any, row: Any, laid: Any, events: Any, event: Any
) -> None:
    """Add one event to the columns of every source that takes it."""
    sources, extras, edges = laid[1], laid[3], laid[4]
    times, ties, values, valid, filters = events[4], events[5], events[6], events[7], events[8]
    time, tie = times[event], np.int64(ties[event])
    for number in range(len(sources)):
        source = sources[number]
        if source[at.SRC_FILTER] >= 0 and not filters[source[at.SRC_FILTER], event]:
            continue
        value = np.int64(0)
        if source[at.SRC_VALUE] >= 0:
            if not valid[source[at.SRC_VALUE], event]:
                continue
            value = values[source[at.SRC_VALUE], event]
        update_row(meta, rows, pool, row, source, value, time, tie)
        for place in range(source[at.SRC_EXTRAS], source[at.SRC_EXTRAS_END]):
            update_extra(meta, rows, pool, row, extras[place], edges, value, time, tie)


@helper
def apply_event(state: Any, laid: Any, events: Any, event: Any) -> None:
    """Add one event to its tile of every level; there is room for it."""
    hashes, data, offsets, origins, times = events[0], events[1], events[2], events[3], events[4]
    levels, template = laid[0], laid[2]
    meta, rows, pool = state[0], state[4], state[10]
    first, second = np.int64(hashes[event, 0]), np.int64(hashes[event, 1])
    slot = find_entity(state[2], state[1], first, second)
    if slot < 0:
        slot = new_slot(state)
        origin = origins[event]
        make_entity(state, slot, first, second, data, offsets[origin], offsets[origin + 1])
    time = times[event]
    for level in range(len(levels)):
        tile = tile_of(time, levels[level, at.LEVEL_HOP])
        row = row_for(state, template, slot, level, tile)
        rows[row, at.ROW_NEWEST] = max(rows[row, at.ROW_NEWEST], time)
        mark_dirty(state, row)
        update_sources(meta, pool, rows, row, laid, events, event)


@kernel(INT, TABLE, LAYOUT, EVENTS, INT)
def apply_events(state: Any, laid: Any, events: Any, start: Any) -> Any:
    """Add events from `start` on; return the first one for which there was no room."""
    count = len(events[4])
    for event in range(start, count):
        if not room_for(state, len(laid[0])):
            return event
        apply_event(state, laid, events, event)
    return count


@helper
def dead_tile(levels: Any, level: Any, watermark: Any, lateness: Any) -> Any:
    """Return the newest tile of a level that is no longer kept: pure in the watermark."""
    hop, window = levels[level, at.LEVEL_HOP], levels[level, at.LEVEL_WINDOW]
    if hop == 0 or watermark == at.NOTHING:
        return np.int64(at.NOTHING)
    return (watermark - window - lateness - hop) // hop


@helper
def _free_bucket(state: Any, set_columns: Any, bucket: Any, keep_entities: Any) -> None:
    entity, rows, links, buckets = state[1], state[4], state[5], state[7]
    row = np.int64(buckets[bucket, at.BUCKET_ROW])
    while row >= 0:
        peer = np.int64(links[row, at.LINK_PEER])
        slot = rows[row, at.ROW_KEY] >> at.LEVEL_BITS
        free_row(state, set_columns, row)
        if entity[slot, at.ENTITY_TILES] == 0 and not keep_entities:
            remove_entity(state, slot)
        row = peer


@kernel(INT, TABLE, I2, I1, INT, INT, types.bool_)
def evict_tiles(
    state: Any, levels: Any, set_columns: Any, watermark: Any, lateness: Any, keep_entities: Any
) -> Any:
    """Remove the tiles that are no longer kept, and entities without any; return how many tiles.

    Their buckets are only marked: the caller closes the gaps when any tile went.
    """
    meta, buckets = state[0], state[7]
    before = meta[at.META_TILES]
    for level in range(len(levels)):
        dead = dead_tile(levels, level, watermark, lateness)
        if meta[at.META_OLDEST + level] > dead:
            continue
        oldest = np.int64(2**62)
        for bucket in range(len(buckets)):
            if buckets[bucket, at.BUCKET_LEVEL] != level + 1:
                continue
            if buckets[bucket, at.BUCKET_TILE] <= dead:
                _free_bucket(state, set_columns, bucket, keep_entities)
                buckets[bucket, at.BUCKET_ROW] = -1
                buckets[bucket, at.BUCKET_LEVEL] = -1
            else:
                oldest = min(oldest, buckets[bucket, at.BUCKET_TILE])
        meta[at.META_OLDEST + level] = oldest
    return before - meta[at.META_TILES]


@helper
def erase_slot(state: Any, set_columns: Any, slot: Any) -> None:
    """Remove an entity with all its tiles."""
    entity = state[1]
    for level in range(entity.shape[1] - at.ENTITY_HEAD):
        row = entity[slot, at.ENTITY_HEAD + level]
        while row >= 0:
            leave_bucket(state, row)
            free_row(state, set_columns, row)
            row = entity[slot, at.ENTITY_HEAD + level]
    remove_entity(state, slot)


@kernel(INT, TABLE, I1, RU2, I1)
def erase_entities(state: Any, set_columns: Any, hashes: Any, slots: Any) -> Any:
    """Remove entities that are there; return how many, their slots in `slots`."""
    count = 0
    for number in range(len(hashes)):
        slot = find_entity(
            state[2], state[1], np.int64(hashes[number, 0]), np.int64(hashes[number, 1])
        )
        if slot >= 0:
            erase_slot(state, set_columns, slot)
            slots[count] = slot
            count += 1
    return count


@kernel(INT, TABLE, I1, RI1)
def erase_slots(state: Any, set_columns: Any, slots: Any) -> Any:
    """Remove the entities in these slots, where there is one."""
    entity = state[1]
    count = 0
    for slot in slots:
        if slot < len(entity) and entity[slot, at.ENTITY_LIVE] != 0:
            erase_slot(state, set_columns, slot)
            count += 1
    return count
