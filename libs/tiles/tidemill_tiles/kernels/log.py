"""Rows of a table into columns of the feature log, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels.compiling import (
    B1,
    I1,
    I2,
    INT,
    RB1,
    RI1,
    RI2,
    RU1,
    RU2,
    S1,
    TABLE,
    U1,
    U2,
    helper,
    kernel,
    read_only,
    types,
)
from tidemill_tiles.kernels.places import find_entity
from tidemill_tiles.kernels.rows import (
    free_row,
    leave_bucket,
    make_entity,
    remove_entity,
    row_for,
)
from tidemill_tiles.kernels.sets import count_of, replace_in_row
from tidemill_tiles.kernels.sketches import counted, entry_before, width_of

N1 = types.uint32[::1]
N2 = types.uint32[:, ::1]
RN1 = read_only(N1)
RN2 = read_only(N2)
WRITTEN = types.Tuple((N1, U2, N1, B1, I1, I1, I2, N1, B1, N2, U1))
"""The columns of a record, in the order of `tidemill_tiles.codec.COLUMNS`."""
GIVEN = types.Tuple((RN1, RU2, RN1, RB1, RI1, RI1, RI2, RN1, RB1, RN2, RU1))
ENTITY_BYTES = 24
OK, UNKNOWN_SLOT, SLOT_TAKEN, HASH_TAKEN, BAD_SET, BAD_LEVEL = range(6)


@kernel(INT, TABLE, S1)
def take_dirty(state: Any, chosen: Any) -> Any:
    """Choose every row that changed since the last flush and still lives; return how many."""
    meta, rows, links, dirty = state[0], state[4], state[5], state[9]
    count = 0
    for place in range(meta[at.META_DIRTY]):
        row = dirty[place]
        if links[row, at.LINK_DIRTY] != 0 and rows[row, at.ROW_KEY] >= 0:
            links[row, at.LINK_DIRTY] = 0
            chosen[count] = row
            count += 1
    meta[at.META_DIRTY] = 0
    return count


@kernel(types.UniTuple(INT, 2), TABLE, I1, INT, S1, INT, INT)
def take_chunk(
    state: Any, set_columns: Any, start: Any, chosen: Any, row_bytes: Any, limit: Any
) -> Any:
    """Choose living rows from `start` on, at least one; return how many and where to go on.

    They take at most `limit` bytes, each one's entity counted unless it is announced already.
    """
    meta, entity, rows = state[0], state[1], state[4]
    epoch = meta[at.META_EPOCH]
    count, size, row = 0, 0, start
    while row < len(rows) and count < len(chosen):
        key = rows[row, at.ROW_KEY]
        if key >= 0:
            size += row_bytes
            for column in set_columns:
                size += 8 * count_of(rows[row, column + 1])
            slot = key >> at.LEVEL_BITS
            if entity[slot, at.ENTITY_ANNOUNCED] != epoch:
                size += ENTITY_BYTES + entity[slot, at.ENTITY_KEY_LENGTH]
            if count > 0 and size > limit:
                break
            chosen[count] = row
            count += 1
        row += 1
    return count, row


@kernel(types.UniTuple(INT, 5), TABLE, I1, S1, INT, INT, INT, INT)
def cut(
    state: Any, set_columns: Any, chosen: Any, start: Any, end: Any, row_bytes: Any, limit: Any
) -> Any:
    """Take rows that fit into one record, and announce their entities.

    Returns the end of the rows, the entities to announce, their key bytes, the set values and the
    bytes of it all. An entity to announce is marked with a negative epoch until `gather` writes it.
    """
    meta, entity, rows = state[0], state[1], state[4]
    epoch = meta[at.META_EPOCH]
    entities, key_bytes, values, size = 0, 0, 0, 0
    number = start
    while number < end:
        row = chosen[number]
        slot = rows[row, at.ROW_KEY] >> at.LEVEL_BITS
        more, length = row_bytes, 0
        for column in set_columns:
            more += 8 * count_of(rows[row, column + 1])
        announced = entity[slot, at.ENTITY_ANNOUNCED]
        new = announced not in (epoch, -2 - epoch)
        if new:
            length = entity[slot, at.ENTITY_KEY_LENGTH]
            more += ENTITY_BYTES + length
        if number > start and size + more > limit:
            break
        size += more
        for column in set_columns:
            values += count_of(rows[row, column + 1])
        if new:
            entity[slot, at.ENTITY_ANNOUNCED] = -2 - epoch
            entities += 1
            key_bytes += length
        number += 1
    return number, entities, key_bytes, values, size


@helper
def _write_entity(state: Any, slot: Any, number: Any, key_start: Any, out: Any) -> Any:
    entity, keys = state[1], state[3]
    slots, hashes, lengths, key_bytes = out[0], out[1], out[2], out[3]
    start, length = entity[slot, at.ENTITY_KEY], entity[slot, at.ENTITY_KEY_LENGTH]
    slots[number] = slot
    hashes[number, 0] = entity[slot, at.ENTITY_HASH]
    hashes[number, 1] = entity[slot, at.ENTITY_HASH + 1]
    lengths[number] = length
    for place in range(length):
        key_bytes[key_start + place] = keys[start + place]
    return key_start + length


@kernel(types.void, TABLE, I1, I1, S1, INT, INT, WRITTEN)
def gather(
    state: Any, cells: Any, set_columns: Any, chosen: Any, start: Any, end: Any, out: Any
) -> None:
    """Write the rows that `cut` took, and the entities that it announced."""
    meta, entity, rows, pool = state[0], state[1], state[4], state[10]
    tiles, newest, columns, slots, levels, counts, values = out[4:]
    epoch = meta[at.META_EPOCH]
    announced, key_start, value = 0, 0, 0
    for number in range(start, end):
        row, to = chosen[number], number - start
        key = rows[row, at.ROW_KEY]
        slot = key >> at.LEVEL_BITS
        if entity[slot, at.ENTITY_ANNOUNCED] == -2 - epoch:
            entity[slot, at.ENTITY_ANNOUNCED] = epoch
            key_start = _write_entity(state, slot, announced, key_start, out)
            announced += 1
        slots[to] = slot
        levels[to] = key & at.LEVEL_MASK
        tiles[to] = rows[row, at.ROW_TILE]
        newest[to] = rows[row, at.ROW_NEWEST]
        for number_of_cell in range(len(cells)):
            columns[number_of_cell, to] = rows[row, cells[number_of_cell]]
    for number_of_set in range(len(set_columns)):
        column = set_columns[number_of_set]
        for number in range(start, end):
            row = chosen[number]
            count = count_of(rows[row, column + 1])
            counts[number_of_set, number - start] = count
            for place in range(count):
                values[value] = pool[rows[row, column] + place]
                value += 1


@helper
def _good_block(kind: Any, values: Any, start: Any, end: Any) -> Any:
    """Tell whether the entries of a block ascend and count something."""
    width = width_of(kind)
    if (end - start) % width != 0:
        return False
    for place in range(start, end, width):
        if kind == at.BUCKETS and counted(values[place]) < 1:
            return False
        if (
            kind == at.TALLY
            and values[place + 1] == 0
            and not (place == start and end == place + 2)
        ):
            return False
        if place > start and not entry_before(kind, values, place - width, place):
            return False
    return True


@kernel(types.UniTuple(INT, 2), GIVEN, I1, I1, INT)
def check_given(given: Any, set_limits: Any, set_kinds: Any, levels: Any) -> Any:
    """Check levels, counts of blocks and the order in them; return a code and the highest slot."""
    highest = np.int64(-1)
    for slot in given[0]:
        highest = max(highest, np.int64(slot))
    for level in given[8]:
        if level >= levels:
            return BAD_LEVEL, highest
    counts, values = given[9], given[10]
    value = np.int64(0)
    for number in range(counts.shape[0]):
        for row in range(counts.shape[1]):
            count = np.int64(counts[number, row])
            if count > set_limits[number] or value + count > len(values):
                return BAD_SET, highest
            if not _good_block(set_kinds[number], values, value, value + count):
                return BAD_SET, highest
            value += count
    return (OK if value == len(values) else BAD_SET), highest


@kernel(INT, TABLE, GIVEN)
def place_entities(state: Any, given: Any) -> Any:
    """Let announced entities live in the slots that their owner chose."""
    entity, entity_map = state[1], state[2]
    slots, hashes, lengths, key_bytes = given[0], given[1], given[2], given[3]
    start = np.int64(0)
    for number in range(len(slots)):
        slot = np.int64(slots[number])
        first, second = np.int64(hashes[number, 0]), np.int64(hashes[number, 1])
        end = start + np.int64(lengths[number])
        known = find_entity(entity_map, entity, first, second)
        if known != slot:
            if known >= 0:
                if entity[known, at.ENTITY_TILES] != 0:
                    return HASH_TAKEN
                remove_entity(state, known)
            if entity[slot, at.ENTITY_LIVE] != 0:
                if entity[slot, at.ENTITY_TILES] != 0:
                    return SLOT_TAKEN
                remove_entity(state, slot)
            make_entity(state, slot, first, second, key_bytes, start, end)
        start = end
    return OK


@kernel(INT, TABLE, I1, I1, I1, GIVEN, INT)
def place_rows(
    state: Any, template: Any, cells: Any, set_columns: Any, given: Any, snapshot: Any
) -> Any:
    """Make the given absolute partials the state of their rows."""
    meta, entity, rows, links, pool = state[0], state[1], state[4], state[5], state[10]
    tiles, newest, columns, slots, levels, counts, values = given[4:]
    for number in range(len(slots)):
        slot = np.int64(slots[number])
        if slot >= len(entity) or entity[slot, at.ENTITY_LIVE] == 0:
            return UNKNOWN_SLOT
    value = np.int64(0)
    for number_of_set in range(max(1, len(set_columns))):
        for number in range(len(slots)):
            slot, level = np.int64(slots[number]), np.int64(levels[number])
            row = row_for(state, template, slot, level, tiles[number])
            if number_of_set == 0:
                rows[row, at.ROW_NEWEST] = newest[number]
                links[row, at.LINK_NAMED] = snapshot
                for number_of_cell in range(len(cells)):
                    rows[row, cells[number_of_cell]] = columns[number_of_cell, number]
            if number_of_set < len(set_columns):
                count = np.int64(counts[number_of_set, number])
                column = set_columns[number_of_set]
                replace_in_row(meta, pool, rows, row, column, values, value, count)
                value += count
    return OK


@kernel(INT, TABLE, I1, INT)
def drop_unnamed(state: Any, set_columns: Any, snapshot: Any) -> Any:
    """Remove rows that nothing has named since a snapshot began, and entities without tiles."""
    entity, rows, links = state[1], state[4], state[5]
    count = 0
    for row in range(len(rows)):
        if rows[row, at.ROW_KEY] >= 0 and links[row, at.LINK_NAMED] != snapshot:
            leave_bucket(state, row)
            free_row(state, set_columns, row)
            count += 1
    for slot in range(len(entity)):
        if entity[slot, at.ENTITY_LIVE] != 0 and entity[slot, at.ENTITY_TILES] == 0:
            remove_entity(state, slot)
    return count


@kernel(types.void, I2, INT)
def announce_all(entity: Any, epoch: Any) -> None:
    """Take every living entity as announced: the log names them all."""
    for slot in range(len(entity)):
        entity[slot, at.ENTITY_ANNOUNCED] = epoch
