"""What lies in the targets is found, in memory and on the broker alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import pytest

from tidemill.errors import Invalid, Misconfigured
from tidemill_common import topics
from tidemill_common.ids import new_id
from tidemill_common.kafka import (
    Broker,
    Producer,
    Record,
    TopicPartition,
    administering,
    consume,
    dead_letters,
    producing,
)
from tidemill_ingestion.foreign.bridge import Targets
from tidemill_ingestion.foreign.progress import bridged
from tidemill_ingestion.foreign.source import ForeignSource, compile_source
from tidemill_ingestion.foreign.targets import KafkaTargets
from tidemill_ingestion.foreign.testing import MemoryTopics, a_foreign_stream

ORIGIN = dead_letters.Origin("g", "ingestion", "bridge")


class Sink(Protocol):
    """Where records are appended."""

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int | None = None,
        headers: list[tuple[str, bytes]] = ...,
    ) -> object: ...


class World:
    """A source, its topics, and what a group committed."""

    def __init__(self, source: ForeignSource, targets: Targets, sink: Sink) -> None:
        self.source = source
        self.targets = targets
        self.sink = sink

    def tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self.source.topic, partition)

    async def event(self, target: int, partition: int, upto: int) -> None:
        """Append a record of events that goes up to an offset of a source partition."""
        mark = bridged(self.source.topic, partition, upto)
        await self.sink.send(self.source.schema.topic, b"e", partition=target, headers=[mark])

    async def dead(self, partition: int, offset: int) -> None:
        record = Record(self.source.topic, partition, offset, 0, None, b"x", ())
        headers = dead_letters.to_headers(record, Invalid("bad"), ORIGIN)
        name = topics.dead_letters(self.source.schema.topic).name
        await self.sink.send(name, b"x", partition=0, headers=headers)

    async def commit(self, partition: int, note: str) -> None:
        """Commit everything but the last record of a partition."""
        raise NotImplementedError

    async def done(self, partition: int) -> list[int]:
        found = await self.targets.progress(self.source, [self.tp(partition)])
        return [int(offset) for offset in found[self.tp(partition)].done]


class TargetsContract:
    async def test_what_was_appended_beyond_the_commit_is_found_in_each_target(
        self, world: World
    ) -> None:
        await world.event(0, partition=0, upto=2)
        await world.event(0, partition=0, upto=4)
        await world.event(1, partition=0, upto=3)
        await world.event(1, partition=1, upto=1)
        await world.dead(0, 1)
        assert await world.done(0) == [4, 3, 2]
        assert await world.done(1) == [0, 1, 0]

    async def test_records_of_other_publishers_say_nothing(self, world: World) -> None:
        await world.sink.send(world.source.schema.topic, b"e", partition=0, headers=[])
        other = bridged("other", 0, 9)
        await world.sink.send(world.source.schema.topic, b"e", partition=0, headers=[other])
        assert await world.done(0) == [0, 0, 0]

    async def test_what_was_committed_is_done_and_the_note_says_where_to_begin(
        self, world: World
    ) -> None:
        await world.event(0, partition=0, upto=2)
        await world.event(1, partition=0, upto=4)
        await world.commit(0, "[1,0,0]")
        assert await world.done(0) == [3, 4, 3]
        await world.commit(0, "[1,1,0]")
        assert await world.done(0) == [3, 3, 3]


RECORDS = 4
"""In each partition of the source."""


class InMemory(World):
    def __init__(self) -> None:
        self.topics = MemoryTopics()
        super().__init__(compile_source(a_foreign_stream()), self.topics, self.topics)

    async def commit(self, partition: int, note: str) -> None:
        self.topics.committed[self.tp(partition)] = RECORDS - 1
        self.topics.notes[self.tp(partition)] = note


class TestInMemory(TargetsContract):
    @pytest.fixture
    def world(self) -> World:
        return InMemory()


class OnBroker(World):
    def __init__(self, source: ForeignSource, targets: KafkaTargets, producer: Producer) -> None:
        super().__init__(source, targets, producer)
        self.kafka = targets
        self.producer = producer

    async def commit(self, partition: int, note: str) -> None:
        """Commit by a consumer, the way a bridge does; the last record stays."""
        admin, stop = self.kafka.admin, asyncio.Event()
        await admin.commit(self.kafka.group, {self.tp(each): RECORDS - 2 for each in (0, 1)})

        async def keep(records: Sequence[Record]) -> str:
            if records[0].partition == partition:
                stop.set()
            return note

        async with asyncio.timeout(20):
            await consume(
                [self.source.topic],
                keep,
                self.kafka.broker,
                stop,
                group=self.kafka.group,
                producer=self.producer,
                max_records=1,
            )


@pytest.mark.stack
class TestOnBroker(TargetsContract):
    @pytest.fixture
    async def world(self, kafka: Broker) -> AsyncIterator[World]:
        name = f"r{new_id().replace('-', '')}"
        source = compile_source(a_foreign_stream({"topic": f"{name}.raw"}, name=name))
        events = topics.events(name)
        foreign = topics.Topic(
            source.topic, "foreign", "JSON", "any", ("others",), ("ingestion",), topics.DAY_MS
        )
        wanted = [events, topics.dead_letters(events.name), foreign]
        async with administering(kafka) as admin, producing(kafka, linger_ms=0) as producer:
            await admin.ensure(wanted)
            for partition in (0, 1):
                for _ in range(RECORDS):
                    await producer.send(source.topic, b"{}", partition=partition)
            targets = KafkaTargets(kafka, admin, f"g-{name}")
            yield OnBroker(source, targets, producer)

    async def test_a_topic_that_was_made_again_is_refused(self, world: World) -> None:
        await world.event(0, partition=0, upto=RECORDS + 1)
        with pytest.raises(Misconfigured, match="ends at 4, but was bridged up to 5"):
            await world.done(0)
