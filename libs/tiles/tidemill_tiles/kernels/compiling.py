"""How kernels are compiled: ahead, with explicit signatures, into an on-disk cache of their own.

numba notices a change of the file a kernel stands in, not of the helpers it calls from other files.
So the cache folder carries the digest of all kernel sources: a new release never meets old code.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numba
from numba.core import event

if TYPE_CHECKING:
    from collections.abc import Callable

_numba: Final[Any] = numba  # its types change with every release and say little
types: Final[Any] = numba.types

I1: Final = types.int64[::1]
I2: Final = types.int64[:, ::1]
S1: Final = types.int32[::1]
S2: Final = types.int32[:, ::1]
W1: Final = types.uint32[::1]
U1: Final = types.uint64[::1]
U2: Final = types.uint64[:, ::1]
F1: Final = types.float64[::1]
F2: Final = types.float64[:, ::1]
B1: Final = types.uint8[::1]
B2: Final = types.uint8[:, ::1]
T1: Final = types.bool_[::1]
T2: Final = types.bool_[:, ::1]
INT: Final = types.int64


def read_only(kind: Any) -> Any:
    """Return the same array, promised not to be written: it takes Arrow buffers too."""
    return types.Array(kind.dtype, kind.ndim, kind.layout, readonly=True)


RI1: Final = read_only(I1)
RI2: Final = read_only(I2)
RS1: Final = read_only(S1)
RU1: Final = read_only(U1)
RU2: Final = read_only(U2)
RF1: Final = read_only(F1)
RB1: Final = read_only(B1)
RT1: Final = read_only(T1)
RT2: Final = read_only(T2)

TABLE: Final = types.Tuple((I1, I2, S1, B1, I2, S2, S1, I2, S1, S1, U1))
"""The arrays of a table, in the order of `tidemill_tiles.store.Store.arrays`."""
LAYOUT: Final = types.Tuple((I2, I2, I1, I2, I1))
"""levels, sources, row template, extras, edges: `tidemill_tiles.plan.Plan.laid`"""
EVENTS: Final = types.Tuple((RU2, RB1, RI1, RI1, RI1, RU1, RI2, RT2, RT2))
"""hashes, key bytes, key offsets, row of each event's key, times, ties, values, valid, filters"""


def _cache_folder() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(here.glob("*.py")):
        digest.update(source.read_bytes())
    base = Path(_numba.config.CACHE_DIR or here / "__pycache__")
    return str(base / f"kernels-{digest.hexdigest()[:12]}")


_FOLDER: Final = _cache_folder()
# Without numba's reference counts: kernels allocate nothing, and counting costs 5 times as much.
_FLAGS: Final = {"nogil": True, "error_model": "numpy", "_nrt": False}


class _Compilations(event.Listener):
    """Counts what LLVM had to be asked for in this process."""

    def __init__(self) -> None:
        self.count = 0

    def on_start(self, event: event.Event) -> None:
        """Count a compilation that begins."""
        del event
        self.count += 1

    def on_end(self, event: event.Event) -> None:
        """Do nothing: it was counted when it began."""


_COMPILATIONS: Final = _Compilations()
_numba.core.event.register("numba:compile", _COMPILATIONS)


def compiled() -> int:
    """Return how many kernels and helpers this process has compiled so far."""
    return _COMPILATIONS.count


def kernel(result: Any, *arguments: Any) -> Callable[[Any], Any]:
    """Compile a function for exactly one signature, or load it from the cache."""

    def compile_now(function: Any) -> Any:
        config, before = _numba.config, _numba.config.CACHE_DIR
        config.CACHE_DIR = _FOLDER
        try:
            return _numba.njit([result(*arguments)], cache=True, **_FLAGS)(function)
        finally:
            config.CACHE_DIR = before

    return compile_now


helper: Final = _numba.njit(**_FLAGS, forceinline=True)
"""A function that only kernels call; it becomes part of theirs."""
