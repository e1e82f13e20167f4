"""Fixed-point columns, lateness and duplicate ids: one pass over the rows of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels.compiling import (
    F1,
    I1,
    INT,
    RF1,
    RI1,
    RT1,
    RU1,
    T1,
    U1,
    W1,
    helper,
    kernel,
    types,
)
from tidemill_tiles.kernels.hashing import mix64
from tidemill_tiles.kernels.layout import NOTHING

_LIMIT = 2.0**48
_INT_LIMIT = 2**48


@kernel(types.void, RF1, RT1, types.float64, I1, T1)
def fix_floats(column: Any, valid: Any, step: Any, out: Any, representable: Any) -> None:
    """Round to multiples of the step, half to even; null stays representable."""
    for row in range(len(column)):
        out[row] = 0
        representable[row] = True
        if valid[row]:
            value = np.rint(column[row] / step)
            if abs(value) < _LIMIT:
                out[row] = np.int64(value)
            else:
                representable[row] = False


@kernel(types.void, RI1, RT1, I1, T1)
def fix_integers(column: Any, valid: Any, out: Any, representable: Any) -> None:
    """Take integers as they are; those of 48 bits and more are not representable."""
    for row in range(len(column)):
        value = column[row]
        good = -_INT_LIMIT < value < _INT_LIMIT
        representable[row] = good or not valid[row]
        out[row] = value if valid[row] and good else 0


@kernel(types.void, RF1, F1)
def canonical_floats(column: Any, out: Any) -> None:
    """Let every NaN, and both zeros, be one."""
    for row in range(len(column)):
        value = column[row]
        out[row] = value + 0.0 if value == value else np.nan  # noqa: PLR0124 (numba: only NaN)


@kernel(INT, INT, RI1, RI1, INT, INT, T1)
def late_rows(watermark: Any, time: Any, append: Any, lateness: Any, skew: Any, late: Any) -> Any:
    """Mark rows that are late against the rows before them; return the watermark after all."""
    for row in range(len(time)):
        late[row] = watermark != NOTHING and time[row] < watermark - lateness
        known = min(time[row], append[row] + skew)
        watermark = max(watermark, known)
    return watermark


@helper
def _id_place(ids: Any, rows: Any, wanted: Any) -> Any:
    mask = len(ids) - 1
    place = np.int64(mix64(wanted)) & mask
    while rows[place] != 0 and ids[place] != wanted:
        place = (place + 1) & mask
    return place


@kernel(types.void, U1, W1, I1, I1, I1, RU1, RI1, INT, INT, T1)
def check_ids(
    ids: Any, rows: Any, mark_rows: Any, mark_times: Any, counters: Any, batch: Any, append: Any,
    window: Any, capacity: Any, duplicate: Any,
) -> None:  # fmt: skip
    """Mark rows whose id came within the window, and remember every row's id.

    rows: the last row of each id, counted from `base`; 0 where a place is free.
    marks: the first row of each append time, ascending.
    counters: rows so far, newest append time, ids held, base, first mark of the window, their end.
    """
    number, newest, held = counters[0], counters[1], counters[2]
    base, first, end = counters[3], counters[4], counters[5]
    for row in range(len(batch)):
        if first == end or append[row] > newest:
            newest = max(newest, append[row])
            mark_rows[end], mark_times[end] = number, newest
            end += 1
        while first + 1 < end and (
            newest - mark_times[first] > window or mark_rows[first + 1] <= number - capacity
        ):
            first += 1
        place = _id_place(ids, rows, batch[row])
        duplicate[row] = False
        if rows[place] != 0:
            last = base + np.int64(rows[place])
            duplicate[row] = last >= mark_rows[first] and last >= number - capacity
        else:
            held += 1
            ids[place] = batch[row]
        rows[place] = np.uint32(number - base)
        number += 1
    counters[0], counters[1], counters[2] = number, newest, held
    counters[4], counters[5] = first, end


@kernel(INT, U1, W1, INT, INT, U1, W1, INT)
def keep_ids(
    ids: Any, rows: Any, base: Any, oldest: Any, new_ids: Any, new_rows: Any, new_base: Any
) -> Any:
    """Copy the ids of rows from `oldest` on into a new, empty table; return how many."""
    held = 0
    for place in range(len(ids)):
        row = base + np.int64(rows[place])
        if rows[place] != 0 and row >= oldest:
            to = _id_place(new_ids, new_rows, ids[place])
            new_ids[to] = ids[place]
            new_rows[to] = np.uint32(row - new_base)
            held += 1
    return held


@kernel(INT, W1, INT, INT)
def count_ids(rows: Any, base: Any, oldest: Any) -> Any:
    """Count the ids of rows from `oldest` on."""
    held = 0
    for place in range(len(rows)):
        if rows[place] != 0 and base + np.int64(rows[place]) >= oldest:
            held += 1
    return held
