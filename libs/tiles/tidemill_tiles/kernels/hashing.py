"""Hashes of byte strings: MurmurHash3 x64 128 over columns of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels.compiling import RB1, RI1, RT1, RU1, U1, U2, helper, kernel, types

_C1 = np.uint64(0x87C37B91114253D5)
_C2 = np.uint64(0x4CF5AD432745937F)
_M1 = np.uint64(0xFF51AFD7ED558CCD)
_M2 = np.uint64(0xC4CEB9FE1A85EC53)
_A1 = np.uint64(0x52DCE729)
_A2 = np.uint64(0x38495AB5)
_FIVE = np.uint64(5)


@helper
def _turn(value: Any, bits: Any) -> Any:
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@helper
def mix64(value: Any) -> Any:
    """Spread every bit of a 64-bit integer over all bits; a bijection."""
    value = np.uint64(value)
    value ^= value >> np.uint64(33)
    value *= _M1
    value ^= value >> np.uint64(33)
    value *= _M2
    value ^= value >> np.uint64(33)
    return value


@helper
def _word(data: Any, start: Any, count: Any) -> Any:
    word = np.uint64(0)
    for place in range(count):
        word |= np.uint64(data[start + place]) << np.uint64(8 * place)
    return word


@helper
def murmur(data: Any, start: Any, end: Any, seed: Any) -> Any:
    """Return the two words of MurmurHash3 x64 128 of data[start:end]."""
    size = end - start
    h1, h2 = np.uint64(seed), np.uint64(seed)
    blocks = size // 16
    for block in range(blocks):
        k1 = _word(data, start + 16 * block, 8)
        k2 = _word(data, start + 16 * block + 8, 8)
        h1 ^= _turn(k1 * _C1, 31) * _C2
        h1 = (_turn(h1, 27) + h2) * _FIVE + _A1
        h2 ^= _turn(k2 * _C2, 33) * _C1
        h2 = (_turn(h2, 31) + h1) * _FIVE + _A2
    rest = start + 16 * blocks
    left = end - rest
    if left > 8:
        h2 ^= _turn(_word(data, rest + 8, left - 8) * _C2, 33) * _C1
    if left > 0:
        h1 ^= _turn(_word(data, rest, min(left, 8)) * _C1, 31) * _C2
    h1 ^= np.uint64(size)
    h2 ^= np.uint64(size)
    h1 += h2
    h2 += h1
    h1 = mix64(h1)
    h2 = mix64(h2)
    h1 += h2
    h2 += h1
    return h1, h2


@kernel(types.void, RB1, RI1, RT1, U2)
def hash_strings(data: Any, offsets: Any, valid: Any, out: Any) -> None:
    """Hash every valid string to 128 bits; zeros where it is not valid."""
    for row in range(len(valid)):
        if valid[row]:
            h1, h2 = murmur(data, offsets[row], offsets[row + 1], np.uint64(0))
            out[row, 0] = h1
            out[row, 1] = h2
        else:
            out[row, 0] = np.uint64(0)
            out[row, 1] = np.uint64(0)


@kernel(types.void, RB1, RI1, RT1, RU1, U1)
def chain_strings(data: Any, offsets: Any, valid: Any, seeds: Any, out: Any) -> None:
    """Hash every valid string to 64 bits, starting from its seed; the seed where not valid."""
    for row in range(len(valid)):
        if valid[row]:
            out[row] = murmur(data, offsets[row], offsets[row + 1], seeds[row])[0]
        else:
            out[row] = seeds[row]
