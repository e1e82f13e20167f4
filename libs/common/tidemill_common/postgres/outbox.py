"""Publish what a transaction announces, after it committed and in commit order, at least once.

Ids are given before a commit and become visible out of order, so a poller by id skips rows
silently. The relay pages by (transaction id, id) and only below the oldest transaction that is
still open. A crash between publishing and marking publishes again: the header `outbox-id` stays
the same, and consumers drop it by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.errors import Transient
from tidemill_common import metrics, telemetry
from tidemill_common.postgres.retry import LOST
from tidemill_common.verdict import Backoff

if TYPE_CHECKING:
    from tidemill_common.kafka.producer import Producer
    from tidemill_common.postgres.pool import Connection, Pool

OUTBOX_ID: Final = "outbox-id"
PAGE: Final = 500
KEEP: Final = "7 days"
_LOCK: Final = 0x6F75_7462  # "outb": the first of the two keys of the advisory lock
_LAGGING_SECONDS: Final = 10.0
_CALM_SECONDS: Final = 15.0
_TIDY_PAGES: Final = 300
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announced:
    """One row of the outbox."""

    id: int
    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    age: float


EachPage = Callable[["Connection", Sequence[Announced]], Awaitable[None]]


async def announce(
    connection: Connection,
    topic: str,
    key: str,
    value: bytes,
    headers: Sequence[tuple[str, bytes]] = (),
) -> int:
    """Write a message in the caller's transaction; it leaves if and only if that commits."""
    carried = [*headers, *telemetry.to_headers()]
    number: int = await connection.fetchval(
        "INSERT INTO outbox (topic, key, value, headers) VALUES ($1, $2, $3, $4) RETURNING id",
        topic,
        key,
        value,
        [[name, text.decode()] for name, text in carried],
    )
    return number


async def relay(
    pool: Pool,
    producer: Producer,
    stop: asyncio.Event,
    *,
    each_page: EachPage | None = None,
    every: float = 0.2,
    hint: asyncio.Event | None = None,
) -> None:
    """Publish the outbox of the pool's schema until told to stop; of many relays one works.

    It looks `every` so many seconds, and at once when `hint` is set. `each_page` runs in the
    transaction that marks a page as published, so what it writes is written once, in commit order.
    """
    backoff, failures, last = Backoff(0.1, 5.0), 0, 0.0
    while not stop.is_set():
        try:
            await _lead(pool, producer, stop, each_page, every, hint)
        except Transient as error:
            failures = failures + 1 if time.monotonic() - last < _CALM_SECONDS else 1
            last = time.monotonic()
            logger.warning("outbox.waiting", extra={"error": str(error), "attempt": failures})
            await _pause(stop, None, 0.1 + backoff.delay(failures))


async def _lead(
    pool: Pool,
    producer: Producer,
    stop: asyncio.Event,
    each_page: EachPage | None,
    every: float,
    hint: asyncio.Event | None,
) -> None:
    """Publish while this connection holds the lock; it is lost with the connection."""
    async with pool.connection() as leader:
        if not await leader.fetchval(
            "SELECT pg_try_advisory_lock($1, hashtext($2))", _LOCK, pool.schema
        ):
            await _pause(stop, None, max(every, 1.0))
            return
        try:
            pages = 0
            while not stop.is_set():
                if hint is not None:
                    hint.clear()
                published = await _publish_page(pool, leader, producer, each_page)
                pages += 1
                if pages % _TIDY_PAGES == 0:
                    await _tidy(leader)
                if published < PAGE:
                    await _pause(stop, hint, every)
        finally:
            with contextlib.suppress(*LOST):
                await leader.execute(
                    "SELECT pg_advisory_unlock($1, hashtext($2))", _LOCK, pool.schema
                )


async def _publish_page(
    pool: Pool, leader: Connection, producer: Producer, each_page: EachPage | None
) -> int:
    """Publish the next rows, then mark them; the lag is the age of the oldest."""
    rows = await _page(leader)
    lag = max((row.age for row in rows), default=0.0)
    metrics.gauge("tidemill_outbox_lag_seconds", schema=pool.schema).set(lag)
    if not rows:
        return 0
    if lag > _LAGGING_SECONDS:
        logger.warning("outbox.lagging", extra={"schema": pool.schema, "seconds": round(lag, 1)})
    await asyncio.gather(
        *(
            producer.send(
                row.topic,
                row.value,
                key=row.key.encode(),
                headers=(*row.headers, (OUTBOX_ID, f"{pool.schema}:{row.id}".encode())),
            )
            for row in rows
        )
    )
    async with leader.transaction():
        if each_page is not None:
            await each_page(leader, rows)
        await leader.execute(
            "UPDATE outbox SET published_at = clock_timestamp() WHERE id = ANY($1)",
            [row.id for row in rows],
        )
    metrics.counter("tidemill_outbox_published_total", schema=pool.schema).inc(len(rows))
    return len(rows)


async def _page(connection: Connection) -> list[Announced]:
    """Return the oldest rows whose place in the commit order is settled."""
    rows = await connection.fetch(
        """
        SELECT id, topic, key, value, headers,
               extract(epoch FROM clock_timestamp() - created_at)::float8 AS age
        FROM outbox
        WHERE published_at IS NULL AND txid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY txid, id
        LIMIT $1
        """,
        PAGE,
    )
    return [
        Announced(
            row["id"],
            row["topic"],
            row["key"],
            row["value"],
            tuple((name, text.encode()) for name, text in row["headers"]),
            row["age"],
        )
        for row in rows
    ]


async def _tidy(connection: Connection) -> None:
    """Forget what was published long ago."""
    await connection.execute(
        "DELETE FROM outbox WHERE published_at < clock_timestamp() - $1::text::interval", KEEP
    )


async def _pause(stop: asyncio.Event, hint: asyncio.Event | None, seconds: float) -> None:
    """Wait so long, or until told to stop, or until there is something to do."""
    waiting = [asyncio.create_task(event.wait()) for event in (stop, hint) if event is not None]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
