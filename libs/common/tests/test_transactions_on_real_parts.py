"""A transaction is all or nothing on the real broker."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tidemill.errors import Fenced, TidemillError
from tidemill_common import topics
from tidemill_common.kafka import Admin, Broker, Record, TopicPartition, following, transactional
from tidemill_common.kafka.reading import read_range

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.stack


async def committed_values(kafka: Broker, topic: str, partition: int = 0) -> list[bytes | None]:
    records = await read_range(kafka, TopicPartition(topic, partition), None, 1000)
    return [record.value for record in records]


async def moved(admin: Admin, group: str, offsets: dict[TopicPartition, int]) -> None:
    """Wait until a group is there: a commit is certain a moment before it can be seen."""
    async with asyncio.timeout(10):
        while await admin.committed(group) != offsets:
            await asyncio.sleep(0.01)


async def test_records_and_offsets_become_visible_together(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    source = TopicPartition(topic.name, 1)
    async with transactional(kafka, f"{topic.name}.a") as producer:
        async with producer.transaction() as tx:
            tx.send(topic.name, b"one", partition=0)
            tx.send(topic.name, b"two", partition=0, headers=[("schema", b"1")])
            tx.commit_offsets({source: 7}, f"{topic.name}.g")
            assert await committed_values(kafka, topic.name) == []
        assert [sent.offset for sent in tx.sent] == [0, 1]
    assert await committed_values(kafka, topic.name) == [b"one", b"two"]
    await moved(admin, f"{topic.name}.g", {source: 7})


async def test_a_block_that_raises_has_sent_nothing_and_the_producer_goes_on(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    async with transactional(kafka, f"{topic.name}.b") as producer:
        with pytest.raises(ValueError, match="power cut"):
            async with producer.transaction() as tx:
                tx.send(topic.name, b"lost", partition=0)
                raise ValueError("power cut")
        assert not producer.broken
        async with producer.transaction() as tx:
            tx.send(topic.name, b"kept", partition=0)
    assert await committed_values(kafka, topic.name) == [b"kept"]


async def test_a_record_that_the_broker_refuses_takes_the_whole_transaction_with_it(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    """Aiokafka's own transaction commits here, and the offsets with it: lost data."""
    narrow = replace(
        topics.events(topic.name.split(".")[1] + "x"), more_config={"max.message.bytes": "1000"}
    )
    await admin.ensure([narrow])
    group = f"{topic.name}.c"
    async with transactional(kafka, group) as producer:
        with pytest.raises(TidemillError):
            async with producer.transaction() as tx:
                tx.send(topic.name, b"good", partition=0)
                tx.send(narrow.name, os.urandom(50_000), partition=0)
                tx.commit_offsets({TopicPartition(topic.name, 1): 9}, group)
        assert producer.broken
    await admin.delete_topics([narrow.name])
    assert await committed_values(kafka, topic.name) == []
    assert await admin.committed(group) == {}


async def test_a_newer_owner_fences_the_older_one(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    async with transactional(kafka, f"{topic.name}.d") as old:
        async with old.transaction() as tx:
            tx.send(topic.name, b"old", partition=0)
        async with transactional(kafka, f"{topic.name}.d") as new:
            with pytest.raises(Fenced):
                async with old.transaction() as tx:
                    tx.send(topic.name, b"zombie", partition=0)
            assert old.broken
            async with new.transaction() as tx:
                tx.send(topic.name, b"new", partition=0)
    assert await committed_values(kafka, topic.name) == [b"old", b"new"]


async def test_a_follower_reaches_the_end_behind_a_transactions_marker(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    tp = TopicPartition(topic.name, 0)
    async with (
        transactional(kafka, f"{topic.name}.e") as producer,
        producer.transaction() as tx,
    ):
        tx.send(topic.name, b"one", partition=0)
    seen: list[bytes | None] = []

    def keep(_: TopicPartition, records: Sequence[Record]) -> None:
        seen.extend(record.value for record in records)

    async with following(kafka, {tp: None}, keep) as follower:
        await follower.caught_up()
        assert follower.position(tp) == 2
        assert (await admin.end_offsets([tp]))[tp] == 2
    assert seen == [b"one"]


async def test_what_is_appended_is_seen_at_once_and_goes_on_behind_transactions(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    """A leader takes no plain write before the markers of the same producer's transaction."""
    written: list[bytes] = []
    async with transactional(kafka, f"{topic.name}.f", admin.stable_ends) as producer:
        for number in range(60):
            value = b"%d" % number
            write = producer.transaction if number % 3 == 0 else producer.appending
            async with write() as collected:
                collected.send(topic.name, value, partition=0)
            written.append(value)
            if number % 3:
                end = await admin.stable_ends([TopicPartition(topic.name, 0)])
                assert end[TopicPartition(topic.name, 0)] == collected.sent[0].offset + 1
    assert await committed_values(kafka, topic.name) == written


async def test_offsets_alone_are_committed_after_an_append(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    source = TopicPartition(topic.name, 1)
    async with transactional(kafka, f"{topic.name}.g", admin.stable_ends) as producer:
        async with producer.appending() as collected:
            collected.send(topic.name, b"one", partition=0)
        async with producer.transaction() as tx:
            tx.commit_offsets({source: 3}, f"{topic.name}.g")
    await moved(admin, f"{topic.name}.g", {source: 3})


async def test_an_older_owner_cannot_append_where_the_newer_one_has_fenced(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    async with transactional(kafka, f"{topic.name}.h", admin.stable_ends) as old:
        async with old.appending() as collected:
            collected.send(topic.name, b"old", partition=0)
        async with transactional(kafka, f"{topic.name}.h", admin.stable_ends) as new:
            await new.fence([TopicPartition(topic.name, 0)])
            with pytest.raises(Fenced):
                async with old.appending() as collected:
                    collected.send(topic.name, b"zombie", partition=0)
            assert old.broken
            async with new.appending() as collected:
                collected.send(topic.name, b"new", partition=0)
    assert await committed_values(kafka, topic.name) == [b"old", None, b"new"]


async def test_offsets_are_refused_outside_of_a_transaction(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    async with transactional(kafka, f"{topic.name}.i", admin.stable_ends) as producer:
        with pytest.raises(RuntimeError, match="by a transaction"):
            async with producer.appending() as collected:
                collected.commit_offsets({TopicPartition(topic.name, 1): 1}, "group")
        async with producer.appending() as collected:
            collected.send(topic.name, b"goes on", partition=0)
