"""A consumer handles everything at least once, sets aside what is bad, and never skips a bug."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tidemill.errors import Invalid, Misconfigured, Unavailable
from tidemill_common import topics
from tidemill_common.kafka import (
    Admin,
    Broker,
    Producer,
    Record,
    TooManyDeadLetters,
    TopicPartition,
    consume,
    dead_letters,
    producing,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

pytestmark = pytest.mark.stack


@pytest.fixture
async def producer(kafka: Broker) -> AsyncIterator[Producer]:
    async with producing(kafka, linger_ms=0) as made:
        yield made


class Handler:
    """Keeps what it handled; fails as `failing` says; stops the consumer at `enough` values."""

    def __init__(
        self, enough: int, failing: Callable[[Sequence[Record]], None] = lambda _: None
    ) -> None:
        self.values: list[bytes | None] = []
        self.stop = asyncio.Event()
        self._enough = enough
        self._failing = failing

    async def __call__(self, records: Sequence[Record]) -> None:
        self._failing(records)
        self.values.extend(record.value for record in records)
        if len(self.values) >= self._enough:
            self.stop.set()


async def run(kafka: Broker, producer: Producer, topic: topics.Topic, handler: Handler) -> None:
    async with asyncio.timeout(20):
        await consume(
            [topic.name], handler, kafka, handler.stop, group=f"{topic.name}.g", producer=producer
        )


async def append(
    producer: Producer, topic: topics.Topic, *values: bytes, partition: int = 0
) -> None:
    for value in values:
        await producer.send(topic.name, value, partition=partition, headers=[("schema", b"7")])


async def test_a_restart_goes_on_where_the_last_one_stopped(
    kafka: Broker, admin: Admin, producer: Producer, topic: topics.Topic
) -> None:
    await append(producer, topic, b"1", b"2")
    first = Handler(enough=2)
    await run(kafka, producer, topic, first)
    assert first.values == [b"1", b"2"]
    committed = await admin.committed(f"{topic.name}.g")
    assert committed[TopicPartition(topic.name, 0)] == 2
    await append(producer, topic, b"3")
    second = Handler(enough=1)
    await run(kafka, producer, topic, second)
    assert second.values == [b"3"]


async def test_what_a_handler_returns_is_kept_beside_the_offset_it_belongs_to(
    kafka: Broker, admin: Admin, producer: Producer, topic: topics.Topic
) -> None:
    await append(producer, topic, b"1", b"2", partition=0)
    await append(producer, topic, b"3", partition=1)
    handler = Handler(enough=3)
    assigned: list[TopicPartition] = []

    async def noting(records: Sequence[Record]) -> str | None:
        await handler(records)
        return f"up to {records[-1].offset}" if records[0].partition == 0 else None

    group = f"{topic.name}.g"
    async with asyncio.timeout(20):
        await consume(
            [topic.name],
            noting,
            kafka,
            handler.stop,
            group=group,
            producer=producer,
            assigned=assigned.extend,
        )
    assert await admin.notes(group) == {TopicPartition(topic.name, 0): "up to 1"}
    assert set(assigned) >= {TopicPartition(topic.name, 0), TopicPartition(topic.name, 1)}


async def test_a_part_that_is_away_makes_its_partition_wait_and_no_other(
    kafka: Broker, producer: Producer, topic: topics.Topic
) -> None:
    await append(producer, topic, b"a", b"b", partition=0)
    await append(producer, topic, b"c", partition=1)
    tries = 0

    def away(records: Sequence[Record]) -> None:
        nonlocal tries
        if records[0].partition == 0 and tries < 3:
            tries += 1
            raise Unavailable("the database is away")

    handler = Handler(enough=3, failing=away)
    await run(kafka, producer, topic, handler)
    assert tries == 3
    assert handler.values == [b"c", b"a", b"b"]


async def test_only_the_guilty_record_is_set_aside_with_its_bytes(
    kafka: Broker, admin: Admin, producer: Producer, topic: topics.Topic
) -> None:
    await append(producer, topic, b"good", b"\xffbad", b"fine")

    def refuse(records: Sequence[Record]) -> None:
        if any(record.value == b"\xffbad" for record in records):
            raise Invalid("not an event")

    handler = Handler(enough=2, failing=refuse)
    await run(kafka, producer, topic, handler)
    assert handler.values == [b"good", b"fine"]
    [letter] = await dead_letters.read(kafka, topic.name)
    assert letter.record.value == b"\xffbad"
    assert letter.record.headers == (("schema", b"7"),)
    assert (letter.topic, letter.partition, letter.offset) == (topic.name, 0, 1)
    assert (letter.group, letter.error, letter.message) == (
        f"{topic.name}.g",
        "INVALID",
        "not an event",
    )
    assert (await admin.committed(f"{topic.name}.g"))[TopicPartition(topic.name, 0)] == 3


async def test_a_bug_ends_the_consumer_and_no_offset_moves_past_it(
    kafka: Broker, admin: Admin, producer: Producer, topic: topics.Topic
) -> None:
    await append(producer, topic, b"1")

    def broken(_: Sequence[Record]) -> None:
        message = "bug"
        raise KeyError(message)

    with pytest.raises(KeyError, match="bug"):
        await run(kafka, producer, topic, Handler(1, broken))
    assert (await admin.committed(f"{topic.name}.g")).get(TopicPartition(topic.name, 0), 0) == 0
    handler = Handler(enough=1)
    await run(kafka, producer, topic, handler)
    assert handler.values == [b"1"]


async def test_ten_bad_records_in_a_row_stop_the_consumer_and_each_is_set_aside_once(
    kafka: Broker, producer: Producer, topic: topics.Topic
) -> None:
    await append(producer, topic, *(str(number).encode() for number in range(20)))

    def refuse(_: Sequence[Record]) -> None:
        raise Invalid("poison")

    for _ in range(2):
        with pytest.raises(TooManyDeadLetters):
            await run(kafka, producer, topic, Handler(1, refuse))
    letters = await dead_letters.read(kafka, topic.name)
    assert [letter.offset for letter in letters] == list(range(20))


async def test_a_position_that_was_trimmed_stops_the_consumer(
    kafka: Broker, admin: Admin, producer: Producer, topic: topics.Topic
) -> None:
    tp = TopicPartition(topic.name, 0)
    await append(producer, topic, b"1", b"2", b"3")
    await admin.commit(f"{topic.name}.g", {tp: 1})
    await admin.delete_records({tp: 2})
    with pytest.raises(Misconfigured, match="no longer exists"):
        await run(kafka, producer, topic, Handler(1))


async def test_members_come_and_go_and_every_record_is_handled(
    kafka: Broker, producer: Producer, topic: topics.Topic
) -> None:
    handled: set[bytes | None] = set()
    stops = [asyncio.Event() for _ in range(3)]
    total = 400

    async def handle(records: Sequence[Record]) -> None:
        await asyncio.sleep(0.01)
        handled.update(record.value for record in records)
        if len(handled) == total:
            for stop in stops:
                stop.set()

    def member(stop: asyncio.Event) -> Coroutine[None, None, None]:
        return consume(
            [topic.name],
            handle,
            kafka,
            stop,
            group=f"{topic.name}.m",
            producer=producer,
            max_records=5,
            session_ms=6000,
            heartbeat_ms=300,
        )

    async with asyncio.timeout(40), asyncio.TaskGroup() as tasks:
        tasks.create_task(member(stops[0]))
        for number in range(total):
            await producer.send(topic.name, str(number).encode(), partition=number % 2)
            if number == total // 4:
                tasks.create_task(member(stops[1]))
            if number == total // 2:
                tasks.create_task(member(stops[2]))
            if number == 3 * total // 4:
                stops[1].set()
    assert handled == {str(number).encode() for number in range(total)}
