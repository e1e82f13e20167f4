"""Read known stretches of partitions, in pieces, at the reader's own pace."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition as KafkaPartition

from tidemill.errors import Misconfigured
from tidemill_common.kafka.broker import Broker, Record, TopicPartition, to_error, to_records
from tidemill_common.kafka.reading import Isolation, reading, starts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

PIECE_RECORDS = 500
_POLL_MS = 200


class Ranges:
    """One client that reads one stretch at a time; made by `ranging`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def start(self, tp: TopicPartition) -> int:
        """Return the first offset that still exists."""
        return (await starts(self._client, [tp]))[tp]

    async def offset_at(self, tp: TopicPartition, timestamp_ms: int) -> int | None:
        """Return the first offset appended at `timestamp_ms` or later, None if there is none."""
        try:
            found = await self._client.offsets_for_times({KafkaPartition(*tp): timestamp_ms})
        except KafkaError as error:
            raise to_error(error) from error
        place = found[KafkaPartition(*tp)]
        return None if place is None else int(place.offset)

    async def stretch(
        self, tp: TopicPartition, start: int, end: int, *, piece: int = PIECE_RECORDS
    ) -> AsyncIterator[list[Record]]:
        """Give the records of [start, end) in log order, up to `piece` at a time.

        The next piece is fetched when it is asked for. Misconfigured if `start` no longer exists.
        """
        if start >= end:
            return
        first = await self.start(tp)
        if first > start:
            raise Misconfigured(
                f"{tp.topic}/{tp.partition} begins at {first}, {start} is gone",
                hint="the topic's retention is shorter than what its reader has to catch up",
            )
        partition = KafkaPartition(*tp)
        self._client.assign([partition])
        self._client.seek(partition, start)
        while True:
            try:
                found = await self._client.getmany(timeout_ms=_POLL_MS, max_records=piece)
                position = await self._client.position(partition)
            except KafkaError as error:
                raise to_error(error) from error
            records = to_records(one for one in found.get(partition, ()) if one.offset < end)
            if records:
                yield records
            if position >= end:
                return


@contextlib.asynccontextmanager
async def ranging(broker: Broker, isolation: Isolation = "read_committed") -> AsyncIterator[Ranges]:
    """Give a reader of stretches; uncommitted, it sees what transactions that failed left too."""
    async with reading(broker, isolation) as client:
        yield Ranges(client)


async def stretch(
    broker: Broker,
    tp: TopicPartition,
    start: int,
    end: int,
    *,
    piece: int = PIECE_RECORDS,
    isolation: Isolation = "read_committed",
) -> AsyncGenerator[list[Record]]:
    """Give the records of [start, end) in log order, by a client of its own."""
    if start >= end:
        return
    async with ranging(broker, isolation) as ranges:
        async for records in ranges.stretch(tp, start, end, piece=piece):
            yield records
