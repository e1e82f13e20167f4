"""What a transaction announces leaves once it committed, in commit order, at least once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tidemill_common import topics
from tidemill_common.kafka import Broker, Record, TopicPartition, producing
from tidemill_common.kafka.reading import read_range
from tidemill_common.postgres import Announced, Connection, Pool, announce, connected, migrate
from tidemill_common.postgres.outbox import relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tidemill_common.settings import Dsn

pytestmark = pytest.mark.stack


@pytest.fixture
async def pool(postgres: Dsn, schema: str) -> AsyncIterator[Pool]:
    await migrate(postgres, schema=schema)
    async with connected(postgres, schema=schema) as opened:
        yield opened


async def announce_one(pool: Pool, topic: topics.Topic, value: bytes) -> None:
    async with pool.transaction() as connection:
        await announce(connection, topic.name, "model", value)


async def relay_until(pool: Pool, kafka: Broker, topic: topics.Topic, count: int) -> list[Record]:
    """Relay until `count` records are in the topic."""
    stop = asyncio.Event()
    async with producing(kafka, linger_ms=0) as producer, asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(relay(pool, producer, stop, every=0.05))
        async with asyncio.timeout(15):
            while len(found := await records(kafka, topic)) < count:
                await asyncio.sleep(0.05)
        stop.set()
    return found


async def records(kafka: Broker, topic: topics.Topic) -> list[Record]:
    return [
        record
        for partition in range(topic.partitions)
        for record in await read_range(kafka, TopicPartition(topic.name, partition), None, 1000)
    ]


async def test_an_older_open_transaction_loses_nothing(
    kafka: Broker, pool: Pool, topic: topics.Topic
) -> None:
    """The row with the smaller id commits last: a poller by id would have passed it."""
    async with pool.transaction() as older:
        await announce(older, topic.name, "model", b"first id, commits last")
        await announce_one(pool, topic, b"second id, commits first")
        stop = asyncio.Event()
        async with producing(kafka, linger_ms=0) as producer, asyncio.TaskGroup() as tasks:
            tasks.create_task(relay(pool, producer, stop, every=0.05))
            await asyncio.sleep(0.5)
            assert await records(kafka, topic) == []
            stop.set()
    found = await relay_until(pool, kafka, topic, 2)
    assert [record.value for record in found] == [
        b"first id, commits last",
        b"second id, commits first",
    ]


async def test_of_two_relays_one_publishes_and_a_rolled_back_message_never_leaves(
    kafka: Broker, pool: Pool, topic: topics.Topic
) -> None:
    for number in range(50):
        await announce_one(pool, topic, str(number).encode())
    connection: Connection
    with pytest.raises(RuntimeError, match="power cut"):
        async with pool.transaction() as connection:
            await announce(connection, topic.name, "model", b"never")
            message = "power cut"
            raise RuntimeError(message)
    found = await relay_until(pool, kafka, topic, 50)
    await asyncio.sleep(0.2)
    assert [record.value for record in found] == [str(number).encode() for number in range(50)]
    assert await pool.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0


async def test_a_crash_between_publishing_and_marking_repeats_the_message_under_the_same_id(
    kafka: Broker, pool: Pool, topic: topics.Topic
) -> None:
    await announce_one(pool, topic, b"once")
    await pool.execute("CREATE TABLE chained (id bigint PRIMARY KEY)")
    crashes = 1

    async def chain(connection: Connection, page: Sequence[Announced]) -> None:
        nonlocal crashes
        for row in page:
            await connection.execute("INSERT INTO chained VALUES ($1)", row.id)
        if crashes:
            crashes -= 1
            message = "power cut"
            raise RuntimeError(message)

    async with producing(kafka, linger_ms=0) as producer:
        with pytest.raises(RuntimeError, match="power cut"):
            await relay(pool, producer, asyncio.Event(), each_page=chain)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(relay(pool, producer, stop, each_page=chain, every=0.05))
            async with asyncio.timeout(10):
                while not await pool.fetchval("SELECT count(*) FROM chained"):
                    await asyncio.sleep(0.05)
            stop.set()
    found = await records(kafka, topic)
    assert [record.value for record in found] == [b"once", b"once"]
    assert len({dict(record.headers)["outbox-id"] for record in found}) == 1


async def test_a_hint_makes_the_relay_look_at_once(
    kafka: Broker, pool: Pool, topic: topics.Topic
) -> None:
    stop, hint = asyncio.Event(), asyncio.Event()
    async with producing(kafka, linger_ms=0) as producer, asyncio.TaskGroup() as tasks:
        tasks.create_task(relay(pool, producer, stop, every=60, hint=hint))
        await asyncio.sleep(0.2)
        await announce_one(pool, topic, b"now")
        hint.set()
        async with asyncio.timeout(5):
            while not await records(kafka, topic):
                await asyncio.sleep(0.02)
        stop.set()
