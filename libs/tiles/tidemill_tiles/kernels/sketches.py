"""What a tile keeps in a block of the pool beside a set of hashes, and how such blocks merge.

Every block holds entries that ascend by their first words, as unsigned integers (signed ones are
turned over, see `ordered`). What it holds is a pure function of the set of events, so that order,
batches and partitions change nothing:

    BLOCKS   half-life number, weights, weighted sum: the newest `limit` half-lives with a value.
             An older one cannot come back, because what pushed it out stays newer than it.
    BUCKETS  a bucket of sizes (16 bits) and its count (48 bits) in one word: all of them.
    RECENT   time, event id, value: the last ones.
    TALLY    value, count: all of them up to the limit; beyond it one entry with a count of zero,
             for ever: which values came first must not decide which are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels import wide
from tidemill_tiles.kernels.compiling import helper
from tidemill_tiles.kernels.sets import count_of, put, room_in_row, search, set_count

_SIGN = np.uint64(1 << 63)
_BUCKET_SHIFT = np.uint64(48)
_BUCKET_COUNT = np.uint64((1 << 48) - 1)
_ZERO = 1 << 15


@helper
def ordered(value: Any) -> Any:
    """Return a word that is ordered as an unsigned integer as the int64 is as a signed one."""
    return np.uint64(value) ^ _SIGN


@helper
def plain(word: Any) -> Any:
    """Return the int64 of an ordered word."""
    return np.int64(word ^ _SIGN)


@helper
def width_of(kind: Any) -> Any:
    """Return the words of an entry of a block."""
    if kind == at.BLOCKS:
        return at.BLOCK_WORDS
    if kind == at.RECENT:
        return at.RECENT_WORDS
    return at.TALLY_WORDS if kind == at.TALLY else 1


@helper
def _recent_before(pool: Any, place: Any, time: Any, tie: Any, value: Any) -> Any:
    if pool[place] != time:
        return pool[place] < time
    if pool[place + 1] != tie:
        return pool[place + 1] < tie
    return pool[place + 2] < value


@helper
def entry_before(kind: Any, pool: Any, one: Any, other: Any) -> Any:
    """Tell whether an entry belongs before another one of its block."""
    if kind == at.BUCKETS:
        return pool[one] >> _BUCKET_SHIFT < pool[other] >> _BUCKET_SHIFT
    if kind == at.RECENT:
        return _recent_before(pool, one, pool[other], pool[other + 1], pool[other + 2])
    return pool[one] < pool[other]


@helper
def find_entry(pool: Any, start: Any, count: Any, width: Any, wanted: Any) -> Any:
    """Return the word at which the entry with that first word stands, or belongs."""
    low, high = np.int64(0), np.int64(count // width)
    while low < high:
        middle = (low + high) // 2
        if pool[start + middle * width] < wanted:
            low = middle + 1
        else:
            high = middle
    return start + low * width


@helper
def _open(pool: Any, place: Any, end: Any, width: Any) -> None:
    """Move what stands from `place` to `end` up by one entry."""
    for word in range(end - 1, place - 1, -1):
        pool[word + width] = pool[word]


@helper
def _drop_first(pool: Any, start: Any, end: Any, width: Any) -> None:
    for word in range(start, end - width):
        pool[word] = pool[word + width]


@helper
def put_block(
    pool: Any, start: Any, count: Any, limit: Any, key: Any, weight: Any, low: Any, high: Any
) -> Any:
    """Add a weight and a weighted value to a half-life; return the new count of words."""
    place, end = find_entry(pool, start, count, at.BLOCK_WORDS, key), start + count
    if place < end and pool[place] == key:
        pool[place + 1] += np.uint64(weight)
        new_low, new_high = wide.add(pool[place + 2], pool[place + 3], low, high)
        pool[place + 2], pool[place + 3] = np.uint64(new_low), np.uint64(new_high)
        return np.int64(count)
    if count == limit:
        if place == start:
            return np.int64(count)
        _drop_first(pool, start, end, at.BLOCK_WORDS)
        place, end = place - at.BLOCK_WORDS, end - at.BLOCK_WORDS
    _open(pool, place, end, at.BLOCK_WORDS)
    pool[place], pool[place + 1] = key, np.uint64(weight)
    pool[place + 2], pool[place + 3] = np.uint64(low), np.uint64(high)
    return np.int64(end - start + at.BLOCK_WORDS)


@helper
def put_bucket(pool: Any, start: Any, count: Any, bucket: Any, more: Any) -> Any:
    """Count more values of a bucket; return the new count of words."""
    wanted = np.uint64(bucket) << _BUCKET_SHIFT
    place = start + search(pool, start, count, wanted)
    if place < start + count and pool[place] >> _BUCKET_SHIFT == np.uint64(bucket):
        pool[place] += np.uint64(more)
        return np.int64(count)
    _open(pool, place, start + count, 1)
    pool[place] = wanted | np.uint64(more)
    return np.int64(count + 1)


@helper
def put_recent(
    pool: Any, start: Any, count: Any, limit: Any, time: Any, tie: Any, value: Any
) -> Any:
    """Put an event among the last ones (all words ordered); return the new count of words."""
    width, end = at.RECENT_WORDS, start + count
    place = end
    while place > start and not _recent_before(pool, place - width, time, tie, value):
        place -= width
    if place < end and pool[place] == time and pool[place + 1] == tie and pool[place + 2] == value:
        return np.int64(count)
    if count == limit:
        if place == start:
            return np.int64(count)
        _drop_first(pool, start, end, width)
        place, end = place - width, end - width
    _open(pool, place, end, width)
    pool[place], pool[place + 1], pool[place + 2] = time, tie, value
    return np.int64(end - start + width)


@helper
def spilled(pool: Any, start: Any, count: Any) -> Any:
    """Tell whether a tally had more values than its limit."""
    return count == at.TALLY_WORDS and pool[start + 1] == 0


@helper
def put_tally(pool: Any, start: Any, count: Any, limit: Any, value: Any, more: Any) -> Any:
    """Count a value (ordered) `more` times; zero times: there are too many values."""
    if spilled(pool, start, count):
        return np.int64(count)
    place, end = find_entry(pool, start, count, at.TALLY_WORDS, value), start + count
    if more > 0 and place < end and pool[place] == value:
        pool[place + 1] += np.uint64(more)
        return np.int64(count)
    if more == 0 or count == limit:
        pool[start], pool[start + 1] = np.uint64(0), np.uint64(0)
        return np.int64(at.TALLY_WORDS)
    _open(pool, place, end, at.TALLY_WORDS)
    pool[place], pool[place + 1] = value, np.uint64(more)
    return np.int64(count + at.TALLY_WORDS)


@helper
def _magnitude(size: Any) -> Any:
    """Return the place of the highest bit of a positive integer; 0 for zero."""
    place = np.int64(0)
    for step in (32, 16, 8, 4, 2, 1):
        if size >> (place + step) > 0:
            place += step
    return place


@helper
def bucket_of(value: Any, bits: Any) -> Any:
    """Return the bucket of a value: exact while small, then 2**bits buckets an octave.

    Buckets ascend with values; those of negative ones lie below _ZERO.
    """
    size = -value if value < 0 else value
    shift = max(np.int64(0), _magnitude(size) - bits)
    slot = (shift << bits) + (size >> shift)
    return _ZERO - slot if value < 0 else _ZERO + slot


@helper
def middle_of(word: Any, bits: Any) -> Any:
    """Return the middle of the bucket that a word of BUCKETS counts."""
    bucket = np.int64(word >> _BUCKET_SHIFT) - _ZERO
    slot = -bucket if bucket < 0 else bucket
    shift = max(np.int64(0), (slot >> bits) - 1)
    first = (slot - (shift << bits)) << shift
    middle = np.float64(first) + np.float64((np.int64(1) << shift) - 1) * 0.5
    return -middle if bucket < 0 else middle


@helper
def counted(word: Any) -> Any:
    """Return the count in a word of BUCKETS."""
    return np.int64(word & _BUCKET_COUNT)


@helper
def pour(
    primitive: Any, into: Any, start: Any, count: Any, limit: Any, pool: Any, first: Any, end: Any
) -> Any:
    """Merge the block pool[first:end] into another; return the new count of words."""
    place = first
    while place < end:
        if primitive == at.SRC_SET:
            count = put(into, start, count, limit, pool[place])
            place += 1
        elif primitive == at.BUCKETS:
            bucket = np.int64(pool[place] >> _BUCKET_SHIFT)
            count = put_bucket(into, start, count, bucket, counted(pool[place]))
            place += 1
        elif primitive == at.BLOCKS:
            weight, low = np.int64(pool[place + 1]), np.int64(pool[place + 2])
            high = np.int64(pool[place + 3])
            count = put_block(into, start, count, limit, pool[place], weight, low, high)
            place += at.BLOCK_WORDS
        elif primitive == at.RECENT:
            time, tie, value = pool[place], pool[place + 1], pool[place + 2]
            count = put_recent(into, start, count, limit, time, tie, value)
            place += at.RECENT_WORDS
        else:
            more = np.int64(pool[place + 1])
            count = put_tally(into, start, count, limit, pool[place], more)
            place += at.TALLY_WORDS
    return count


@helper
def _room(
    meta: Any, pool: Any, rows: Any, row: Any, column: Any, limit: Any, width: Any, key: Any
) -> Any:
    """Return the position of a row's block, with room for one more entry if it needs one."""
    position, count = rows[row, column], count_of(rows[row, column + 1])
    if position >= 0:
        place = find_entry(pool, position, count, width, key)
        known = place < position + count and pool[place] == key
        if known or count == limit:
            return position
    return room_in_row(meta, pool, rows, row, column, width)


@helper
def add_weighted(
    meta: Any, pool: Any, rows: Any, row: Any, column: Any, limit: Any,
    key: Any, weight: Any, value: Any,
) -> None:  # fmt: skip
    """Add a value with its weight to the half-lives of a row."""
    position = _room(meta, pool, rows, row, column, limit, at.BLOCK_WORDS, key)
    count = count_of(rows[row, column + 1])
    low, high = wide.times(value, value >> 63, weight)
    count = put_block(pool, position, count, limit, key, weight, low, high)
    set_count(rows, row, column, count)


@helper
def add_sized(
    meta: Any, pool: Any, rows: Any, row: Any, column: Any, bits: Any, value: Any
) -> None:
    """Count a value in the buckets of a row."""
    bucket, count = bucket_of(value, bits), count_of(rows[row, column + 1])
    position, more = rows[row, column], np.int64(1)
    if position >= 0:
        place = position + search(pool, position, count, np.uint64(bucket) << _BUCKET_SHIFT)
        found = place < position + count and pool[place] >> _BUCKET_SHIFT == np.uint64(bucket)
        more = np.int64(0) if found else np.int64(1)
    position = room_in_row(meta, pool, rows, row, column, more)
    set_count(rows, row, column, put_bucket(pool, position, count, bucket, 1))


@helper
def add_recent(
    meta: Any, pool: Any, rows: Any, row: Any, column: Any, limit: Any,
    time: Any, tie: Any, value: Any,
) -> None:  # fmt: skip
    """Put an event among the last ones of a row."""
    count = count_of(rows[row, column + 1])
    more = np.int64(0) if count == limit else np.int64(at.RECENT_WORDS)
    position = room_in_row(meta, pool, rows, row, column, more)
    time, tie, value = ordered(time), ordered(tie), ordered(value)
    set_count(rows, row, column, put_recent(pool, position, count, limit, time, tie, value))


@helper
def add_tally(
    meta: Any, pool: Any, rows: Any, row: Any, column: Any, limit: Any, value: Any
) -> None:
    """Count a value in the tally of a row."""
    key, count = ordered(value), count_of(rows[row, column + 1])
    if rows[row, column] >= 0 and spilled(pool, rows[row, column], count):
        return
    position = _room(meta, pool, rows, row, column, limit, at.TALLY_WORDS, key)
    set_count(rows, row, column, put_tally(pool, position, count, limit, key, 1))
