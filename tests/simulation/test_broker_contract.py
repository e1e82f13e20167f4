"""The broker in memory and the real one keep the same promises: the model is held to the contract.

Both are spoken to as tidemill_common.kafka speaks: by aiokafka's clients, or by those of the model.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition

from tests.simulation.broker import MemoryBroker
from tests.simulation.clients import (
    PROCESS,
    MemoryAdmin,
    MemoryConsumer,
    MemoryProducer,
    Process,
)
from tidemill_common import topics
from tidemill_common.kafka import Broker, administering

POLLS = 50


class Clients:
    """Producers, readers and an administrator of one broker, and a topic of two partitions."""

    def __init__(self, producer: Any, consumer: Any, admin: Any, topic: str) -> None:
        self._producer, self._consumer, self._admin = producer, consumer, admin
        self._started: list[Any] = []
        self.topic = topic
        self.tp = KafkaPartition(topic, 0)
        self.group = f"group-{topic}"
        self.id = f"id-{topic}"

    async def fence(self, suffix: str = "") -> Any:
        """Start a producer of the id."""
        producer = self._producer(f"{self.id}{suffix}")
        self._started.append(producer)
        await producer.start()
        return producer

    async def send(self, producer: Any, *values: bytes, partition: int = 0) -> list[int]:
        """Send and await each; return where they are."""
        found = []
        for value in values:
            future = await producer.send(
                self.topic, value, partition=partition, key=None, headers=[]
            )
            found.append((await future).offset)
        return found

    async def write(self, producer: Any, *values: bytes, partition: int = 0) -> list[int]:
        """Send in a transaction of their own, and commit."""
        await producer.begin_transaction()
        found = await self.send(producer, *values, partition=partition)
        await producer.commit_transaction()
        return found

    async def append(self, producer: Any, value: bytes, partition: int = 0) -> int:
        """Send outside of a transaction, as tidemill_common.kafka does; return where it is."""
        manager, known = producer._txn_manager, producer._txn_manager.transactional_id
        manager.transactional_id = None
        try:
            (offset,) = await self.send(producer, value, partition=partition)
        finally:
            manager.transactional_id = known
        return offset

    async def read(self, isolation: str = "read_committed", start: int = 0) -> list[bytes]:
        """Read what there is from `start` on."""
        consumer = self._consumer(isolation)
        await consumer.start()
        try:
            (end,) = (await consumer.end_offsets([self.tp])).values()
            consumer.assign([self.tp])
            consumer.seek(self.tp, start)
            found: list[bytes] = []
            for _ in range(POLLS):
                if await consumer.position(self.tp) >= end:
                    break
                given = await consumer.getmany(timeout_ms=200, max_records=100)
                found += [one.value for some in given.values() for one in some]
            return found
        finally:
            await consumer.stop()

    async def ends(self, isolation: str = "read_committed") -> tuple[int, int]:
        """Return where the partition begins and ends."""
        consumer = self._consumer(isolation)
        await consumer.start()
        try:
            (first,) = (await consumer.beginning_offsets([self.tp])).values()
            (end,) = (await consumer.end_offsets([self.tp])).values()
            return first, end
        finally:
            await consumer.stop()

    async def committed(self) -> int | None:
        """Return the group's offset."""
        admin = await self._administrator()
        found = await admin.list_consumer_group_offsets(self.group)
        return found[self.tp].offset if self.tp in found else None

    async def trim(self, before: int) -> None:
        """Delete what lies below."""
        admin = await self._administrator()
        wanted = {self.tp: RecordsToDelete(before_offset=before)}
        await admin.delete_records(wanted, timeout_ms=5_000)

    async def _administrator(self) -> Any:
        admin = self._admin()
        if hasattr(admin, "start"):
            await admin.start()
            self._started.append(admin)
        return admin

    async def close(self) -> None:
        """Stop every client."""
        for one in self._started:
            await (one.close() if hasattr(one, "close") else one.stop())


class BrokerContract:
    """What the simulation relies on."""

    async def test_committed_records_are_read_in_order_and_a_commit_takes_an_offset(
        self, clients: Clients
    ) -> None:
        producer = await clients.fence()
        assert await clients.write(producer, b"1", b"2") == [0, 1]
        assert await clients.write(producer, b"3") == [3]
        assert await clients.read() == [b"1", b"2", b"3"]
        assert await clients.ends() == (0, 5)

    async def test_aborted_records_are_never_read_and_keep_their_offsets(
        self, clients: Clients
    ) -> None:
        producer = await clients.fence()
        await producer.begin_transaction()
        await clients.send(producer, b"gone")
        await producer.abort_transaction()
        assert await clients.write(producer, b"kept") == [2]
        assert await clients.read() == [b"kept"]

    async def test_an_open_transaction_hides_itself_and_what_lies_behind_it(
        self, clients: Clients
    ) -> None:
        one, other = await clients.fence(), await clients.fence("-other")
        await clients.write(one, b"before")
        await one.begin_transaction()
        await clients.send(one, b"open")
        await clients.write(other, b"behind")
        assert await clients.read() == [b"before"]
        assert await clients.ends() == (0, 2)
        assert await clients.ends("read_uncommitted") == (0, 5)
        await one.commit_transaction()
        assert await clients.read() == [b"before", b"open", b"behind"]

    async def test_a_new_producer_aborts_what_the_old_one_left_open(self, clients: Clients) -> None:
        old = await clients.fence()
        await old.begin_transaction()
        await clients.send(old, b"left open")
        new = await clients.fence()
        await clients.write(new, b"new")
        assert await clients.read() == [b"new"]

    async def test_an_old_producer_cannot_commit_what_it_had_sent(self, clients: Clients) -> None:
        old = await clients.fence()
        await old.begin_transaction()
        await clients.send(old, b"old")
        await clients.fence()
        with pytest.raises(KafkaError):
            await old.commit_transaction()
        assert await clients.read() == []

    async def test_an_old_producer_cannot_send(self, clients: Clients) -> None:
        old = await clients.fence()
        await clients.fence()
        await old.begin_transaction()
        with pytest.raises(ProducerFenced):
            await clients.send(old, b"old")
        assert await clients.read() == []

    async def test_producers_of_other_ids_are_left_alone(self, clients: Clients) -> None:
        one = await clients.fence()
        await clients.fence("-other")
        await clients.write(one, b"1")
        assert await clients.read() == [b"1"]

    async def test_offsets_move_with_the_commit_only(self, clients: Clients) -> None:
        producer = await clients.fence()
        for offset, commit in ((7, True), (9, False)):
            await producer.begin_transaction()
            await clients.send(producer, b"x")
            await producer.send_offsets_to_transaction(
                {clients.tp: OffsetAndMetadata(offset, "")}, clients.group
            )
            await (producer.commit_transaction() if commit else producer.abort_transaction())
            assert await clients.committed() == 7

    async def test_what_is_sent_outside_of_a_transaction_is_there_at_once(
        self, clients: Clients
    ) -> None:
        producer = await clients.fence()
        assert [await clients.append(producer, value) for value in (b"1", b"2")] == [0, 1]
        assert await clients.read() == [b"1", b"2"]
        assert await clients.ends() == (0, 2)

    async def test_an_old_producer_appends_until_the_new_one_has_written_to_the_partition(
        self, clients: Clients
    ) -> None:
        old = await clients.fence()
        await clients.append(old, b"old")
        new = await clients.fence()
        await clients.append(old, b"not yet fenced")
        await clients.append(new, b"new")
        with pytest.raises(ProducerFenced):
            await clients.append(old, b"too late")
        assert await clients.read() == [b"old", b"not yet fenced", b"new"]

    async def test_trimmed_records_are_gone_and_a_position_below_is_an_error(
        self, clients: Clients
    ) -> None:
        producer = await clients.fence()
        await clients.write(producer, b"1", b"2", b"3")
        await clients.trim(2)
        assert await clients.ends() == (2, 4)
        assert await clients.read(start=2) == [b"3"]
        with pytest.raises(OffsetOutOfRangeError):
            await clients.read(start=0)


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    async def clients(self) -> Clients:
        PROCESS.set(Process(MemoryBroker()))
        return Clients(
            lambda name: MemoryProducer(transactional_id=name),
            lambda isolation: MemoryConsumer(isolation_level=isolation),
            MemoryAdmin,
            "contract",
        )


@pytest.mark.stack
class TestRealBroker(BrokerContract):
    @pytest.fixture
    async def clients(self, kafka: Broker) -> AsyncIterator[Clients]:
        where = {"bootstrap_servers": kafka.address}
        topic = topics.feature_log("contract", uuid.uuid4().hex[:8], "contract", partitions=2)
        async with administering(kafka) as admin:
            await admin.ensure([topic])
        made = Clients(
            lambda name: AIOKafkaProducer(**where, transactional_id=name),
            lambda isolation: AIOKafkaConsumer(
                **where,
                isolation_level=isolation,
                auto_offset_reset="none",
                enable_auto_commit=False,
            ),
            lambda: AIOKafkaAdminClient(**where),
            topic.name,
        )
        yield made
        await made.close()
