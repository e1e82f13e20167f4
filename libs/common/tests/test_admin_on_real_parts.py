"""Topics become what the catalogue says, and what cannot be changed is refused."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tidemill.errors import Misconfigured, NotFound
from tidemill_common import topics
from tidemill_common.kafka import Admin, Broker, Record, TopicPartition, consume, producing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

pytestmark = pytest.mark.stack


@pytest.fixture
async def wanted(admin: Admin) -> AsyncIterator[topics.Topic]:
    topic = topics.events(f"test_{uuid.uuid4().hex[:12]}", partitions=3)
    yield topic
    await admin.delete_topics([topic.name])


async def test_every_family_can_be_made_as_the_catalogue_says(admin: Admin) -> None:
    name = f"test_{uuid.uuid4().hex[:8]}"
    made = [
        replace(topic, name=f"{name}.{number}") for number, topic in enumerate(topics.CATALOGUE)
    ]
    await admin.ensure(made)
    known = await admin.topics()
    for topic in made:
        assert known[topic.name] == topic.partitions
        config = await admin.config(topic.name)
        assert {key: config[key] for key in topic.config} == topic.config
    await admin.delete_topics([topic.name for topic in made])


async def test_a_repeat_changes_nothing_and_another_config_is_put_right(
    admin: Admin, wanted: topics.Topic
) -> None:
    await admin.ensure([wanted])
    await admin.ensure([wanted])
    longer = replace(wanted, retention_ms=99 * topics.DAY_MS)
    await admin.ensure([longer])
    async with asyncio.timeout(10):
        while (await admin.config(wanted.name))["retention.ms"] != str(99 * topics.DAY_MS):
            await asyncio.sleep(0.05)


async def test_the_number_of_partitions_is_fixed_for_life(
    admin: Admin, wanted: topics.Topic
) -> None:
    await admin.ensure([wanted])
    with pytest.raises(Misconfigured, match="3 partitions, not 4"):
        await admin.ensure([replace(wanted, partitions=4)])


async def test_a_trimmed_log_begins_where_it_was_trimmed(
    kafka: Broker, admin: Admin, wanted: topics.Topic
) -> None:
    await admin.ensure([wanted])
    tp = TopicPartition(wanted.name, 1)
    async with producing(kafka, linger_ms=0) as producer:
        for number in range(5):
            await producer.send(wanted.name, str(number).encode(), partition=1)
    await admin.delete_records({tp: 3})
    assert await admin.start_offsets([tp]) == {tp: 3}
    assert await admin.end_offsets([tp]) == {tp: 5}


async def test_where_a_group_goes_on_can_be_set_while_it_is_empty(
    admin: Admin, wanted: topics.Topic
) -> None:
    await admin.ensure([wanted])
    tp = TopicPartition(wanted.name, 2)
    assert await admin.committed(f"{wanted.name}.g") == {}
    await admin.commit(f"{wanted.name}.g", {tp: 17})
    assert await admin.committed(f"{wanted.name}.g") == {tp: 17}


async def test_a_topic_that_does_not_exist_is_not_found(admin: Admin) -> None:
    with pytest.raises(NotFound):
        await admin.partitions("no.such.topic")


async def test_a_static_member_that_stopped_is_in_its_group_until_it_is_taken_out(
    kafka: Broker, admin: Admin, topic: topics.Topic
) -> None:
    group, stop, joined = f"{topic.name}.g", asyncio.Event(), asyncio.Event()

    async def nothing(_: Sequence[Record]) -> None:
        return None

    async with producing(kafka) as producer, asyncio.timeout(30):
        member = asyncio.create_task(
            consume(
                [topic.name],
                nothing,
                kafka,
                stop,
                group=group,
                producer=producer,
                instance="one",
                assigned=lambda _: joined.set(),
            )
        )
        await joined.wait()
        stop.set()
        await member
        assert await admin.given(group, "one") == {topic.name}
        assert await admin.given(group, "on") == set()
        assert not await admin.leave(group, "another")
        assert await admin.leave(group, "one")
        assert not await admin.leave(group, "one")
        assert await admin.given(group, "one") == set()


async def test_nobody_can_leave_a_group_that_is_none(admin: Admin) -> None:
    assert not await admin.leave(f"test_{uuid.uuid4().hex}", "one")
