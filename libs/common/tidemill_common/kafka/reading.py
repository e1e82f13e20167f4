"""Readers without a group: the one way to make such a client, and to read a stretch of a log."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Literal

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, KafkaTimeoutError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition as KafkaPartition

from tidemill.errors import Unavailable
from tidemill_common.kafka.broker import (
    FETCH_WAIT_MS,
    PARTITION_FETCH_BYTES,
    RETRY_BACKOFF_MS,
    TOTAL_FETCH_BYTES,
    Broker,
    Record,
    TopicPartition,
    to_error,
    to_records,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

Isolation = Literal["read_committed", "read_uncommitted"]
REQUEST_TIMEOUT_MS = 15_000
"""So late at most a reader knows that a connection's other side is gone without saying so."""
GROUP_REQUEST_TIMEOUT_MS = 40_000
"""Who joins a group waits for its slowest member, longer than a reader waits for an answer."""
_CLOSE_SECONDS = 5.0
_POLL_MS = 200
_OFFSETS_SECONDS = 20.0


def settings(
    broker: Broker, isolation: Isolation, request_timeout_ms: int = REQUEST_TIMEOUT_MS
) -> dict[str, Any]:
    """Return the settings of every reader; a position that is gone is an error, never a skip."""
    return {
        "bootstrap_servers": broker.address,
        "client_id": broker.client,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": isolation,
        "fetch_max_wait_ms": FETCH_WAIT_MS,
        "fetch_max_bytes": TOTAL_FETCH_BYTES,
        "max_partition_fetch_bytes": PARTITION_FETCH_BYTES,
        "retry_backoff_ms": RETRY_BACKOFF_MS,
        "request_timeout_ms": request_timeout_ms,
    }


@contextlib.asynccontextmanager
async def reading(broker: Broker, isolation: Isolation = "read_committed") -> AsyncIterator[Any]:
    """Give a started client without a group; it is stopped within bounds."""
    client = AIOKafkaConsumer(**settings(broker, isolation))
    try:
        try:
            await client.start()
        except KafkaError as error:
            raise to_error(error) from error
        yield client
    finally:
        await stop(client)


async def stop(client: Any) -> None:
    """Stop a client, or give up after a few seconds."""
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await client.stop()


async def starts(client: Any, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the first offset that still exists in each partition."""
    return await _offsets(client, client.beginning_offsets, partitions)


async def ends(client: Any, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the end of each partition, as the client's isolation sees it."""
    return await _offsets(client, client.end_offsets, partitions)


async def _offsets(
    client: Any, ask: Any, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """Ask for offsets in aiokafka's types and answer in ours.

    Who asks may have less time than it takes to know that a connection's other side is gone; so the
    question goes on without him, and at its end the next one gets a new connection.
    """
    wanted = [KafkaPartition(*tp) for tp in partitions]
    if not wanted:
        return {}
    asking = asyncio.ensure_future(_asked(client, ask, wanted))
    asking.add_done_callback(_look)
    found = await asyncio.shield(asking)
    return {TopicPartition(tp.topic, tp.partition): offset for tp, offset in found.items()}


async def _asked(client: Any, ask: Any, wanted: list[KafkaPartition]) -> Any:
    """Ask, and close the connections of a client that is not answered: aiokafka keeps them."""
    try:
        async with asyncio.timeout(_OFFSETS_SECONDS):
            return await ask(wanted)
    except (TimeoutError, KafkaTimeoutError) as error:
        for connection in list(client._client._conns.values()):  # noqa: SLF001 (no public way)
            connection.close()
        raise Unavailable(f"no offsets of {wanted[0].topic}: the broker is silent") from error
    except KafkaError as error:
        raise to_error(error) from error


def _look(asking: asyncio.Future[Any]) -> None:
    """Count the failure of a question as seen, also if nobody waits for its answer any more."""
    if not asking.cancelled():
        asking.exception()


async def existing(
    client: Any, tp: TopicPartition, start: int, end: int, *, piece: int
) -> AsyncGenerator[list[Record]]:
    """Give what exists of [start, end) in log order, up to `piece` at a time, by a client alone.

    Records that are trimmed while it is read are passed over: who asks wants what is there. Who may
    miss nothing reads with `ranges`.
    """
    partition = KafkaPartition(*tp)
    client.assign([partition])
    client.seek(partition, max(start, (await starts(client, [tp]))[tp]))
    while await client.position(partition) < end:
        try:
            found = await client.getmany(timeout_ms=_POLL_MS, max_records=piece)
        except OffsetOutOfRangeError:
            client.seek(partition, (await starts(client, [tp]))[tp])
            continue
        except KafkaError as error:
            raise to_error(error) from error
        yield to_records(one for one in found.get(partition, ()) if one.offset < end)


async def read_range(
    broker: Broker, tp: TopicPartition, start: int | None, limit: int
) -> list[Record]:
    """Return up to `limit` records from `start` (None: the first there is) to the present end."""
    records: list[Record] = []
    async with reading(broker) as client:
        end = (await ends(client, [tp]))[tp]
        async for some in existing(client, tp, start or 0, end, piece=limit):
            records.extend(some)
            if len(records) >= limit:
                break
    return records[:limit]
