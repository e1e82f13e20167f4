"""Making and removing entities and tile rows; the chains that reads walk."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels.compiling import helper
from tidemill_tiles.kernels.places import (
    bucket_place,
    find_row,
    forget_entity,
    forget_row,
    place_entity,
    place_row,
)
from tidemill_tiles.kernels.sets import give_block


@helper
def room_for(state: Any, levels: Any) -> Any:
    """Tell whether one more event, with a new entity and new tiles, fits without growing."""
    meta, entity, keys, buckets, dirty, pool = (
        state[0],
        state[1],
        state[3],
        state[7],
        state[9],
        state[10],
    )
    return (
        meta[at.META_ENTITIES] * 2 + 2 <= len(entity)
        and meta[at.META_FREE] >= levels
        and meta[at.META_DIRTY] + levels <= len(dirty)
        and (meta[at.META_BUCKETS] + levels) * 2 <= len(buckets)
        and meta[at.META_POOL] + meta[at.META_POOL_NEED] <= len(pool)
        and meta[at.META_KEYS] + at.KEY_ROOM <= len(keys)
    )


@helper
def new_slot(state: Any) -> Any:
    """Return a slot that is free; the owner's choice, which the log then tells everybody."""
    meta, entity = state[0], state[1]
    slot = meta[at.META_CURSOR]
    while entity[slot, at.ENTITY_LIVE] != 0:
        slot = slot + 1 if slot + 1 < len(entity) else np.int64(0)
    meta[at.META_CURSOR] = slot + 1 if slot + 1 < len(entity) else np.int64(0)
    return slot


@helper
def make_entity(
    state: Any, slot: Any, first: Any, second: Any, data: Any, start: Any, end: Any
) -> None:
    """Let an entity live in a free slot, with its key bytes."""
    meta, entity, entity_map, keys = state[0], state[1], state[2], state[3]
    position = meta[at.META_KEYS]
    for place in range(end - start):
        keys[position + place] = data[start + place]
    meta[at.META_KEYS] = position + end - start
    entity[slot, at.ENTITY_HASH] = first
    entity[slot, at.ENTITY_HASH + 1] = second
    entity[slot, at.ENTITY_LIVE] = 1
    entity[slot, at.ENTITY_KEY] = position
    entity[slot, at.ENTITY_KEY_LENGTH] = end - start
    entity[slot, at.ENTITY_TILES] = 0
    entity[slot, at.ENTITY_ANNOUNCED] = -1
    for level in range(at.ENTITY_HEAD, entity.shape[1]):
        entity[slot, level] = -1
    place_entity(entity_map, entity, slot)
    meta[at.META_ENTITIES] += 1


@helper
def remove_entity(state: Any, slot: Any) -> None:
    """Free the slot of an entity that has no tiles."""
    meta, entity, entity_map = state[0], state[1], state[2]
    forget_entity(entity_map, entity, slot)
    entity[slot, at.ENTITY_LIVE] = 0
    meta[at.META_KEYS_DEAD] += entity[slot, at.ENTITY_KEY_LENGTH]
    meta[at.META_ENTITIES] -= 1


@helper
def _chain(state: Any, slot: Any, level: Any, row: Any) -> None:
    """Put a row into the chain of its entity and level, newest tile first."""
    entity, rows, links = state[1], state[4], state[5]
    tile = rows[row, at.ROW_TILE]
    newer, older = np.int64(-1), entity[slot, at.ENTITY_HEAD + level]
    while older >= 0 and rows[older, at.ROW_TILE] > tile:
        newer, older = older, np.int64(links[older, at.LINK_NEXT])
    links[row, at.LINK_NEXT] = older
    links[row, at.LINK_PREVIOUS] = newer
    if older >= 0:
        links[older, at.LINK_PREVIOUS] = row
    if newer >= 0:
        links[newer, at.LINK_NEXT] = row
    else:
        entity[slot, at.ENTITY_HEAD + level] = row


@helper
def _make_row(state: Any, template: Any, slot: Any, level: Any, tile: Any) -> Any:
    meta, entity, rows, links = state[0], state[1], state[4], state[5]
    row_map, buckets, free = state[6], state[7], state[8]
    meta[at.META_FREE] -= 1
    row = np.int64(free[meta[at.META_FREE]])
    for word in range(at.ROW_HEAD, len(template)):
        rows[row, word] = template[word]
    rows[row, at.ROW_KEY] = (slot << at.LEVEL_BITS) | level
    rows[row, at.ROW_TILE] = tile
    rows[row, at.ROW_NEWEST] = at.NOTHING
    links[row, at.LINK_DIRTY] = 0
    links[row, at.LINK_NAMED] = 0
    place_row(row_map, rows, row)
    _chain(state, slot, level, row)
    bucket = bucket_place(buckets, level, tile)
    if buckets[bucket, at.BUCKET_LEVEL] == 0:
        buckets[bucket, at.BUCKET_LEVEL] = level + 1
        buckets[bucket, at.BUCKET_TILE] = tile
        buckets[bucket, at.BUCKET_ROW] = -1
        meta[at.META_BUCKETS] += 1
        meta[at.META_OLDEST + level] = min(meta[at.META_OLDEST + level], tile)
    links[row, at.LINK_PEER] = buckets[bucket, at.BUCKET_ROW]
    buckets[bucket, at.BUCKET_ROW] = row
    entity[slot, at.ENTITY_TILES] += 1
    meta[at.META_TILES] += 1
    return row


@helper
def row_for(state: Any, template: Any, slot: Any, level: Any, tile: Any) -> Any:
    """Return the row of an entity's tile, making an empty one if there is none."""
    entity, rows, row_map = state[1], state[4], state[6]
    head = entity[slot, at.ENTITY_HEAD + level]
    if head >= 0 and rows[head, at.ROW_TILE] == tile:
        return head
    if head >= 0 and rows[head, at.ROW_TILE] > tile:
        found = find_row(row_map, rows, (slot << at.LEVEL_BITS) | level, tile)
        if found >= 0:
            return found
    return _make_row(state, template, slot, level, tile)


@helper
def mark_dirty(state: Any, row: Any) -> None:
    """Remember that a row must be written by the next flush."""
    meta, links, dirty = state[0], state[5], state[9]
    if links[row, at.LINK_DIRTY] == 0:
        links[row, at.LINK_DIRTY] = 1
        dirty[meta[at.META_DIRTY]] = row
        meta[at.META_DIRTY] += 1


@helper
def free_row(state: Any, set_columns: Any, row: Any) -> None:
    """Remove a row from its map and chain and free it; its bucket is the caller's business."""
    meta, entity, rows, links = state[0], state[1], state[4], state[5]
    row_map, free, pool = state[6], state[8], state[10]
    key = rows[row, at.ROW_KEY]
    slot, level = key >> at.LEVEL_BITS, key & at.LEVEL_MASK
    forget_row(row_map, rows, row)
    older, newer = links[row, at.LINK_NEXT], links[row, at.LINK_PREVIOUS]
    if older >= 0:
        links[older, at.LINK_PREVIOUS] = newer
    if newer >= 0:
        links[newer, at.LINK_NEXT] = older
    else:
        entity[slot, at.ENTITY_HEAD + level] = older
    for column in set_columns:
        give_block(meta, pool, rows[row, column], rows[row, column + 1])
    rows[row, at.ROW_KEY] = -1
    links[row, at.LINK_DIRTY] = 0
    free[meta[at.META_FREE]] = row
    meta[at.META_FREE] += 1
    entity[slot, at.ENTITY_TILES] -= 1
    meta[at.META_TILES] -= 1


@helper
def leave_bucket(state: Any, row: Any) -> None:
    """Unlink a row from the rows of its level and tile."""
    rows, links, buckets = state[4], state[5], state[7]
    bucket = bucket_place(buckets, rows[row, at.ROW_KEY] & at.LEVEL_MASK, rows[row, at.ROW_TILE])
    other = np.int64(buckets[bucket, at.BUCKET_ROW])
    if other == row:
        buckets[bucket, at.BUCKET_ROW] = links[row, at.LINK_PEER]
        return
    while links[other, at.LINK_PEER] != row:
        other = np.int64(links[other, at.LINK_PEER])
    links[other, at.LINK_PEER] = links[row, at.LINK_PEER]
