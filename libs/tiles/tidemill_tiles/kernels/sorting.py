"""Floats in ascending order, byte by byte of their bits: no value is compared with another."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels.compiling import S2, U1, helper, kernel, types

DIGITS = 8
VALUES = 256
_BITS = np.uint64(8)
_MASK = np.uint64(VALUES - 1)
_SIGN = np.uint64(1 << 63)


@helper
def _digit(key: Any, digit: Any) -> Any:
    return np.int64((key >> (_BITS * np.uint64(digit))) & _MASK)


@helper
def _move(keys: Any, into: Any, digit: Any, starts: Any) -> None:
    """Put keys in the order of one digit, equal ones as they stand."""
    place = np.int32(0)
    for value in range(VALUES):
        count = starts[value]
        starts[value] = place
        place += count
    for key in keys:
        value = _digit(key, digit)
        into[starts[value]] = key
        starts[value] += 1


@kernel(types.void, U1, U1, S2)
def sort_bits(bits: Any, spare: Any, counts: Any) -> None:
    """Sort the bits of floats that are not NaN; `spare` is as long, `counts` [8, 256] holds zeros.

    Digits that all values share move nothing.
    """
    for place in range(len(bits)):
        key = bits[place]
        key = ~key if key & _SIGN else key | _SIGN
        bits[place] = key
        for digit in range(DIGITS):
            counts[digit, _digit(key, digit)] += 1
    sorted_keys, other = bits, spare
    for digit in range(DIGITS):
        if len(bits) and counts[digit, _digit(sorted_keys[0], digit)] < len(bits):
            _move(sorted_keys, other, digit, counts[digit])
            sorted_keys, other = other, sorted_keys
    for place in range(len(bits)):
        key = sorted_keys[place]
        bits[place] = key ^ _SIGN if key & _SIGN else ~key
