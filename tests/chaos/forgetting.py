"""A hundred people who are erased in the middle of a load, and what of them may be left: nothing.

Their events are good, late and unreadable ones, through the edge and around it, before the request and after. Whatever
topics are trimmed of meanwhile is kept here, so that everybody else's values can be recomputed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tests.chaos.ledger import Ledger, Outcome
from tests.chaos.operating import ORIGIN
from tests.chaos.particular import Forgotten
from tests.chaos.publishing import TOLD, encoded, to_event
from tests.chaos.registering import REGISTRY
from tests.chaos.stage import Cast
from tests.chaos.traffic import LATENESS_US, PARTITIONS, SECOND_US, Row, Traffic
from tests.integration.erased_places import files_with, records_with, rows_with
from tidemill.addresses import Addresses
from tidemill.aio import AsyncClient
from tidemill.errors import DeadlineExceeded, Invalid, NotFound, TidemillError, Unavailable
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill_common import topics
from tidemill_common.feature_views import StreamSpec
from tidemill_common.kafka import (
    Broker,
    Follower,
    Producer,
    Record,
    TopicPartition,
    administering,
    dead_letters,
    following,
)

PEOPLE: Final = 100
KEY: Final = "forgotten-"
"""Begins every key of theirs, and no other word of the run."""
NAMES: Final = tuple(f"{KEY}{number}" for number in range(PEOPLE))
ROWS: Final = 5
"""Through the edge, and as many around it, each time."""
EVERY_S: Final = 0.2
TIMEOUT_S: Final = 4.0
ASKED_AT_ONCE: Final = 20
LETTERS: Final = 50
"""Planted dead letters of theirs, to be put back when they are erased."""
REPLAYED_AFTER_S: Final = 4.0
COMPLETE_S: Final = 300.0
DEDUPE_S: Final = 5
SEGMENTS: Final = "/kafka/log/"
"""What was trimmed is in the broker's files until they roll; no reader gets it."""
_AGAIN_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Kept:
    """Every record of some topics from the beginning, whatever is trimmed of them later."""

    follower: Follower
    records: Mapping[TopicPartition, list[Record]]

    async def up_to(self, tp: TopicPartition, end: int) -> list[Record]:
        """Return what there was of a partition below `end`, when all of it has come."""
        async with asyncio.timeout(COMPLETE_S):
            await self.follower.reach(tp, end)
        return self.records[tp]


@contextlib.asynccontextmanager
async def keeping(broker: Broker, spec: StreamSpec) -> AsyncIterator[Kept]:
    """Keep the raw topic of a stream, its late events and its dead letters while the block runs."""
    name = spec.topic.name
    side = (topics.late(name), topics.dead_letters(name))
    tps = [TopicPartition(name, number) for number in range(PARTITIONS)]
    tps += [TopicPartition(one.name, 0) for one in side]
    records: dict[TopicPartition, list[Record]] = {tp: [] for tp in tps}

    def add(tp: TopicPartition, some: Sequence[Record]) -> None:
        records[tp] += some

    async with administering(broker) as admin:
        await admin.ensure(side)
    async with following(broker, dict.fromkeys(tps), add) as follower:
        yield Kept(follower, records)


def forgetful(project: str) -> str:
    """Return a project whose raw records are let go soon: none is needed to know a duplicate."""
    return project.replace("dedupe: 10m", f"dedupe: {DEDUPE_S}s")


@dataclass(slots=True)
class Forgetting:
    """Publishes events of those people, and asks for all of them to be erased."""

    cast: Cast
    client: AsyncClient
    spec: StreamSpec
    producer: Producer
    ledger: Ledger
    base_us: int
    seed: int
    asked_s: float = 0.0
    """When the last of them was asked to be erased, on the monotonic clock."""
    accepted_s: float = 0.0
    """When the last event of theirs was sent that the edge accepted."""
    refused: int = 0
    around: int = 0
    """Events that were brought in around the edge after the request."""
    put_back: int = 0
    completed_after_s: float | None = None
    _traffic: Traffic = field(init=False)
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._traffic = Traffic(self.seed + 3, self.base_us, "g")
        self._dice = random.Random(f"{self.seed}/forgetting")

    async def run(self, seconds: float, erased_at_s: float, began: float) -> None:
        """Publish for so long; at its time ask for the erasures, then put dead letters back."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish(seconds, began), name="their events")
            letters = await self._plant()
            await asyncio.sleep(max(0.0, began + erased_at_s - time.monotonic()))
            await self._erase()
            await asyncio.sleep(REPLAYED_AFTER_S)
            await self._replay(letters)

    async def _publish(self, seconds: float, began: float) -> None:
        while (elapsed := time.monotonic() - began) < seconds:
            await self._through_the_edge([self._row(elapsed) for _ in range(ROWS)])
            await self._around_the_edge([self._row(elapsed) for _ in range(ROWS)])
            await asyncio.sleep(EVERY_S)

    def _row(self, elapsed_s: float) -> Row:
        """Return an event of one of them, now and then a late one; only a view by user sees it."""
        row = self._traffic.good(int(elapsed_s * SECOND_US))
        late_us = LATENESS_US + 60 * SECOND_US if self._dice.random() < 0.2 else 0
        user = self._dice.choice(NAMES)
        return replace(row, user=user, shop=None, time_us=row.time_us - late_us)

    async def _through_the_edge(self, rows: Sequence[Row]) -> None:
        sent_s = time.monotonic()
        try:
            events = [to_event(self.spec.name, row) for row in rows]
            reply = await self.client.publish(events, timeout=TIMEOUT_S)
        except TidemillError:
            for row in rows:
                self.ledger.note(row.id, Outcome.UNKNOWN)
            return
        for row, result in zip(rows, reply.results, strict=True):
            told = TOLD.get(result.outcome, Outcome.UNKNOWN)
            self.ledger.note(row.id, told)
            if told is Outcome.OK:
                self.accepted_s = sent_s
            elif self.asked_s:
                self.refused += 1

    async def _around_the_edge(self, rows: Sequence[Row]) -> None:
        """Append good and late rows, and one that no feature can hold."""
        dead = replace(rows[0], amount=float("nan"))
        for row in (dead, *rows[1:]):
            self.ledger.note(row.id, Outcome.UNKNOWN)
            partition = topics.partition_of(topics.key_bytes([row.user]), PARTITIONS)
            value = encoded(self.spec, [row])
            self.producer.enqueue(self.spec.topic.name, value, partition=partition)
        self.around += len(rows) if self.asked_s else 0

    async def _plant(self) -> list[int]:
        """Set good rows of theirs aside, as an older release might have; return the positions."""
        return [await self._plant_one(number) for number in range(LETTERS)]

    async def _plant_one(self, number: int) -> int:
        row, topic = self._row(0.0), self.spec.topic.name
        self.ledger.note(row.id, Outcome.UNKNOWN)
        partition = topics.partition_of(topics.key_bytes([row.user]), PARTITIONS)
        record = Record(topic, partition, number, 0, None, encoded(self.spec, [row]), ())
        error = Invalid("set aside by an older release")
        return (await dead_letters.write(self.producer, record, error, ORIGIN, row=0)).offset

    async def _erase(self) -> None:
        async with asyncio.timeout(COMPLETE_S):
            client, asking = self._registry(), asyncio.Semaphore(ASKED_AT_ONCE)

            async def ask(name: str) -> None:
                async with asking:
                    while True:
                        with contextlib.suppress(Unavailable, DeadlineExceeded):
                            await client.erase({"user": name}, reason="asked by letter")
                            return
                        await asyncio.sleep(_AGAIN_S)

            await asyncio.gather(*(ask(name) for name in NAMES))
            self.asked_s = time.monotonic()
            await client.close()

    async def _replay(self, positions: Sequence[int]) -> None:
        """Put their dead letters back: those that are still there are refused."""
        async with asyncio.timeout(COMPLETE_S):
            while True:
                try:
                    reply = await self.client.replay_dead_letters(self.spec.name, positions)
                except NotFound:  # they are gone already
                    return
                except TidemillError:
                    await asyncio.sleep(_AGAIN_S)
                else:
                    self.put_back = reply.replayed
                    return

    async def complete(self) -> None:
        """Wait until every erasure is complete, and note how long all of them took."""
        client, end = self._registry(), time.monotonic() + COMPLETE_S
        while time.monotonic() < end:
            done = await client.erasures(limit=2 * PEOPLE)
            if len(done) == PEOPLE and not await client.erasures(limit=1, open_only=True):
                self.completed_after_s = time.monotonic() - self.asked_s
                break
            await asyncio.sleep(_AGAIN_S)
        await client.close()

    async def look(self) -> Forgotten:
        """Look for them everywhere, with a reader's own eyes."""
        stack = self.cast.stage.stack
        records = await records_with(stack.address("kafka"), KEY.encode())
        files = await asyncio.to_thread(files_with, stack.data, KEY)
        rows = await rows_with(stack.address("postgres"), KEY)
        view = f"{self.spec.name}_users"
        reply = await self.client.get_features(view, [{"user": name} for name in NAMES])
        known = [
            name
            for name, entity in zip(NAMES, reply.entities, strict=True)
            if set(entity.statuses) != {features_pb.VALUE_STATUS_NOT_FOUND}
        ]
        return Forgotten(
            places=(
                *(f"{count} records of {name}" for name, count in records.items()),
                *(name for name in files if SEGMENTS not in f"/{name}"),
                *(f"{count} rows of {name}" for name, count in rows.items()),
                *(f"features of {name}" for name in known),
            ),
            accepted_for_s=max(0.0, self.accepted_s - self.asked_s),
            completed_after_s=self.completed_after_s,
            refused=self.refused,
            put_back=self.put_back,
        )

    def _registry(self) -> AsyncClient:
        where = {REGISTRY: self.cast.address(REGISTRY)}
        return AsyncClient(Addresses(where, "the run's registry"), author="dpo")
