"""What is assigned is opened beside the membership, and given up in the middle if it must be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.simulation.broker import MemoryBroker
from tests.simulation.clients import MemoryConsumer, MemoryProducer, Process
from tests.simulation.lives import BROKER, an_admin
from tests.simulation.world import FIRST_MS, a_work
from tidemill.errors import Fenced, Unavailable
from tidemill_common.kafka import TopicPartition, TransactionalProducer
from tidemill_features.flushing import PartitionState
from tidemill_features.opening import Opener
from tidemill_features.owning import Owned, owning
from tidemill_features.settings import Settings
from tidemill_features.standby import log_of, standing_by

(STREAM,) = a_work().streams.values()
TP = TopicPartition(STREAM.topic, 0)
IDLE_S = 0.05
WHILE_S = 5 * IDLE_S
"""Seconds in which an open partition flushes several times."""


@dataclass
class Gate:
    """What an opening waits for when it has fenced, and what it meets then.

    `held` counts what openings hold: the producer, and what else a partition is made of.
    """

    fenced: asyncio.Event = field(default_factory=asyncio.Event)
    may_open: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: Exception | None = None
    held: int = 0

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Count what an opening holds until that is let go."""
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1


@dataclass(frozen=True)
class SlowOpener(Opener):
    """An opener whose openings take as long as the test wants."""

    gate: Gate = field(default_factory=Gate)

    async def open(
        self, tp: TopicPartition, stack: contextlib.AsyncExitStack
    ) -> tuple[PartitionState, TransactionalProducer]:
        """Open, and return when the gate is."""
        stack.enter_context(self.gate.hold())
        found = await super().open(tp, stack)
        self.gate.fenced.set()
        await self.gate.may_open.wait()
        if self.gate.trouble is not None:
            raise self.gate.trouble
        return found


@dataclass
class Group:
    """A worker's partitions, and what the group tells it."""

    broker: MemoryBroker
    owned: Owned
    gate: Gate
    failed: asyncio.Future[None]

    def written(self) -> int:
        """Return how much its log has."""
        log = log_of(STREAM.views[0], STREAM, 0)
        return self.broker.end_of(log, committed=False)

    async def open(self) -> None:
        """Let what is being opened be open."""
        self.gate.may_open.set()
        async with asyncio.timeout(10):
            await self.owned.opened.wait()


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "tidemill_common.kafka"
    monkeypatch.setattr(f"{module}.transactions.AIOKafkaProducer", MemoryProducer)
    monkeypatch.setattr(f"{module}.reading.AIOKafkaConsumer", MemoryConsumer)


@contextlib.asynccontextmanager
async def a_group(folder: Path) -> AsyncIterator[Group]:
    broker = MemoryBroker(FIRST_MS)
    admin = an_admin(Process(broker))
    settings = Settings(listen="", kafka="", registry="", data=folder, idle_seconds=IDLE_S)
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with standing_by(BROKER, a_work()) as standby:
        opener = SlowOpener(BROKER, admin, standby, a_work(), "")
        async with owning(opener, settings, failed) as owned:
            yield Group(broker, owned, opener.gate, failed)
            await owned.close()


async def test_the_group_waits_for_no_opening(tmp_path: Path) -> None:
    async with a_group(tmp_path) as group:
        await group.owned.assigned({TP})
        await group.gate.fenced.wait()
        assert not group.owned.opened.is_set()
        assert not group.owned.partitions()
        await group.open()
        assert group.owned.partitions() == {TP}


async def test_a_worker_that_is_given_nothing_is_ready(tmp_path: Path) -> None:
    async with a_group(tmp_path) as group:
        await group.owned.assigned(set())
        assert group.owned.opened.is_set()


async def test_a_partition_that_is_kept_in_a_rebalance_goes_on_being_opened(tmp_path: Path) -> None:
    async with a_group(tmp_path) as group:
        await group.owned.assigned({TP})
        await group.gate.fenced.wait()
        fences = group.written()
        await group.owned.revoked()
        await group.owned.assigned({TP})
        await group.open()
        assert group.owned.partitions() == {TP}
        await asyncio.sleep(WHILE_S)
        assert group.written() > fences


async def test_a_partition_that_is_lost_while_it_opens_can_be_opened_again(tmp_path: Path) -> None:
    async with a_group(tmp_path) as group:
        await group.owned.assigned({TP})
        await group.gate.fenced.wait()
        await group.owned.revoked()
        await group.owned.assigned(set())
        assert not group.owned.partitions()
        assert group.owned.opened.is_set()
        group.owned.opened.clear()
        await group.owned.assigned({TP})
        await group.open()
        assert group.owned.partitions() == {TP}
        assert not group.failed.done()


async def test_what_an_open_partition_holds_is_let_go_when_it_is_closed(tmp_path: Path) -> None:
    async with a_group(tmp_path) as group:
        await group.owned.assigned({TP})
        await group.open()
        await asyncio.sleep(WHILE_S)
        assert group.gate.held == 1
        await group.owned.assigned(set())
        assert group.gate.held == 0


async def test_an_opening_that_fails_halfway_lets_go_of_what_it_holds(tmp_path: Path) -> None:
    async with a_group(tmp_path) as group:
        await group.owned.assigned({TP})
        await group.gate.fenced.wait()
        assert group.gate.held == 1
        group.gate.trouble = Unavailable("the broker does not answer")
        group.gate.may_open.set()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(group.failed, 10)
        assert not group.owned.partitions()
        assert group.gate.held == 0


async def test_an_opening_that_is_given_up_lets_go_of_what_it_holds(tmp_path: Path) -> None:
    async with a_group(tmp_path) as group:
        await group.owned.assigned({TP})
        await group.gate.fenced.wait()
        await group.owned.assigned(set())
        assert group.gate.held == 0
        assert not group.failed.done()


async def test_what_is_open_in_the_middle_of_a_rebalance_writes_only_when_it_is_kept(
    tmp_path: Path,
) -> None:
    async with a_group(tmp_path) as group:
        await group.owned.assigned({TP})
        await group.gate.fenced.wait()
        fences = group.written()
        await group.owned.revoked()
        group.gate.may_open.set()
        await asyncio.sleep(WHILE_S)
        assert group.written() == fences
        await group.owned.assigned({TP})
        await asyncio.sleep(WHILE_S)
        assert group.written() > fences


async def test_a_next_owner_that_is_quicker_than_the_group_is_no_failure(tmp_path: Path) -> None:
    async with a_group(tmp_path) as group:
        group.gate.trouble = Fenced("another owns it")
        await group.owned.assigned({TP})
        await group.owned.revoked()
        group.gate.may_open.set()
        await asyncio.sleep(WHILE_S)
        await group.owned.assigned(set())
        assert not group.failed.done()


async def test_an_owner_that_is_fenced_although_the_partition_is_its_own_fails(
    tmp_path: Path,
) -> None:
    async with a_group(tmp_path) as group:
        group.gate.trouble = Fenced("another owns it")
        group.gate.may_open.set()
        await group.owned.assigned({TP})
        with pytest.raises(Fenced):
            await asyncio.wait_for(group.failed, 10)
