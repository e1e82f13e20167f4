"""Finding things: entity hash to slot, (slot, level, tile) to row, (level, tile) to its rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels.compiling import B1, I2, INT, S1, helper, kernel, types
from tidemill_tiles.kernels.hashing import mix64

_P1 = np.uint64(0x9E3779B97F4A7C15)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_U29 = np.uint64(29)
_U32 = np.uint64(32)


@helper
def tile_of(time: Any, hop: Any) -> Any:
    """Return the tile that holds a time: tile k covers (k * hop, (k + 1) * hop]."""
    return np.int64(0) if hop == 0 else (time - 1) // hop


@helper
def _row_start(key: Any, tile: Any, mask: Any) -> Any:
    mixed = np.uint64(key) * _P1 ^ np.uint64(tile) * _P2
    mixed = (mixed ^ (mixed >> _U32)) * _P1
    return np.int64(mixed ^ (mixed >> _U29)) & mask


@helper
def find_row(row_map: Any, rows: Any, key: Any, tile: Any) -> Any:
    """Return the row of (key, tile), or -1."""
    mask = len(row_map) - 1
    place = _row_start(key, tile, mask)
    while row_map[place] >= 0:
        row = row_map[place]
        if rows[row, at.ROW_TILE] == tile and rows[row, at.ROW_KEY] == key:
            return np.int64(row)
        place = (place + 1) & mask
    return np.int64(-1)


@helper
def place_row(row_map: Any, rows: Any, row: Any) -> None:
    """Put a row that is not in the map into it."""
    mask = len(row_map) - 1
    place = _row_start(rows[row, at.ROW_KEY], rows[row, at.ROW_TILE], mask)
    while row_map[place] >= 0:
        place = (place + 1) & mask
    row_map[place] = row


@helper
def forget_row(row_map: Any, rows: Any, row: Any) -> None:
    """Take a row out of the map, closing the gap behind it."""
    mask = len(row_map) - 1
    hole = _row_start(rows[row, at.ROW_KEY], rows[row, at.ROW_TILE], mask)
    while row_map[hole] != row:
        hole = (hole + 1) & mask
    place = hole
    while True:
        place = (place + 1) & mask
        other = row_map[place]
        if other < 0:
            break
        start = _row_start(rows[other, at.ROW_KEY], rows[other, at.ROW_TILE], mask)
        if ((place - start) & mask) >= ((place - hole) & mask):
            row_map[hole] = other
            hole = place
    row_map[hole] = -1


@helper
def find_entity(entity_map: Any, entity: Any, first: Any, second: Any) -> Any:
    """Return the slot of an entity hash (as two int64), or -1."""
    mask = len(entity_map) - 1
    place = first & mask
    while entity_map[place] >= 0:
        slot = entity_map[place]
        if entity[slot, at.ENTITY_HASH] == first and entity[slot, at.ENTITY_HASH + 1] == second:
            return np.int64(slot)
        place = (place + 1) & mask
    return np.int64(-1)


@helper
def place_entity(entity_map: Any, entity: Any, slot: Any) -> None:
    """Put a slot that is not in the map into it."""
    mask = len(entity_map) - 1
    place = entity[slot, at.ENTITY_HASH] & mask
    while entity_map[place] >= 0:
        place = (place + 1) & mask
    entity_map[place] = slot


@helper
def forget_entity(entity_map: Any, entity: Any, slot: Any) -> None:
    """Take a slot out of the map, closing the gap behind it."""
    mask = len(entity_map) - 1
    hole = entity[slot, at.ENTITY_HASH] & mask
    while entity_map[hole] != slot:
        hole = (hole + 1) & mask
    place = hole
    while True:
        place = (place + 1) & mask
        other = entity_map[place]
        if other < 0:
            break
        start = entity[other, at.ENTITY_HASH] & mask
        if ((place - start) & mask) >= ((place - hole) & mask):
            entity_map[hole] = other
            hole = place
    entity_map[hole] = -1


@helper
def bucket_place(buckets: Any, level: Any, tile: Any) -> Any:
    """Return where the bucket of (level, tile) is, or where it belongs."""
    mask = len(buckets) - 1
    place = np.int64(mix64(np.uint64(tile) * _P1 + np.uint64(level))) & mask
    while buckets[place, at.BUCKET_LEVEL] != 0 and (
        buckets[place, at.BUCKET_LEVEL] != level + 1 or buckets[place, at.BUCKET_TILE] != tile
    ):
        place = (place + 1) & mask
    return place


@kernel(types.void, S1, I2)
def fill_row_map(row_map: Any, rows: Any) -> None:
    """Build the row map of a grown table; a free row has a negative key."""
    for row in range(len(rows)):
        if rows[row, at.ROW_KEY] >= 0:
            place_row(row_map, rows, row)


@kernel(types.void, S1, I2)
def fill_entity_map(entity_map: Any, entity: Any) -> None:
    """Build the entity map of a grown table."""
    for slot in range(len(entity)):
        if entity[slot, at.ENTITY_LIVE] != 0:
            place_entity(entity_map, entity, slot)


@kernel(types.void, I2, I2)
def fill_buckets(buckets: Any, old: Any) -> None:
    """Copy every bucket that is not marked as gone into another, empty table of them."""
    for place in range(len(old)):
        if old[place, at.BUCKET_LEVEL] > 0:
            to = bucket_place(buckets, old[place, 0] - 1, old[place, at.BUCKET_TILE])
            for word in range(3):
                buckets[to, word] = old[place, word]


@kernel(INT, I2, B1, B1)
def move_keys(entity: Any, old: Any, fresh: Any) -> Any:
    """Copy the key bytes of live entities into a fresh arena; return the bytes used."""
    used = 0
    for slot in range(len(entity)):
        if entity[slot, at.ENTITY_LIVE] == 0:
            continue
        start, size = entity[slot, at.ENTITY_KEY], entity[slot, at.ENTITY_KEY_LENGTH]
        for place in range(size):
            fresh[used + place] = old[start + place]
        entity[slot, at.ENTITY_KEY] = used
        used += size
    return used
