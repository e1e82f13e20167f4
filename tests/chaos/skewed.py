"""A service whose wall clock is wrong: `python -m tests.chaos.skewed <ahead> <drift> <module> ...`.

`ahead` are the seconds at the start, `drift` those that come to it in each second.
"""

from __future__ import annotations

import importlib
import runpy
import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace

from tests.chaos.mutants import put
from tidemill_common.clock import SystemClock


def skew(ahead_s: float, drift: float) -> None:
    """Put every wall clock of this process wrong; the monotonic one stays."""
    began, right_ns = time.monotonic(), time.time_ns

    def wrong_ns() -> int:
        return right_ns() + int((ahead_s + drift * (time.monotonic() - began)) * 1e9)

    def now(_: SystemClock) -> datetime:
        return datetime.fromtimestamp(wrong_ns() / 1e9, UTC)

    # grpc sends deadlines of this clock, and holds those it gets against the machine's own.
    right = SimpleNamespace(**vars(time))
    for name in ("grpc.aio._utils", "grpc._cython.cygrpc"):
        vars(importlib.import_module(name))["time"] = right
    time.time_ns = wrong_ns
    time.time = lambda: wrong_ns() / 1e9
    put(SystemClock, "now", now)


def main(ahead: str, drift: str, module: str, *arguments: str) -> None:
    """Run a service as its own command would."""
    skew(float(ahead), float(drift))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
