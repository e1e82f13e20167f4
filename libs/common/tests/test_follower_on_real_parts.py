"""A follower hands over every record in order and knows when it is at the end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tidemill.errors import Misconfigured
from tidemill_common import topics
from tidemill_common.kafka import (
    Admin,
    Broker,
    Record,
    TopicPartition,
    following,
    producing,
    transactional,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.stack


class Kept:
    """What a follower was handed, by partition."""

    def __init__(self) -> None:
        self.values: dict[TopicPartition, list[bytes | None]] = defaultdict(list)
        self.resets: list[TopicPartition] = []

    def __call__(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        self.values[tp].extend(record.value for record in records)

    def reset(self, tp: TopicPartition) -> None:
        self.resets.append(tp)
        self.values[tp].clear()


async def append(kafka: Broker, topic: topics.Topic, partition: int, *values: bytes) -> int:
    async with producing(kafka, linger_ms=0) as producer:
        sent = [await producer.send(topic.name, value, partition=partition) for value in values]
        return sent[-1].offset


async def test_everything_from_the_start_and_then_what_comes(
    kafka: Broker, topic: topics.Topic
) -> None:
    tp, kept = TopicPartition(topic.name, 0), Kept()
    await append(kafka, topic, 0, b"1", b"2")
    async with following(kafka, {tp: None}, kept) as follower:
        await follower.caught_up()
        assert kept.values[tp] == [b"1", b"2"]
        offset = await append(kafka, topic, 0, b"3")
        await asyncio.wait_for(follower.reach(tp, offset + 1), 5)
        assert kept.values[tp] == [b"1", b"2", b"3"]
        assert follower.end(tp) == 3


async def test_a_partition_is_followed_from_the_position_it_is_added_with(
    kafka: Broker, topic: topics.Topic
) -> None:
    first, second, kept = TopicPartition(topic.name, 0), TopicPartition(topic.name, 1), Kept()
    await append(kafka, topic, 0, b"1", b"2", b"3")
    await append(kafka, topic, 1, b"a", b"b")
    async with following(kafka, {first: 2}, kept) as follower:
        await follower.caught_up()
        await follower.add({second: None})
        await follower.caught_up()
        assert dict(kept.values) == {first: [b"3"], second: [b"a", b"b"]}
        follower.remove([first])
        await append(kafka, topic, 0, b"4")
        offset = await append(kafka, topic, 1, b"c")
        await asyncio.wait_for(follower.reach(second, offset + 1), 5)
        assert kept.values[first] == [b"3"]


async def test_a_partition_that_is_held_waits_while_others_go_on(
    kafka: Broker, topic: topics.Topic
) -> None:
    held, other, kept = TopicPartition(topic.name, 0), TopicPartition(topic.name, 1), Kept()
    third = TopicPartition(topics.dead_letters(topic.name).name, 0)
    await append(kafka, topic, 0, b"1")
    async with following(kafka, {held: 0, other: 0}, kept) as follower:
        await follower.caught_up()
        follower.hold(held)
        last = await append(kafka, topic, 0, b"2", b"3")
        seen = await append(kafka, topic, 1, b"a")
        await asyncio.wait_for(follower.reach(other, seen + 1), 5)
        await follower.add({third: 0})  # all are assigned anew
        seen = await append(kafka, topic, 1, b"b")
        await asyncio.wait_for(follower.reach(other, seen + 1), 5)
        assert kept.values[held] == [b"1"]
        follower.release(held)
        await asyncio.wait_for(follower.reach(held, last + 1), 5)
        assert kept.values[held] == [b"1", b"2", b"3"]


async def test_a_reader_that_takes_its_time_is_waited_for(
    kafka: Broker, topic: topics.Topic
) -> None:
    tp, kept, may_go_on = TopicPartition(topic.name, 0), Kept(), asyncio.Event()

    async def take(records: Sequence[Record]) -> None:
        await may_go_on.wait()
        kept(tp, records)

    last = await append(kafka, topic, 0, b"1", b"2")
    async with following(kafka, {tp: 0}, lambda _, records: take(records)) as follower:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(follower.reach(tp, 1), 0.5)
        may_go_on.set()
        await asyncio.wait_for(follower.reach(tp, last + 1), 5)
        assert kept.values[tp] == [b"1", b"2"]


async def test_who_is_put_elsewhere_while_a_reader_takes_its_time_goes_on_from_there(
    kafka: Broker, topic: topics.Topic
) -> None:
    tp, seen, may_go_on = TopicPartition(topic.name, 0), Kept(), asyncio.Event()
    taking = asyncio.Event()

    async def take(records: Sequence[Record]) -> None:
        seen(tp, records)
        taking.set()
        await may_go_on.wait()

    last = await append(kafka, topic, 0, b"1", b"2", b"3")
    async with following(kafka, {tp: 0}, lambda _, records: take(records)) as follower:
        await asyncio.wait_for(taking.wait(), 5)
        follower.remove([tp])
        await follower.add({tp: 2})
        may_go_on.set()
        await asyncio.wait_for(follower.reach(tp, last + 1), 5)
        assert seen.values[tp] == [b"1", b"2", b"3", b"3"]


async def test_an_empty_partition_is_at_its_end_at_once(kafka: Broker, topic: topics.Topic) -> None:
    async with following(kafka, {TopicPartition(topic.name, 0): None}, Kept()) as follower:
        await asyncio.wait_for(follower.caught_up(), 2)


async def test_catching_up_does_not_wait_for_a_transaction_that_a_dead_producer_left_open(
    kafka: Broker, topic: topics.Topic
) -> None:
    tp, kept = TopicPartition(topic.name, 0), Kept()
    await append(kafka, topic, 0, b"1")
    async with transactional(kafka, f"dead-{topic.name}") as dead:
        await dead._client.begin_transaction()
        await (await dead._client.send(topic.name, b"never ended", partition=0))
        async with following(kafka, {tp: None}, kept) as follower:
            await asyncio.wait_for(follower.caught_up(), 5)
    assert kept.values[tp] == [b"1"]


async def test_a_trimmed_log_is_forgotten_and_read_from_its_start(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    tp, kept = TopicPartition(topic.name, 0), Kept()
    await append(kafka, topic, 0, b"1", b"2", b"3")
    await admin.delete_records({tp: 2})
    async with following(kafka, {tp: 0}, kept, on_reset=kept.reset) as follower:
        await asyncio.wait_for(follower.caught_up(), 10)
    assert kept.resets == [tp]
    assert kept.values[tp] == [b"3"]


async def test_a_trimmed_log_ends_a_follower_that_cannot_forget(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    tp = TopicPartition(topic.name, 0)
    await append(kafka, topic, 0, b"1", b"2")
    await admin.delete_records({tp: 1})
    with pytest.raises(Misconfigured, match="no offset 0 any more"):
        async with following(kafka, {tp: 0}, Kept()) as follower:
            await asyncio.wait_for(follower.caught_up(), 10)


async def test_an_error_of_the_callback_ends_the_block(kafka: Broker, topic: topics.Topic) -> None:
    def broken(_: TopicPartition, records: Sequence[Record]) -> None:
        message = f"cannot read {records[0].value!r}"
        raise ValueError(message)

    tp = TopicPartition(topic.name, 0)
    await append(kafka, topic, 0, b"1")
    with pytest.raises(ValueError, match="cannot read b'1'"):
        async with following(kafka, {tp: None}, broken) as follower:
            await asyncio.wait_for(follower.caught_up(), 10)
