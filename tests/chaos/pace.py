"""How fast this machine is while a run goes on: time promises are made for one that is not starved.

A process of its own asks for a little of the CPU four times a second and says how long it took. The limits of
time are stretched by the worst ten seconds of it, and the report says by how much: so a machine that
others use at the same time makes no finding, and hides none that is not about time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from tidemill_common.beside import beside

EVERY_S: Final = 0.25
ASKED_S: Final = 0.005
WINDOW: Final = 40
"""Askings in ten seconds."""


@dataclass(slots=True)
class Pace:
    """Elapsed time over CPU time, as the process says it; 1 is a machine of one's own."""

    worst: float = 1.0
    _last: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def note(self, ratio: float) -> None:
        """Add one asking."""
        self._last.append(ratio)
        if len(self._last) == WINDOW:
            self.worst = max(self.worst, sum(self._last) / WINDOW)


@contextlib.asynccontextmanager
async def pacing() -> AsyncIterator[Pace]:
    """Measure while the block runs."""
    pace = Pace()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"{_ASK}\nask({EVERY_S}, {ASKED_S})", stdout=asyncio.subprocess.PIPE
    )

    async def listen() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            pace.note(float(line))

    try:
        async with beside(listen(), "pace"):
            yield pace
    finally:
        process.kill()
        await process.wait()


_ASK: Final = """
import time
def ask(every, asked):
    while True:
        began, end = time.monotonic(), time.process_time() + asked
        while time.process_time() < end:
            pass
        print((time.monotonic() - began) / asked, flush=True)
        time.sleep(every)
"""
