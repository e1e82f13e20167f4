"""Tell the rollout controller, through the database, what this replica has decided alone."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from tidemill.errors import TidemillError
from tidemill_common.app import until

if TYPE_CHECKING:
    from tidemill_serving.routing import Table
    from tidemill_serving.store import Store

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 1.0
LIMIT: Final = 1_000


class Trips:
    """Tells the database, until it knows, that this replica stopped routing to a challenger."""

    def __init__(self, store: Store) -> None:
        """Report to `store`."""
        self._store = store
        self._waiting: asyncio.Queue[Table] = asyncio.Queue(maxsize=LIMIT)

    def report(self, table: Table) -> None:
        """Take a trip; never waits."""
        if not self._waiting.full():
            self._waiting.put_nowait(table)

    async def run(self, stop: asyncio.Event) -> None:
        """Write until told to stop."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    table = await self._waiting.get()
            except TimeoutError:
                continue
            try:
                await self._store.report_trip(table.model, table.version, table.tripped)
            except TidemillError as error:
                logger.warning("trip.not_reported", extra={"error": repr(error)})
                self.report(table)
                await until(stop, RETRY_SECONDS)
