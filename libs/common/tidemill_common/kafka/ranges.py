"""Read a known stretch of one partition, in pieces, at the reader's own pace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition as KafkaPartition

from tidemill.errors import Misconfigured
from tidemill_common.kafka.broker import Broker, Record, TopicPartition, to_error, to_record
from tidemill_common.kafka.reading import reading, starts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECE_RECORDS = 500
_POLL_MS = 200


async def stretch(
    broker: Broker, tp: TopicPartition, start: int, end: int, *, piece: int = PIECE_RECORDS
) -> AsyncIterator[list[Record]]:
    """Give the records of [start, end) in log order, up to `piece` at a time.

    The next piece is fetched when it is asked for. Misconfigured if `start` no longer exists.
    """
    if start >= end:
        return
    async with reading(broker) as client:
        first = (await starts(client, [tp]))[tp]
        if first > start:
            raise Misconfigured(
                f"{tp.topic}/{tp.partition} begins at {first}, {start} is gone",
                hint="the topic's retention is shorter than what its reader has to catch up",
            )
        partition = KafkaPartition(*tp)
        client.assign([partition])
        client.seek(partition, start)
        while True:
            try:
                found = await client.getmany(timeout_ms=_POLL_MS, max_records=piece)
                position = await client.position(partition)
            except KafkaError as error:
                raise to_error(error) from error
            records = [to_record(one) for one in found.get(partition, ()) if one.offset < end]
            if records:
                yield records
            if position >= end:
                return


async def offset_at(broker: Broker, tp: TopicPartition, timestamp_ms: int) -> int | None:
    """Return the first offset appended at `timestamp_ms` or later, None if there is none."""
    async with reading(broker) as client:
        try:
            found = await client.offsets_for_times({KafkaPartition(*tp): timestamp_ms})
        except KafkaError as error:
            raise to_error(error) from error
    place = found[KafkaPartition(*tp)]
    return None if place is None else int(place.offset)
