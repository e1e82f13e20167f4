"""Exact integers of 128 bits in two words of int64: low (as bits) and high."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels.compiling import helper

_U32 = np.uint64(32)
_LOW32 = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_TWO_64 = 18446744073709551616.0


@helper
def add(low: Any, high: Any, more_low: Any, more_high: Any) -> Any:
    """Return the sum of two 128-bit integers, modulo 2**128."""
    total = np.uint64(low) + np.uint64(more_low)
    carry = np.int64(1) if total < np.uint64(low) else np.int64(0)
    return np.int64(total), np.int64(high) + np.int64(more_high) + carry


@helper
def subtract(low: Any, high: Any, less_low: Any, less_high: Any) -> Any:
    """Return the difference of two 128-bit integers, modulo 2**128."""
    total = np.uint64(low) - np.uint64(less_low)
    borrow = np.int64(1) if np.uint64(low) < np.uint64(less_low) else np.int64(0)
    return np.int64(total), np.int64(high) - np.int64(less_high) - borrow


@helper
def product(a: Any, b: Any) -> Any:
    """Return the 128-bit product of two unsigned 64-bit integers."""
    a, b = np.uint64(a), np.uint64(b)
    a_low, a_high = a & _LOW32, a >> _U32
    b_low, b_high = b & _LOW32, b >> _U32
    low = a_low * b_low
    middle = a_high * b_low + (low >> _U32)
    cross = a_low * b_high + (middle & _LOW32)
    high = a_high * b_high + (middle >> _U32) + (cross >> _U32)
    return np.int64((cross << _U32) | (low & _LOW32)), np.int64(high)


@helper
def square(value: Any) -> Any:
    """Return the 128-bit square of an int64."""
    size = np.uint64(-value) if value < 0 else np.uint64(value)
    return product(size, size)


@helper
def times(low: Any, high: Any, factor: Any) -> Any:
    """Return a 128-bit integer times an int64, modulo 2**128."""
    size = np.uint64(-factor) if factor < 0 else np.uint64(factor)
    result_low, result_high = product(np.uint64(low), size)
    result_high = np.int64(np.uint64(result_high) + np.uint64(high) * size)
    if factor < 0:
        return subtract(np.int64(0), np.int64(0), result_low, result_high)
    return result_low, result_high


@helper
def to_float(low: Any, high: Any) -> Any:
    """Return the float64 of a signed 128-bit integer; the same expression everywhere."""
    if high < 0:
        low, high = subtract(np.int64(0), np.int64(0), low, high)
        return -(np.float64(np.uint64(high)) * _TWO_64 + np.float64(np.uint64(low)))
    return np.float64(np.uint64(high)) * _TWO_64 + np.float64(np.uint64(low))


@helper
def variance(n: Any, low: Any, high: Any, square_low: Any, square_high: Any) -> Any:
    """Return the population variance of n integers from their sum and sum of squares.

    The squares are moved to an integer near the mean first, exactly, so that nothing cancels.
    """
    middle = np.int64(np.rint(to_float(low, high) / n))
    cross_low, cross_high = times(low, high, middle)
    around_low, around_high = subtract(square_low, square_high, cross_low, cross_high)
    around_low, around_high = subtract(around_low, around_high, cross_low, cross_high)
    far_low, far_high = square(middle)
    far_low, far_high = times(far_low, far_high, n)
    around_low, around_high = add(around_low, around_high, far_low, far_high)
    mean_low, mean_high = product(
        np.uint64(-middle) if middle < 0 else np.uint64(middle), np.uint64(n)
    )
    if middle < 0:
        rest_low, rest_high = add(low, high, mean_low, mean_high)
    else:
        rest_low, rest_high = subtract(low, high, mean_low, mean_high)
    rest = to_float(rest_low, rest_high)
    result = (to_float(around_low, around_high) - rest * rest / n) / n
    return max(0.0, result)
