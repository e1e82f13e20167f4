"""Let a process have a tenth of its time, and watch what that does to it and to the group."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import psutil

from tests.chaos.faults import WORKERS
from tests.chaos.particular import Slowed
from tests.chaos.scraping import told
from tests.chaos.stage import Cast

RUNS_S: Final = 0.05
STANDS_S: Final = 0.45
HOLDS: Final = "tidemill_partition_holds_total"


async def slow(cast: Cast, role: str, seconds: float) -> Slowed:
    """Stop and continue it ten times in five seconds."""
    stack, name = cast.stage.stack, cast.process(role)
    process = psutil.Process(stack.pid(name))
    before, joined, began = process.memory_info().rss, _assignments(cast), time.monotonic()
    peak, holds = before, await _holds(cast, role)
    while time.monotonic() < began + seconds:
        stack.pause(name)
        await asyncio.sleep(STANDS_S)
        stack.resume(name)
        await asyncio.sleep(RUNS_S)
        peak = max(peak, process.memory_info().rss)
    ended = time.monotonic()
    held = await _holds(cast, role) - holds
    return Slowed(name, began, ended, before, peak, _assignments(cast) - joined, held)


async def _holds(cast: Cast, role: str) -> int:
    """Return how often a worker has paused a partition."""
    return int((await asyncio.to_thread(told, [cast.metrics[role]])).get(HOLDS, 0.0))


def _assignments(cast: Cast) -> int:
    return sum(cast.assignments(one) for one in WORKERS)
