"""Take a partition over: fence, follow its logs to the end, catch up, rebuild the ids.

1 fence      start the transactional producer, write to every log: no older owner can any more
2 position   read the logs to their ends, and the group's committed offset, after the fence
3 follow     as the builder of views that are behind, the only one, take what the logs give
4 catch up   as such, bring these views up to that position from archive and raw topic
5 ids        rebuild the de-duplication window from the raw topic before it

It may take long, and so runs beside the membership: none of the steps may stand still for long.

Whoever writes a view that is behind the group holds its builder's transactional id, the owner too:
a builder that nobody told to stop fences the owner or is fenced, and they never write in turns.
Once the view is where the group is, none need be fenced: no builder goes further than the group.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from tidemill.errors import Fenced, Unavailable
from tidemill_common.erasures import Refusing
from tidemill_common.kafka import (
    Admin,
    Broker,
    TopicPartition,
    TransactionalProducer,
    transactional,
)
from tidemill_common.kafka.ranges import stretch
from tidemill_features import erasing
from tidemill_features.backfill import archived
from tidemill_features.decoding import decode
from tidemill_features.flushing import PartitionState, apply_to
from tidemill_features.ids import ids_before
from tidemill_features.settings import GROUP
from tidemill_features.standby import Standby, log_of
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.owner import Owner
from tidemill_tiles.verdict import PartitionVerdict, Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from contextlib import AbstractAsyncContextManager, AsyncExitStack

    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.definitions import StreamWork, Work
    from tidemill_tiles.replica import Replica

logger = logging.getLogger(__name__)
T = TypeVar("T")

CLOSE_RECORDS: Final = 200
"""A new view is built when it lies no further behind."""
FAR_RECORDS: Final = 5_000
"""A view that lies further behind is built beside; one that fell behind in a restart is not."""
STEP_SECONDS: Final = 60.0
"""Past that a step is stuck, and the process ends."""
COORDINATOR_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Behind:
    """A view that lies far behind its stream in one partition, and where it should be."""

    tp: TopicPartition
    work: StreamWork
    view: ViewSpec
    target: int


@dataclass(frozen=True, slots=True)
class Opener:
    """What opening needs; the same for all partitions."""

    broker: Broker
    admin: Admin
    standby: Standby
    work: Work
    archive: str
    refusing: Refusing = field(default_factory=Refusing)

    async def open(
        self, tp: TopicPartition, stack: AsyncExitStack
    ) -> tuple[PartitionState, TransactionalProducer]:
        """Return the state of an input partition and the one producer that may write it."""
        parts, partition = self.work.of_topic(tp.topic), tp.partition
        async with contextlib.AsyncExitStack() as building:
            async with asyncio.timeout(STEP_SECONDS):
                producer = await self._fenced(tp, stack)
                position = await self._position(tp)
                builders = {
                    view.key: await building.enter_async_context(self._builder(one, tp, view))
                    for log, (one, view) in self._logs(tp).items()
                    if max(self.standby.position(log), 0) < position
                }
                followed = [await self._follow(one, partition) for one in parts]
            states = [
                await self._state(one, partition, replicas, position, builders)
                for one, replicas in zip(parts, followed, strict=True)
            ]
        state = states[0]
        state.held = next(iter(states[1:]), None)
        state.pasts = {
            view.key: self.standby.past(log) for log, (_, view) in self._logs(tp).items()
        }
        logger.info(
            "partition.opened",
            extra={
                "topic": tp.topic,
                "partition": partition,
                "position": position,
                "ids": state.verdict.ids.rows,
            },
        )
        return state, producer

    def _logs(self, tp: TopicPartition) -> dict[TopicPartition, tuple[StreamWork, ViewSpec]]:
        """Return every log that belongs to an input partition, and what it is the log of."""
        return {
            log_of(view, one, tp.partition): (one, view)
            for one in self.work.of_topic(tp.topic)
            for view in one.views
        }

    async def _fenced(self, tp: TopicPartition, stack: AsyncExitStack) -> TransactionalProducer:
        """Keep every older owner from writing, and every builder from a transaction left open."""
        producer = await stack.enter_async_context(
            transactional(self.broker, f"{GROUP}.{tp.topic}.{tp.partition}", self.admin.stable_ends)
        )
        # Also where an older owner wrote a view that is left out here: its builder goes on there.
        left_out = [
            log_of(view, one, tp.partition)
            for one in self.work.left_out
            if one.topic == tp.topic
            for view in one.views
        ]
        await producer.fence([*self._logs(tp), *left_out])
        await self._end_builders(tp)
        return producer

    async def _position(self, tp: TopicPartition) -> int:
        """Read the logs to their ends; return where the topic is decided to."""
        logs = self._logs(tp)
        await self.standby.reach(await self.admin.end_offsets(logs))
        start = (await self.admin.start_offsets([tp]))[tp]
        committed = (await self._committed()).get(tp, start)
        return max([committed, *map(self.standby.position, logs)])

    async def _state(
        self,
        work: StreamWork,
        partition: int,
        replicas: Mapping[str, Replica],
        position: int,
        builders: Mapping[str, TransactionalProducer],
    ) -> PartitionState:
        """Bring the views that have builders up to a position, and return the state as of there."""
        owners = {view.key: self._owner(replicas[view.key], view) for view in work.views}
        watermark = max(
            (one.watermark_us for one in replicas.values() if one.position == position),
            default=NO_TIME,
        )
        for view in work.views:
            if (builder := builders.get(view.key)) is not None:
                logger.info("view.catching_up", extra={"view": view.name, "partition": partition})
                caught = await self.catch_up(
                    work, partition, view, owners[view.key], position, builder
                )
                watermark = max(watermark, caught)
        ids = await _soon(ids_before(self.broker, work, partition, position))
        verdict = PartitionVerdict(ids, work.spec.lateness_us, watermark)
        return PartitionState(work, partition, owners, verdict, position)

    async def _follow(self, work: StreamWork, partition: int) -> dict[str, Replica]:
        logs = [log_of(view, work, partition) for view in work.views]
        ends = await self.admin.end_offsets(logs)
        return await self.standby.take(work, partition, ends)

    def _owner(self, replica: Replica, view: ViewSpec) -> Owner:
        """Make the writer of a log; Fenced if a newer generation has written it."""
        if replica.generation > self.work.generation:
            raise Fenced(f"{view.name}: its log is of generation {replica.generation}")
        if replica.position < 0:
            return Owner(view.plan, self.work.generation)
        return replica.promote(self.work.generation)

    async def _end_builders(self, tp: TopicPartition) -> None:
        """Fence a builder that died inside a transaction: reading to the end would wait for it."""
        logs = self._logs(tp)
        ends, stable = await self.admin.end_offsets(logs), await self.admin.stable_ends(logs)
        for log, (work, view) in logs.items():
            if stable[log] < ends[log]:
                async with self._builder(work, tp, view):
                    facts = {"view": view.name, "partition": tp.partition}
                    logger.info("view.builder_ended", extra=facts)

    def _builder(
        self, work: StreamWork, tp: TopicPartition, view: ViewSpec
    ) -> AbstractAsyncContextManager[TransactionalProducer]:
        """Be the one who may build a view; who was it before is fenced."""
        return transactional(self.broker, builder_id(work, tp.partition, view))

    async def _committed(self) -> dict[TopicPartition, int]:
        """Return the group's offsets; a broker that was just started makes its topic first."""
        until = time.monotonic() + COORDINATOR_SECONDS
        while True:
            try:
                return await self.admin.committed(GROUP)
            except Unavailable:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)

    async def far_behind(self) -> frozenset[str]:
        """Return the keys of the views that are built while others go on without them."""
        return frozenset(one.view.key for one in await self.behind(FAR_RECORDS))

    async def behind(self, records: int = CLOSE_RECORDS) -> list[Behind]:
        """Return the views that are further behind the group in some partition.

        What the raw topic no longer has counts, too: it comes from the archive.
        """
        committed, found = await self._committed(), []
        for work in self.work.parts:
            tps = [TopicPartition(work.topic, number) for number in range(work.spec.partitions)]
            starts = await self.admin.start_offsets(tps)
            for tp in tps:
                target = committed.get(tp, starts[tp])
                for view in work.views:
                    position = self.standby.position(log_of(view, work, tp.partition))
                    if target - max(position, 0) > records:
                        found.append(Behind(tp, work, view, target))
        return found

    async def build(self, behind: Behind) -> None:
        """Build one view of one partition as its only writer, and hand it back to the standby."""
        tp, work, view, target = behind.tp, behind.work, behind.view, behind.target
        only = type(work)(work.spec, (view,))
        async with contextlib.AsyncExitStack() as stack:
            producer = await stack.enter_async_context(self._builder(work, tp, view))
            replica = (await self._follow(only, tp.partition))[view.key]
            owner = self._owner(replica, view)
            await self.catch_up(work, tp.partition, view, owner, target, producer)
        await self.standby.give_back(only, tp.partition)
        facts = {"view": view.name, "partition": tp.partition, "to": target}
        logger.info("view.built", extra=facts)

    async def catch_up(
        self,
        work: StreamWork,
        partition: int,
        view: ViewSpec,
        owner: Owner,
        target: int,
        producer: TransactionalProducer,
    ) -> int:
        """Read the raw topic for one view up to `target`, writing its log; return the watermark."""
        tp = TopicPartition(work.topic, partition)
        topic = view.log(work.name).name
        start = (await self.admin.start_offsets([tp]))[tp]
        if max(owner.position, 0) < start:
            reached = await self._from_archive(work, partition, view, owner, target, producer)
            if reached < min(start, target):
                facts = {"view": view.name, "partition": partition, "from": reached, "to": start}
                logger.error("view.history_lost", extra=facts)
        begin = max(owner.position, start)
        ids = await _soon(ids_before(self.broker, work, partition, begin))
        verdict = PartitionVerdict(ids, work.spec.lateness_us, owner.watermark_us)
        newest = owner.newest_available_us
        async with contextlib.aclosing(stretch(self.broker, tp, begin, target)) as pieces:
            while records := await _soon(anext(pieces, None)):
                events = decode(work.spec, work.schema, records)
                erased = self.refusing.now.of_stream(work.name)
                applied = erasing.decide(verdict, events, erased) == Verdict.APPLIED
                apply_to(view, work.name, owner, events, applied)
                if applied.any():
                    newest = max(newest, int(events.available_us[applied].max()))
                log = owner.flush(
                    position=records[-1].offset + 1,
                    watermark_us=verdict.watermark_us,
                    newest_available_us=newest,
                )
                await write_log(producer, topic, partition, log)
        if owner.position < target:  # neither topic nor archive has anything before it
            log = owner.flush(
                position=target, watermark_us=verdict.watermark_us, newest_available_us=newest
            )
            await write_log(producer, topic, partition, log)
        return verdict.watermark_us

    async def _from_archive(
        self,
        work: StreamWork,
        partition: int,
        view: ViewSpec,
        owner: Owner,
        target: int,
        producer: TransactionalProducer,
    ) -> int:
        """Begin a view with what the raw topic no longer has; return up to where it was there."""
        found = await archived(self.archive, work, view, partition, self.refusing.now)
        if found is None:
            return max(owner.position, 0)
        for log in found.replay(owner, target):
            await write_log(producer, view.log(work.name).name, partition, log)
        facts = {"view": view.name, "partition": partition, "position": owner.position}
        logger.info("view.from_archive", extra=facts)
        return found.position


async def _soon(step: Awaitable[T]) -> T:
    """Await a step; TimeoutError if it takes longer than any step should."""
    async with asyncio.timeout(STEP_SECONDS):
        return await step


async def write_log(
    producer: TransactionalProducer, topic: str, partition: int, log: list[bytes]
) -> None:
    """Write log records in one transaction."""
    async with producer.transaction() as tx:
        for record in log:
            tx.send(topic, record, partition=partition)


def builder_id(work: StreamWork, partition: int, view: ViewSpec) -> str:
    """Return the transactional id of whoever builds a view that is behind."""
    return f"{GROUP}.{work.topic}.{partition}.build.{view.key}"
