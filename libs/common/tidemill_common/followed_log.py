"""A partition of a feature log that a replica follows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidemill_common.snapshots import Snapshots
from tidemill_tiles.fieldtypes import NO_TIME

if TYPE_CHECKING:
    from tidemill_common.feature_views import ViewSpec
    from tidemill_tiles.replica import Replica


@dataclass(slots=True)
class FollowedLog:
    """One partition of a log: what it said so far, and who waits for more."""

    spec: ViewSpec
    stream: str
    partition: int
    replica: Replica
    written_us: int = NO_TIME
    snapshots: Snapshots = field(default_factory=Snapshots)
    waiters: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)

    def reaching(self, position: int) -> asyncio.Future[None] | None:
        """Return what is done when everything below a position is decided; None if it is."""
        if self.replica.position >= position:
            return None
        future = asyncio.get_running_loop().create_future()
        self.waiters.append((position, future))
        return future

    def wake(self) -> None:
        """Tell those who wait for a position that is now decided."""
        if not self.waiters:
            return
        position, left = self.replica.position, []
        for wanted, future in self.waiters:
            if wanted > position:
                left.append((wanted, future))
            elif not future.done():
                future.set_result(None)
        self.waiters = left
