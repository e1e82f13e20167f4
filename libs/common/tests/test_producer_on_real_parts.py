"""A producer appends in order, says when it cannot, and outlives a client that is stuck."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tidemill.errors import OutcomeUnknown, TooLarge, Unavailable
from tidemill_common.kafka import Broker, TopicPartition, producing
from tidemill_common.kafka.reading import read_range

if TYPE_CHECKING:
    from tidemill_common import topics

pytestmark = pytest.mark.stack


async def values(kafka: Broker, topic: topics.Topic) -> list[bytes | None]:
    records = await read_range(kafka, TopicPartition(topic.name, 0), None, 10_000)
    return [record.value for record in records]


async def test_the_order_of_the_calls_is_the_order_in_the_partition(
    kafka: Broker, topic: topics.Topic
) -> None:
    sent = [str(number).encode() for number in range(2000)]
    async with producing(kafka) as producer:
        futures = [producer.enqueue(topic.name, value, partition=0) for value in sent]
        places = await asyncio.gather(*futures)
        assert producer.waiting == 0
        assert [place.offset for place in places] == list(range(2000))
    assert await values(kafka, topic) == sent


async def test_a_client_whose_sender_died_is_replaced_and_nothing_is_lost(
    kafka: Broker, topic: topics.Topic
) -> None:
    sent = [str(number).encode() for number in range(300)]
    async with producing(kafka) as producer:
        futures = [producer.enqueue(topic.name, value, partition=0) for value in sent[:100]]
        await futures[0]
        await producer._client._sender.close()
        futures += [producer.enqueue(topic.name, value, partition=0) for value in sent[100:]]
        async with asyncio.timeout(15):
            await asyncio.gather(*futures)
    assert list(dict.fromkeys(await values(kafka, topic))) == sent


async def test_a_poisoned_sequence_is_noticed_and_what_waits_is_sent_by_a_new_client(
    kafka: Broker, topic: topics.Topic
) -> None:
    async with producing(kafka) as producer:
        await producer.send(topic.name, b"1", partition=0)
        manager = producer._client._txn_manager
        for partition in list(manager._sequence_numbers):
            manager._sequence_numbers[partition] += 5
        async with asyncio.timeout(15):
            await producer.send(topic.name, b"2", partition=0)
            await producer.send(topic.name, b"3", partition=0)
    assert await values(kafka, topic) == [b"1", b"2", b"3"]


async def test_what_the_broker_will_never_take_is_refused_at_once(
    kafka: Broker, topic: topics.Topic
) -> None:
    async with producing(kafka) as producer:
        with pytest.raises(TooLarge):
            producer.enqueue(topic.name, b"x" * 2_000_000)


async def test_no_acknowledgement_in_time_is_unknown_not_failed(
    kafka: Broker, topic: topics.Topic
) -> None:
    async with producing(kafka, closing=0.1) as producer:
        with pytest.raises(OutcomeUnknown):
            await producer.send(topic.name, b"1", partition=0, timeout=0.000001)


async def test_a_closed_producer_takes_nothing(kafka: Broker, topic: topics.Topic) -> None:
    async with producing(kafka) as producer:
        await producer.send(topic.name, b"1", partition=0)
    with pytest.raises(Unavailable):
        producer.enqueue(topic.name, b"2")


async def test_a_broker_that_is_not_there_is_unavailable(free_port: int) -> None:
    with pytest.raises(Unavailable):
        async with producing(Broker(f"127.0.0.1:{free_port}")):
            pass
