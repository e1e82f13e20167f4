"""Weights of an exponential decay as integers: the same bits on every machine.

A value at time t weighs 2**(t / half_life). Its whole part is the number of the half-life, an
integer that is kept beside the sums; its fraction r gives a factor 2**r in 1..2, here in units of
2**-30: the product of three table entries, one for each ten bits of r, in integers only. With the
roundings of all of them a factor is off by less than 2**-27 of itself.
"""

from __future__ import annotations

from math import isqrt
from typing import Any, Final

import numpy as np

from tidemill_tiles.kernels.compiling import helper

_DIGITS: Final = 200
_UNIT_BITS: Final = 30
_STEPS: Final = 1024
_STEP_BITS: Final = 10
_HALVES: Final = 128


def _powers(root_bits: int) -> list[int]:
    """Return 2**(i / 2**root_bits) for the first 1024 i, in units of 2**-30, rounded."""
    root = 2 << _DIGITS
    for _ in range(root_bits):
        root = isqrt(root << _DIGITS)
    power, powers = 1 << _DIGITS, []
    for _ in range(_STEPS):
        half = 1 << (_DIGITS - _UNIT_BITS - 1)
        powers.append((power + half) >> (_DIGITS - _UNIT_BITS))
        power = power * root >> _DIGITS
    return powers


_COARSE: Final = np.array(_powers(10), dtype=np.int64)
_FINE: Final = np.array(_powers(20), dtype=np.int64)
_FINEST: Final = np.array(_powers(30), dtype=np.int64)
_HALVED: Final = np.array([2.0**-number for number in range(_HALVES)])


@helper
def half_life_of(time: Any, half_life: Any) -> Any:
    """Return the number of the half-life in which a time lies."""
    return time // half_life


@helper
def weight(time: Any, half_life: Any) -> Any:
    """Return the factor 2**r of a time within its half-life, in units of 2**-30."""
    rest = time - half_life_of(time, half_life) * half_life
    fraction = np.int64(np.float64(rest) / np.float64(half_life) * np.float64(1 << _UNIT_BITS))
    coarse = fraction >> (2 * _STEP_BITS)
    fine = (fraction >> _STEP_BITS) & (_STEPS - 1)
    product = (_COARSE[coarse] * _FINE[fine]) >> _UNIT_BITS
    return (product * _FINEST[fraction & (_STEPS - 1)]) >> _UNIT_BITS


@helper
def halved(times: Any) -> Any:
    """Return 2**-times; nothing from 128 on."""
    return _HALVED[times] if times < _HALVES else 0.0
