"""Tiles of an entity merged: integers only, so that the order of tables and tiles is nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels import wide
from tidemill_tiles.kernels.compiling import (
    B2,
    I1,
    I2,
    INT,
    RI1,
    RU2,
    TABLE,
    U2,
    helper,
    kernel,
    types,
)
from tidemill_tiles.kernels.places import find_entity, tile_of
from tidemill_tiles.kernels.sets import count_of
from tidemill_tiles.kernels.sketches import pour
from tidemill_tiles.kernels.update import before, dead_tile

PLAN = types.Tuple((I2, I2, I2, I1))
"""levels, groups, operations, empty accumulator"""
INTERMEDIATE = types.Tuple((I2, U2, B2, I1, I1))
"""accumulators, sets, expired groups, newest times: a row per entity; and room for row numbers"""


@helper
def _merge_wide(into: Any, place: Any, rows: Any, chosen: Any, count: Any, column: Any) -> None:
    low, high = into[place], into[place + 1]
    for number in range(count):
        row = chosen[number]
        low, high = wide.add(low, high, rows[row, column], rows[row, column + 1])
    into[place] = low
    into[place + 1] = high


@helper
def _merge_event(
    into: Any, place: Any, rows: Any, chosen: Any, count: Any, column: Any, last: Any
) -> None:
    time, tie, value = into[place], into[place + 1], into[place + 2]
    for number in range(count):
        row = chosen[number]
        at_time, at_tie = rows[row, column], rows[row, column + 1]
        at_value = rows[row, column + 2]
        if last:
            take = before(time, tie, value, at_time, at_tie, at_value)
        else:
            take = before(at_time, at_tie, at_value, time, tie, value)
        if take:
            time, tie, value = at_time, at_tie, at_value
    into[place] = time
    into[place + 1] = tie
    into[place + 2] = value


@helper
def _merge_block(
    into: Any, sets: Any, rows: Any, pool: Any, chosen: Any, count: Any, operation: Any
) -> None:
    primitive, column = operation[at.OP_PRIMITIVE], operation[at.OP_COLUMN]
    place, limit = operation[at.OP_PLACE], operation[at.OP_LIMIT]
    start, held = into[place], into[place + 1]
    for number in range(count):
        row = chosen[number]
        first = rows[row, column]
        end = first + count_of(rows[row, column + 1])
        held = pour(primitive, sets, start, held, limit, pool, first, end)
    into[place + 1] = held


@helper
def _merge_words(into: Any, rows: Any, chosen: Any, count: Any, operation: Any) -> Any:
    """Merge a primitive of single words; tell whether it was one."""
    primitive, column = operation[at.OP_PRIMITIVE], operation[at.OP_COLUMN]
    place = operation[at.OP_PLACE]
    if primitive == at.SRC_N:
        for number in range(count):
            into[place] += rows[chosen[number], column]
    elif primitive == at.SRC_MIN:
        for number in range(count):
            into[place] = min(into[place], rows[chosen[number], column])
    elif primitive in (at.SRC_MAX, at.NEWEST):
        for number in range(count):
            into[place] = max(into[place], rows[chosen[number], column])
    elif primitive == at.BINS:
        for number in range(count):
            row = chosen[number]
            for word in range(operation[at.OP_LIMIT]):
                into[place + word] += rows[row, column + word]
    else:
        return False
    return True


@helper
def _merge_rows(
    into: Any, sets: Any, rows: Any, pool: Any, chosen: Any, count: Any, operation: Any
) -> None:
    """Merge one primitive of many rows: one loop each, so that the rows are fetched together."""
    primitive, column = operation[at.OP_PRIMITIVE], operation[at.OP_COLUMN]
    place = operation[at.OP_PLACE]
    if primitive in (at.SRC_SUM, at.SRC_SQUARES):
        _merge_wide(into, place, rows, chosen, count, column)
    elif primitive in (at.SRC_FIRST, at.SRC_LAST):
        _merge_event(into, place, rows, chosen, count, column, primitive == at.SRC_LAST)
    elif not _merge_words(into, rows, chosen, count, operation):
        _merge_block(into, sets, rows, pool, chosen, count, operation)


@helper
def _merge_level(
    state: Any, plan: Any, level: Any, slot: Any, time: Any, into: Any, sets: Any, chosen: Any
) -> Any:
    """Merge an entity's tiles of one level into every group of it; return the newest time."""
    entity, rows, links, pool = state[1], state[4], state[5], state[10]
    levels, groups, operations, _ = plan
    head = tile_of(time, levels[level, at.LEVEL_HOP])
    newest, count = np.int64(at.NOTHING), 0
    row = entity[slot, at.ENTITY_HEAD + level]
    while row >= 0 and rows[row, at.ROW_TILE] > head:
        row = np.int64(links[row, at.LINK_NEXT])
    # Groups of a level go from the shortest window to the longest: each takes a longer prefix.
    for group in range(levels[level, at.LEVEL_GROUPS], levels[level, at.LEVEL_GROUPS_END]):
        tail = head - groups[group, at.GROUP_TILES]
        while row >= 0 and rows[row, at.ROW_TILE] > tail:
            newest = max(newest, rows[row, at.ROW_NEWEST])
            chosen[count] = row
            count += 1
            row = np.int64(links[row, at.LINK_NEXT])
        for number in range(groups[group, at.GROUP_START], groups[group, at.GROUP_END]):
            _merge_rows(into, sets, rows, pool, chosen, count, operations[number])
    return newest


@helper
def clear(plan: Any, found: Any, number: Any) -> None:
    """Begin the merge of one entity."""
    accumulators, _, expired, newest, _ = found
    template = plan[3]
    for place in range(len(template)):
        accumulators[number, place] = template[place]
    for group in range(expired.shape[1]):
        expired[number, group] = 0
    newest[number] = at.NOTHING


@helper
def merge_entity(
    state: Any, plan: Any, found: Any, number: Any, first: Any, second: Any, time: Any
) -> None:
    """Merge one entity of one table."""
    slot = find_entity(state[2], state[1], first, second)
    if slot >= 0:
        merge_slot(state, plan, found, number, slot, time)


@helper
def merge_slot(state: Any, plan: Any, found: Any, number: Any, slot: Any, time: Any) -> None:
    """Merge the entity in a slot."""
    accumulators, sets, _, newest, chosen = found
    for level in range(len(plan[0])):
        seen = _merge_level(
            state, plan, level, slot, time, accumulators[number], sets[number], chosen
        )
        newest[number] = max(newest[number], seen)


@helper
def mark_expired(plan: Any, found: Any, number: Any, time: Any, watermark: Any, late: Any) -> None:
    """Mark groups whose window reaches into tiles that a table has evicted."""
    levels, groups, _, _ = plan
    for group in range(len(groups)):
        level = groups[group, at.GROUP_LEVEL]
        tail = tile_of(time, levels[level, at.LEVEL_HOP]) - groups[group, at.GROUP_TILES] + 1
        if tail <= dead_tile(levels, level, watermark, late):
            found[2][number, group] = 1


@kernel(types.void, PLAN, INTERMEDIATE, INT)
def begin_read(plan: Any, found: Any, count: Any) -> None:
    """Begin the merge of `count` entities."""
    for number in range(count):
        clear(plan, found, number)


@kernel(types.void, TABLE, PLAN, INTERMEDIATE, RU2, RI1, INT, INT)
def read_table(
    state: Any, plan: Any, found: Any, hashes: Any, times: Any, watermark: Any, lateness: Any
) -> None:
    """Merge one table into what was found so far, a row per entity."""
    for number in range(len(hashes)):
        first, second = np.int64(hashes[number, 0]), np.int64(hashes[number, 1])
        merge_entity(state, plan, found, number, first, second, times[number])
        mark_expired(plan, found, number, times[number], watermark, lateness)
