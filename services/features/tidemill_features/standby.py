"""Warm copies of every feature log, so that a partition can be opened within half a session.

They are followed before the worker joins the group and as long as another worker owns them. A log
that this process owns is not followed: its table lives in the owner.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from tidemill_common.kafka import Broker, Follower, Record, TopicPartition, following
from tidemill_features.ledger import LogPast
from tidemill_tiles.codec import plain_bytes
from tidemill_tiles.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence

    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.definitions import StreamWork, Work

THREAD_BYTES: Final = 64 << 10


class Standby:
    """The replicas of all logs that this process does not own; made by `standing_by`."""

    def __init__(self, work: Work) -> None:
        self._plans = {
            TopicPartition(view.log(stream.name).name, partition): view
            for stream in work.parts
            for view in stream.views
            for partition in range(stream.spec.partitions)
        }
        self._replicas = {tp: Replica(view.plan) for tp, view in self._plans.items()}
        self._pasts = {tp: LogPast() for tp in self._plans}
        self._follower: Follower | None = None

    async def caught_up(self) -> None:
        """Wait until every followed log was read to the end it had."""
        await self._following.caught_up()

    async def reach(self, ends: Mapping[TopicPartition, int]) -> None:
        """Wait until these logs were read to these ends."""
        for tp, end in ends.items():
            await self._following.reach(tp, end)

    async def take(
        self, work: StreamWork, partition: int, ends: Mapping[TopicPartition, int]
    ) -> dict[str, Replica]:
        """Return a partition's replicas by view, read to their ends, and follow them no more."""
        taken = {}
        for view in work.views:
            tp = log_of(view, work, partition)
            await self._following.reach(tp, ends[tp])
            self._following.remove([tp])
            taken[view.key] = self._replicas.pop(tp)
        return taken

    async def give_back(self, work: StreamWork, partition: int) -> None:
        """Follow a partition's logs again, from their start."""
        back = [log_of(view, work, partition) for view in work.views]
        for tp in back:
            self._forget(tp)
        await self._following.add(dict.fromkeys(back))

    def position(self, tp: TopicPartition) -> int:
        """Return the source position that a followed log says is decided; -1 if it is empty."""
        return self._replicas[tp].position

    def past(self, tp: TopicPartition) -> LogPast:
        """Return what was seen of a log's snapshots, up to where it was followed."""
        return self._pasts[tp]

    @property
    def state_bytes(self) -> int:
        """Return the bytes of state of all followed logs."""
        return sum(replica.table.state_bytes for replica in self._replicas.values())

    @property
    def _following(self) -> Follower:
        if self._follower is None:
            message = "the standby is not running"
            raise RuntimeError(message)
        return self._follower

    def _apply(self, tp: TopicPartition, records: Sequence[Record]) -> Awaitable[None] | None:
        """Take records up; many in a thread, since the loop has partitions of its own to serve."""
        replica = self._replicas.get(tp)
        if replica is None:
            return None
        size = sum(len(record.value or b"") for record in records)
        if size >= THREAD_BYTES:
            return asyncio.to_thread(_take_up, replica, self._pasts[tp], records)
        _take_up(replica, self._pasts[tp], records)
        return None

    def _reset(self, tp: TopicPartition) -> None:
        if tp in self._replicas:
            self._forget(tp)

    def _forget(self, tp: TopicPartition) -> None:
        self._replicas[tp], self._pasts[tp] = Replica(self._plans[tp].plan), LogPast()

    @contextlib.asynccontextmanager
    async def _running(self, broker: Broker) -> AsyncIterator[None]:
        logs = dict.fromkeys(self._replicas)
        async with following(broker, logs, self._apply, on_reset=self._reset) as follower:
            self._follower = follower
            yield


@contextlib.asynccontextmanager
async def standing_by(broker: Broker, work: Work) -> AsyncIterator[Standby]:
    """Follow every feature log of the work; what the block needs it takes."""
    standby = Standby(work)
    async with standby._running(broker):  # noqa: SLF001 (of one module)
        yield standby


def _take_up(replica: Replica, past: LogPast, records: Sequence[Record]) -> None:
    for record in records:
        value = record.value
        kind = None if value is None else replica.apply(value).kind
        size = 0 if value is None else plain_bytes(value)
        past.saw(kind, record.offset, record.timestamp_ms, size)


def log_of(view: ViewSpec, work: StreamWork, partition: int) -> TopicPartition:
    """Return the partition of a view's log that belongs to an input partition."""
    return TopicPartition(view.log(work.name).name, partition)
