"""PostgreSQL behind the rollout controller: the lease, what was counted, who tripped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.errors import Fenced
from tidemill_common.postgres import queries
from tidemill_serving.canary import Counted

if TYPE_CHECKING:
    from tidemill_common.postgres import Pool

QUERIES: Final = queries("tidemill_serving.sql.queries")


class Store:
    """Everything in the schema `serving`. Transient while the database is away."""

    def __init__(self, pool: Pool, holder: str) -> None:
        """Act as `holder`, a name that no other process has."""
        self._pool = pool
        self._holder = holder

    async def take_lease(self, role: str, seconds: float) -> int | None:
        """Take or renew a lease; its fence, or None while somebody else holds it."""
        fence = await self._pool.fetchval(QUERIES["take_lease"], role, self._holder, seconds)
        return None if fence is None else int(fence)

    async def give_up_lease(self, role: str) -> None:
        """Let another process take over at once."""
        await self._pool.execute(QUERIES["give_up_lease"], role, self._holder)

    async def load(self, model: str, table_version: int) -> Counted | None:
        """Return what was counted of a canary, None if nothing was."""
        row = await self._pool.fetchrow(QUERIES["load_canary"], model, table_version)
        return None if row is None else Counted.from_json(row["counts"], row["positions"])

    async def save(self, model: str, table_version: int, counted: Counted, fence: int) -> None:
        """Keep counts and positions; Fenced if a newer leader has written."""
        counts, positions = counted.to_json()
        saved = await self._pool.fetchval(
            QUERIES["save_canary"], model, table_version, counts, positions, fence
        )
        if saved is None:
            raise Fenced("another process decides about canaries now")

    async def report_trip(self, model: str, table_version: int, reason: str) -> None:
        """Say that this replica stopped routing to a challenger; a repeat changes nothing."""
        await self._pool.execute(QUERIES["report_trip"], model, table_version, self._holder, reason)

    async def trip(self, model: str, table_version: int) -> str:
        """Return the first reason for which a replica tripped, empty if none did."""
        return str(await self._pool.fetchval(QUERIES["trips"], model, table_version) or "")
