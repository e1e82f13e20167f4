"""Distinct values of a tile: the smallest hashes, ascending, in blocks of a shared pool.

A row holds (position of its block or -1, words | size class << 32). Free blocks of a class are a
list through their first word. Keeping only the `limit` smallest hashes makes a set mergeable in
any order: it is exact below the limit and a k-minimum-values sketch at it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels.compiling import helper

SMALLEST_CLASS = 2
_COUNT = 0xFFFFFFFF
_CLASS_SHIFT = 32


@helper
def count_of(word: Any) -> Any:
    """Return the words that a block holds, from a row's second word about it."""
    return word & _COUNT


@helper
def class_for(count: Any) -> Any:
    """Return the smallest size class that holds a count."""
    size = SMALLEST_CLASS
    while (1 << size) < count:
        size += 1
    return size


@helper
def take_block(meta: Any, pool: Any, size: Any) -> Any:
    """Return the position of a free block; the caller has checked that there is room."""
    free = meta[at.META_FREE_SETS + size]
    if free >= 0:
        meta[at.META_FREE_SETS + size] = np.int64(pool[free])
        return free
    position = meta[at.META_POOL]
    meta[at.META_POOL] = position + (1 << size)
    return position


@helper
def give_block(meta: Any, pool: Any, position: Any, word: Any) -> None:
    """Put the block of a set on the free list of its class."""
    if position >= 0:
        size = word >> _CLASS_SHIFT
        pool[position] = np.uint64(meta[at.META_FREE_SETS + size])
        meta[at.META_FREE_SETS + size] = position


@helper
def search(pool: Any, start: Any, count: Any, wanted: Any) -> Any:
    """Return where a hash is, or belongs, among `count` ascending ones."""
    low, high = np.int64(0), np.int64(count)
    while low < high:
        middle = (low + high) // 2
        if pool[start + middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@helper
def put(pool: Any, start: Any, count: Any, limit: Any, wanted: Any) -> Any:
    """Put a hash among the `limit` smallest; return the new count. There is room for it."""
    place = search(pool, start, count, wanted)
    if place < count and pool[start + place] == wanted:
        return np.int64(count)
    if place >= limit:
        return np.int64(count)
    last = min(count, limit - 1)
    for word in range(start + last, start + place, -1):
        pool[word] = pool[word - 1]
    pool[start + place] = wanted
    return np.int64(last + 1)


@helper
def set_count(rows: Any, row: Any, column: Any, count: Any) -> None:
    """Store how many words the block of a row holds."""
    rows[row, column + 1] = count | (rows[row, column + 1] & ~_COUNT)


@helper
def room_in_row(meta: Any, pool: Any, rows: Any, row: Any, column: Any, more: Any) -> Any:
    """Return the position of a row's block, moved to a larger one if `more` words do not fit."""
    position, word = rows[row, column], rows[row, column + 1]
    count = count_of(word)
    if position >= 0 and count + more <= (1 << (word >> _CLASS_SHIFT)):
        return position
    larger = np.int64(class_for(count + more))
    moved = take_block(meta, pool, larger)
    for place in range(count):
        pool[moved + place] = pool[position + place]
    give_block(meta, pool, position, word)
    rows[row, column] = moved
    rows[row, column + 1] = count | (larger << _CLASS_SHIFT)
    return moved


@helper
def add_to_row(
    meta: Any, pool: Any, rows: Any, row: Any, column: Any, limit: Any, wanted: Any
) -> None:
    """Put a hash into the set of a row, moving it to a larger block when it is full."""
    count = count_of(rows[row, column + 1])
    position = room_in_row(meta, pool, rows, row, column, 1 if count < limit else 0)
    set_count(rows, row, column, put(pool, position, count, limit, wanted))


@helper
def replace_in_row(
    meta: Any, pool: Any, rows: Any, row: Any, column: Any, values: Any, start: Any, count: Any
) -> None:
    """Make `count` words the block of a row."""
    give_block(meta, pool, rows[row, column], rows[row, column + 1])
    rows[row, column] = -1
    rows[row, column + 1] = 0
    if count > 0:
        size = np.int64(class_for(count))
        position = take_block(meta, pool, size)
        for place in range(count):
            pool[position + place] = values[start + place]
        rows[row, column] = position
        rows[row, column + 1] = count | (size << _CLASS_SHIFT)
