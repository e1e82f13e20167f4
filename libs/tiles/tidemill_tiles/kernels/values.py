"""Merged integers into values and statuses, by one fixed expression for each function."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import decay, wide
from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels.compiling import B2, F2, I2, INT, RI1, helper, kernel, types
from tidemill_tiles.kernels.merge import INTERMEDIATE
from tidemill_tiles.kernels.sketches import counted, middle_of, plain, spilled

PRESENT, NULL, STALE, EXPIRED, NOT_FOUND = range(5)
(
    COUNT, SUM, MEAN, VAR, STD, MIN, MAX, LAST, FIRST, DISTINCT, RATE, TIME_SINCE_LAST, RATIO,
    DIFFERENCE, EWMA, HISTOGRAM, QUANTILE, LAST_K, TOP_K,
) = range(19)  # fmt: skip
VALUE, TIMES, SHARE = range(3)
_TWO_64 = 18446744073709551616.0
_SECOND_US = 1_000_000.0
_BLOCK_ROWS = 64


@helper
def _estimate(sets: Any, start: Any, count: Any, limit: Any) -> Any:
    """Return the number of distinct values: exact below the limit."""
    if count < limit:
        return np.float64(count)
    return (limit - 1) / ((np.float64(sets[start + limit - 1]) + 1.0) / _TWO_64)


@helper
def _moment(function: Any, into: Any, output: Any, scale: Any) -> Any:
    """Return a mean, variance or standard deviation of at least one value."""
    n, a, b = into[output[at.OUT_N]], output[at.OUT_A], output[at.OUT_B]
    if function == MEAN:
        return wide.to_float(into[a], into[a + 1]) / n * scale
    variance = wide.variance(n, into[a], into[a + 1], into[b], into[b + 1])
    return np.sqrt(variance) * scale if function == STD else variance * scale * scale


@helper
def _average(sets: Any, start: Any, count: Any) -> Any:
    """Return the weighted mean of the half-lives, from the newest to the oldest."""
    newest = plain(sets[start + count - at.BLOCK_WORDS])
    weights, total = 0.0, 0.0
    for place in range(start + count - at.BLOCK_WORDS, start - 1, -at.BLOCK_WORDS):
        factor = decay.halved(newest - plain(sets[place]))
        low, high = np.int64(sets[place + 2]), np.int64(sets[place + 3])
        weights += np.float64(np.int64(sets[place + 1])) * factor
        total += wide.to_float(low, high) * factor
    return total / weights


@helper
def _quantile(sets: Any, start: Any, count: Any, rank: Any, bits: Any) -> Any:
    """Return the middle of the bucket that holds the value of a rank, from 0."""
    place = start
    left = rank - counted(sets[place])
    while left >= 0 and place < start + count - 1:
        place += 1
        left -= counted(sets[place])
    return middle_of(sets[place], bits)


@helper
def _top(sets: Any, start: Any, count: Any, wanted: Any) -> Any:
    """Return where the value of a place stands: more often first, then the smaller; -1 if none."""
    before: Any = np.int64(-1)
    for _ in range(wanted):
        best: Any = np.int64(-1)
        for place in range(start, start + count, at.TALLY_WORDS):
            after = before < 0 or (
                sets[place + 1] < sets[before + 1]
                or (sets[place + 1] == sets[before + 1] and place > before)
            )
            if after and (best < 0 or sets[place + 1] > sets[best + 1]):
                best = place
        if best < 0:
            return best
        before = best
    return before


@helper
def _ranked(into: Any, sets: Any, output: Any, scale: Any) -> Any:
    """Return what a place of top_k gives; NULL if it is empty or there are too many values."""
    start, count = into[output[at.OUT_A]], into[output[at.OUT_A] + 1]
    if count > output[at.OUT_LIMIT] or spilled(sets, start, count):
        return np.nan, NULL
    place = _top(sets, start, count, output[at.OUT_PLACE])
    if place < 0:
        return np.nan, NULL
    times = np.float64(np.int64(sets[place + 1]))
    if output[at.OUT_GIVES] == VALUE:
        return np.float64(plain(sets[place])) * scale, PRESENT
    if output[at.OUT_GIVES] == TIMES:
        return times, PRESENT
    return times / into[output[at.OUT_N]], PRESENT


@helper
def _recent(sets: Any, start: Any, count: Any, output: Any, scale: Any) -> Any:
    """Return the value at a place from the newest on; NULL if there are not so many."""
    place = start + count - at.RECENT_WORDS * output[at.OUT_PLACE]
    if place < start:
        return np.nan, NULL
    return np.float64(plain(sets[place + 2])) * scale, PRESENT


@helper
def _over_anything(into: Any, output: Any, numbers: Any) -> Any:
    """Return a rate or the count of a bin, which nothing at all has too."""
    n, a = into[output[at.OUT_N]], output[at.OUT_A]
    if output[at.OUT_FUNCTION] == HISTOGRAM:
        return np.float64(into[a + output[at.OUT_PLACE]])
    if a < 0:
        return np.float64(n) / numbers[at.NUM_PARAMETER]
    total = wide.to_float(into[a], into[a + 1]) * numbers[at.NUM_SCALE]
    return total / numbers[at.NUM_PARAMETER]


@helper
def _of_blocks(into: Any, sets: Any, output: Any, numbers: Any) -> Any:
    """Return the value and status of a function that is read from a block."""
    function, n = output[at.OUT_FUNCTION], into[output[at.OUT_N]]
    start, count = into[output[at.OUT_A]], into[output[at.OUT_A] + 1]
    scale = numbers[at.NUM_SCALE]
    if function == EWMA:
        return _average(sets, start, count) * scale, PRESENT
    if function == QUANTILE:
        rank = np.int64(np.floor(numbers[at.NUM_PARAMETER] * np.float64(n - 1)))
        return _quantile(sets, start, count, rank, output[at.OUT_LIMIT]) * scale, PRESENT
    if function == LAST_K:
        return _recent(sets, start, count, output, scale)
    return _ranked(into, sets, output, scale)


@helper
def _over_values(into: Any, sets: Any, output: Any, numbers: Any, time: Any) -> Any:
    """Return the value and status of a function of at least one value."""
    function, a = output[at.OUT_FUNCTION], output[at.OUT_A]
    scale = numbers[at.NUM_SCALE]
    value, status = np.nan, PRESENT
    if function in (MEAN, VAR, STD):
        value = _moment(function, into, output, scale)
    elif function in (MIN, MAX):
        value = np.float64(into[a]) * scale
    elif function in (FIRST, LAST):
        value = np.float64(into[a + 2]) * scale
    elif function == TIME_SINCE_LAST:
        value = np.float64(max(np.int64(0), time - into[a])) / _SECOND_US
    else:
        value, status = _of_blocks(into, sets, output, numbers)
    return value, status


@helper
def _value(into: Any, sets: Any, output: Any, numbers: Any, time: Any) -> Any:
    """Return the value and status of one feature, from its merged integers."""
    function, n, a = output[at.OUT_FUNCTION], into[output[at.OUT_N]], output[at.OUT_A]
    value, status = np.nan, PRESENT
    if function == COUNT:
        value = np.float64(n)
    elif function == DISTINCT:
        value = _estimate(sets, into[a], into[a + 1], output[at.OUT_LIMIT])
    elif function == SUM:
        value = wide.to_float(into[a], into[a + 1]) * numbers[at.NUM_SCALE]
    elif function in (RATE, HISTOGRAM):
        value = _over_anything(into, output, numbers)
    elif n == 0:
        status = NULL
    else:
        value, status = _over_values(into, sets, output, numbers, time)
    return value, status


@helper
def _pair(function: Any, one: Any, other: Any, one_status: Any, other_status: Any) -> Any:
    """Return a ratio or difference of two features; NULL for a ratio to zero."""
    status = max(np.int64(one_status), np.int64(other_status))
    if EXPIRED in (one_status, other_status):
        status = np.int64(EXPIRED)
    if status != PRESENT:
        return np.nan, status
    if function == DIFFERENCE:
        return one - other, status
    if other == 0.0:
        return np.nan, np.int64(NULL)
    return one / other, status


@helper
def _is_pair(output: Any) -> Any:
    return output[at.OUT_FUNCTION] in (RATIO, DIFFERENCE)


@helper
def _pairs(outputs: Any, values: Any, status: Any, into: Any) -> None:
    for feature in range(len(outputs)):
        output = outputs[feature]
        if _is_pair(output):
            a, b = output[at.OUT_A], output[at.OUT_B]
            value, state = _pair(
                output[at.OUT_FUNCTION], values[into, a], values[into, b],
                status[into, a], status[into, b],
            )  # fmt: skip
            values[into, feature] = value
            status[into, feature] = state


@helper
def _out_of_reach(outputs: Any, expired: Any, feature: Any) -> Any:
    """Tell whether a feature needs tiles that are evicted: what it was is not known any more."""
    output = outputs[feature]
    if _is_pair(output):
        one, other = outputs[output[at.OUT_A]], outputs[output[at.OUT_B]]
        return expired[one[at.OUT_GROUP]] != 0 or expired[other[at.OUT_GROUP]] != 0
    return expired[output[at.OUT_GROUP]] != 0


@helper
def _fill(outputs: Any, numbers: Any, expired: Any, values: Any, status: Any, into: Any) -> None:
    for feature in range(len(outputs)):
        default = numbers[feature, at.NUM_DEFAULT]
        if (
            not np.isnan(default)
            and status[into, feature] != PRESENT
            and not _out_of_reach(outputs, expired, feature)
        ):
            values[into, feature] = default
            status[into, feature] = PRESENT


@helper
def finish_entity(
    outputs: Any, numbers: Any, found: Any, number: Any, time: Any, oldest: Any,
    values: Any, status: Any, into: Any,
) -> None:  # fmt: skip
    """Turn the merged integers of row `number` into values and statuses of row `into`."""
    accumulators, sets, expired, newest, _ = found
    merged = (accumulators[number], sets[number], expired[number], newest[number])
    finish_merged(outputs, numbers, merged, time, oldest, values, status, into)


@helper
def finish_merged(
    outputs: Any, numbers: Any, merged: Any, time: Any, oldest: Any,
    values: Any, status: Any, into: Any,
) -> None:  # fmt: skip
    """Turn what was merged of an entity into values and statuses of row `into`.

    1. what is read from tiles; 2. ratios and differences of it; 3. defaults of what is not there.
    merged: integers, sets, expired groups, the newest time.
    """
    integers, sets, expired, newest = merged
    pairs = False
    for feature in range(len(outputs)):
        output = outputs[feature]
        if _is_pair(output):
            pairs = True
            continue
        value, state = np.nan, NOT_FOUND
        if expired[output[at.OUT_GROUP]] != 0:
            state = EXPIRED
        elif newest != at.NOTHING:
            if newest < oldest:
                state = EXPIRED
            else:
                value, state = _value(integers, sets, output, numbers[feature], time)
        values[into, feature] = value
        status[into, feature] = state
    if pairs:
        _pairs(outputs, values, status, into)
    _fill(outputs, numbers, expired, values, status, into)


@kernel(types.void, I2, F2, INTERMEDIATE, RI1, INT, F2, B2)
def finish_read(
    outputs: Any, numbers: Any, found: Any, times: Any, ttl: Any, values: Any, status: Any
) -> None:
    """Turn merged integers into values and statuses; ttl < 0 is none."""
    for number in range(len(times)):
        time = times[number]
        oldest = time - ttl if ttl >= 0 else at.NOTHING
        finish_entity(outputs, numbers, found, number, time, oldest, values, status, number)


@kernel(types.void, F2, INT, INT, F2)
def to_columns(values: Any, first: Any, step: Any, columns: Any) -> None:
    """Put rows (every `step`-th, from `first` on) into columns, block by block: in fast memory."""
    count = columns.shape[1]
    for start in range(0, count, _BLOCK_ROWS):
        end = min(start + _BLOCK_ROWS, count)
        for column in range(len(columns)):
            for place in range(start, end):
                columns[column, place] = values[first + place * step, column]
