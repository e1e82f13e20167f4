"""One version that this replica holds in the model server, and what it has done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemill_serving.repository import Package


POLL_SECONDS: Final = 0.02


class State(StrEnum):
    """The life of a version on this replica."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(slots=True)
class Held:
    """A loaded version. `ready` is cleared while the model server has lost it."""

    package: Package
    on_lost: Callable[[], None]
    state: State = State.READY
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    inflight: int = 0
    requests: int = 0
    errors: int = 0
    borrowed: int = 0

    @property
    def number(self) -> int:
        """The version's number."""
        return self.package.number

    @property
    def name(self) -> str:
        """Its unique name in the model server."""
        return self.package.name

    def lost(self) -> None:
        """Say that the model server may not have it: whoever watches looks at once."""
        if self.ready.is_set():
            self.ready.clear()
            self.state = State.LOADING
        self.on_lost()

    def found(self) -> None:
        """Say that the model server has it (again)."""
        self.ready.set()
        self.state = State.READY

    async def drained(self, seconds: float) -> None:
        """Wait until no request is on its way, at most `seconds`: then they have ended anyway."""
        for _ in range(round(seconds / POLL_SECONDS)):
            if not self.inflight:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def recovered(self, seconds: float) -> bool:
        """Wait until it answers again; False when that takes longer."""
        try:
            async with asyncio.timeout(seconds):
                await self.ready.wait()
        except TimeoutError:
            return False
        return True
