"""Who asks for what a log holds gets what is there, also while it is trimmed."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tidemill_common.kafka import Admin, Broker, TopicPartition, producing
from tidemill_common.kafka.broker import PARTITION_FETCH_BYTES
from tidemill_common.kafka.reading import existing, read_range, reading

if TYPE_CHECKING:
    from tidemill_common import topics

pytestmark = pytest.mark.stack

RECORD = PARTITION_FETCH_BYTES // 8
RECORDS = 48
"""Many times what a client fetches ahead, of bytes that do not shrink when they are packed."""


async def fill(kafka: Broker, tp: TopicPartition) -> None:
    async with producing(kafka) as producer:
        await asyncio.gather(
            *(producer.send(tp.topic, os.urandom(RECORD), partition=0) for _ in range(RECORDS))
        )


async def test_what_is_trimmed_while_it_is_read_is_passed_over(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    tp = TopicPartition(topic.name, 0)
    await fill(kafka, tp)
    found: list[int] = []
    async with reading(kafka) as client:
        async for records in existing(client, tp, 0, RECORDS, piece=1):
            found += [record.offset for record in records]
            if len(found) == 1:
                await admin.delete_records({tp: RECORDS - 2})
    ahead = found[:-2]
    assert ahead == list(range(len(ahead)))
    assert 0 < len(ahead) < RECORDS - 2
    assert found[-2:] == [RECORDS - 2, RECORDS - 1]


async def test_a_range_begins_where_its_log_begins_and_ends_at_its_limit(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    tp = TopicPartition(topic.name, 0)
    await fill(kafka, tp)
    await admin.delete_records({tp: 40})

    async def offsets(start: int | None, limit: int) -> list[int]:
        return [record.offset for record in await read_range(kafka, tp, start, limit)]

    assert await offsets(None, 100) == list(range(40, RECORDS))
    assert await offsets(3, 2) == [40, 41]
    assert await offsets(45, 100) == [45, 46, 47]
    assert await offsets(RECORDS, 100) == []
