"""The closed set of compiled kernels; nothing compiles after `warm_up`."""

from __future__ import annotations

from importlib import import_module
from typing import Final

MODULES: Final = (
    "hashing",
    "columns",
    "places",
    "update",
    "merge",
    "values",
    "log",
    "grouping",
    "sorting",
    "sliding",
    "past",
    "sweep",
    "lifetime",
)


def warm_up() -> None:
    """Load every kernel, from the on-disk cache when this machine has compiled it before."""
    for name in MODULES:
        import_module(f"tidemill_tiles.kernels.{name}")


def compiled() -> int:
    """Return how many functions have been compiled so far in this process."""
    count: int = import_module("tidemill_tiles.kernels.compiling").compiled()
    return count
