"""Which partitions this worker owns: opened, fed, settled and closed as the group decides.

The runtime waits for what it is told here, and sends no heartbeat meanwhile. So a partition is
opened beside it: a long opening neither loses the membership nor stands in the way of others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.errors import Fenced
from tidemill_common.kafka import TopicPartition, following
from tidemill_features.capacity import Capacity
from tidemill_features.partition import Partition
from tidemill_features.stopping import BadRun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tidemill_common.kafka import Follower, Record
    from tidemill_features.opening import Opener
    from tidemill_features.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Owned:
    partition: Partition
    running: asyncio.Task[None]
    stack: contextlib.AsyncExitStack


class Owned:
    """The partitions of this worker, made by `owning`.

    The runtime says which they are; `failed` takes the first error.
    """

    def __init__(
        self,
        owned: dict[TopicPartition, _Owned],
        reader: Follower,
        opener: Opener,
        settings: Settings,
        failed: asyncio.Future[None],
    ) -> None:
        self._owned = owned
        self._reader = reader
        self._opener = opener
        self._standby = opener.standby
        self._admin = opener.admin
        self._settings = settings
        self._failed = failed
        self._capacity = Capacity(settings.state_bytes, self._state_bytes)
        self._opening: dict[TopicPartition, asyncio.Task[None]] = {}
        self._decided = asyncio.Event()
        self.opened = asyncio.Event()

    def partitions(self) -> frozenset[TopicPartition]:
        """Return what is owned now: no older owner can write it."""
        return frozenset(self._owned)

    async def revoked(self) -> None:
        """Finish the flushes under way: another worker may own the partitions next."""
        self._decided.clear()
        await asyncio.gather(*(one.partition.settle() for one in self._owned.values()))

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """Close what was lost, begin to open what is new, go on with what was kept."""
        known = self._owned.keys() | self._opening.keys()
        lost, new = known - partitions, partitions - known
        logger.info("partitions.assigned", extra={"new": len(new), "lost": len(lost)})
        for tp in sorted(lost):
            await self._close(tp)
        self._decided.set()
        for one in self._owned.values():
            one.partition.go_on()
        for tp in sorted(new):
            task = asyncio.create_task(self._open(tp), name=f"open {tp.topic}/{tp.partition}")
            task.add_done_callback(self._ended)
            self._opening[tp] = task
        self._look()

    async def close(self) -> None:
        """Flush what is waiting, then give every partition up."""
        await asyncio.gather(*(one.partition.drain() for one in self._owned.values()))
        for tp in sorted(self._owned.keys() | self._opening.keys()):
            await self._close(tp, follow=False)

    async def _open(self, tp: TopicPartition) -> None:
        async with contextlib.AsyncExitStack() as opened:
            partition = await self._opened(tp, opened)
            name = f"partition {tp.topic}/{tp.partition}"
            task = asyncio.create_task(partition.run(), name=name)
            task.add_done_callback(self._ended)
            self._owned[tp] = _Owned(partition, task, opened.pop_all())
        await self._reader.add({tp: partition.state.position})
        self._opening.pop(tp, None)
        self._look()

    async def _opened(self, tp: TopicPartition, stack: contextlib.AsyncExitStack) -> Partition:
        try:
            state, producer = await self._opener.open(tp, stack)
        except Fenced:
            # In a rebalance the next owner may be quicker than the word that we are no longer it.
            await self._decided.wait()
            raise
        since = (await self._admin.end_offsets([tp]))[tp]
        await self._decided.wait()
        return Partition(
            state,
            producer,
            self._admin,
            self._settings,
            self._capacity,
            BadRun(since),
            self._reader,
            self._opener.refusing,
        )

    def _look(self) -> None:
        """Say so once everything that was assigned is open."""
        if not self._opening:
            self.opened.set()

    def _state_bytes(self) -> int:
        """Return the bytes of state in this process, its own and followed."""
        own = (
            owner.state_bytes
            for one in self._owned.values()
            for owner in one.partition.state.all_owners.values()
        )
        return sum(own) + self._standby.state_bytes

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A partition that ends, or does not open, by an error ends the process."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _close(self, tp: TopicPartition, *, follow: bool = True) -> None:
        """Give a partition up, or the attempt to open it."""
        if (opening := self._opening.pop(tp, None)) is not None:
            if tp not in self._owned:  # else it is as good as open
                opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        if (owned := self._owned.get(tp)) is not None:
            self._reader.remove([tp])
            await owned.partition.settle()
            del self._owned[tp]
            owned.running.cancel()
            await asyncio.gather(owned.running, return_exceptions=True)
            await owned.stack.aclose()
            owned.partition.leave()
        if follow:
            for work in self._opener.work.of_topic(tp.topic):
                await self._standby.give_back(work, tp.partition)


@contextlib.asynccontextmanager
async def owning(
    opener: Opener, settings: Settings, failed: asyncio.Future[None]
) -> AsyncIterator[Owned]:
    """Own what the runtime assigns while the block runs; a gap in what is read ends the block."""
    owned: dict[TopicPartition, _Owned] = {}

    def received(tp: TopicPartition, records: Sequence[Record]) -> None:
        owned[tp].partition.offer(records)

    async with following(opener.broker, {}, received, isolation="read_uncommitted") as reader:
        yield Owned(owned, reader, opener, settings, failed)
