"""The ledger of dead letters that were put back, in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tidemill_common.postgres import Pool


class Claim(Enum):
    """What the ledger says of a dead letter."""

    FRESH = "fresh"
    """Nobody had claimed it."""
    AGAIN = "again"
    """It was claimed a moment ago and not confirmed: sending it again is recognised by its id."""
    STALE = "stale"
    """It was claimed so long ago that a second one might count twice; a person must look."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Ledger:
    """One row per dead letter; a claim is repeatable while the duplicate would be recognised."""

    pool: Pool

    async def done(self, topic: str) -> set[int]:
        """Offsets of `topic` that have been put back."""
        query = "SELECT dead_offset FROM replay WHERE topic = $1 AND done_at IS NOT NULL"
        return {row["dead_offset"] for row in await self.pool.fetch(query, topic)}

    async def claim(self, topic: str, offset: int, repeat_within_s: float) -> Claim:
        """Claim one; atomic, by the database's clock."""
        fresh = await self.pool.fetchval(
            "INSERT INTO replay (topic, dead_offset) VALUES ($1, $2) "
            "ON CONFLICT DO NOTHING RETURNING TRUE",
            topic,
            offset,
        )
        return Claim.FRESH if fresh else await self.look(topic, offset, repeat_within_s)

    async def look(self, topic: str, offset: int, repeat_within_s: float) -> Claim:
        """Say what a claim would say, and claim nothing."""
        row = await self.pool.fetchrow(
            "SELECT done_at IS NOT NULL AS done, "
            "claimed_at > now() - make_interval(secs => $3) AS recent "
            "FROM replay WHERE topic = $1 AND dead_offset = $2",
            topic,
            offset,
            repeat_within_s,
        )
        if row is None:
            return Claim.FRESH
        if row["done"]:
            return Claim.DONE
        return Claim.AGAIN if row["recent"] else Claim.STALE

    async def confirm(self, topic: str, offset: int, target_offset: int) -> None:
        """Say that it is in the raw topic again; a repeat changes nothing."""
        await self.pool.execute(
            "UPDATE replay SET done_at = now(), target_offset = $3 "
            "WHERE topic = $1 AND dead_offset = $2 AND done_at IS NULL",
            topic,
            offset,
            target_offset,
        )
