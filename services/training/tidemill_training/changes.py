"""Wake those who wait for a run: a hint within this process; the table is the truth."""

from __future__ import annotations

import asyncio
import contextlib


class Changes:
    """Waiters return when something changed, or after a while; a missed hint only delays."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake everybody who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait for a change, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
