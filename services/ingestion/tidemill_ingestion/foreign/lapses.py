"""Notice that this process stood still: what it owned may be another's by now."""

from __future__ import annotations

import asyncio

from tidemill_common.clock import Clock

LOOKS = 4
"""So often within the limit it is looked."""


class Lapses:
    """A look that comes `limit` seconds after the one before it is a lapse.

    Whoever asks right after the process went on again is told, whether or not `run` came first.
    """

    def __init__(self, clock: Clock, limit: float) -> None:
        """Begin now, without a lapse."""
        self._clock = clock
        self._limit = limit
        self._looked = clock.monotonic()
        self._lapsed = self._looked - 1.0

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self._look()
            await asyncio.sleep(self._limit / LOOKS)

    def since(self, moment: float) -> bool:
        """Tell whether there was a lapse after this moment of the monotonic clock."""
        self._look()
        return self._lapsed > moment

    def _look(self) -> None:
        now = self._clock.monotonic()
        if now - self._looked > self._limit:
            self._lapsed = now
        self._looked = now
