"""Read whole partitions in order, without a group: replicas of state, watchers of small topics.

The end is reached when the position is at or past the end offset that was taken before, control
records included; "the last record seen" would wait for ever behind a transaction's marker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition as KafkaPartition

from tidemill.errors import Misconfigured
from tidemill_common.beside import beside
from tidemill_common.kafka.broker import Broker, Record, TopicPartition, to_error, to_records
from tidemill_common.kafka.reading import Isolation, ends, reading, starts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

OnRecords = Callable[[TopicPartition, Sequence[Record]], Awaitable[None] | None]
OnReset = Callable[[TopicPartition], None]
POLL_MS = 50
MAX_RECORDS = 2000
logger = logging.getLogger(__name__)


class Follower:
    """Reads its partitions until the block of `following` is left."""

    def __init__(
        self, client: Any, look: Any, on_records: OnRecords, on_reset: OnReset | None
    ) -> None:
        """Read with `client`; ask for starts and ends with `look`, of the same isolation."""
        self._client = client
        self._look = look
        self._on_records = on_records
        self._on_reset = on_reset
        self._positions: dict[TopicPartition, int] = {}
        self._stays: dict[TopicPartition, object] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._held: set[TopicPartition] = set()
        self._changed = asyncio.Event()
        self._moved = asyncio.Condition()

    def position(self, tp: TopicPartition) -> int:
        """Return the next offset to be read; everything below has been handed over."""
        return self._positions[tp]

    def end(self, tp: TopicPartition) -> int:
        """Return the end of the log as it was last seen."""
        highwater = self._client.highwater(KafkaPartition(*tp)) if tp in self._positions else None
        return max(self._ends.get(tp, 0), highwater or 0)

    async def add(self, partitions: Mapping[TopicPartition, int | None]) -> None:
        """Follow further partitions, each from its offset or (None) from its start.

        The ends are taken here, before anything is read: `caught_up` waits for these. They are
        those that this reader can see: behind a transaction that a dead producer left open it could
        otherwise wait until the broker ends it. Who takes a log over fences first and then asks for
        the end himself (`reach`).
        """
        ends_now = await ends(self._look, partitions)
        unknown = [tp for tp, offset in partitions.items() if offset is None]
        first = await starts(self._look, unknown)
        self._ends.update(ends_now)
        for tp, offset in partitions.items():
            self._positions[tp] = first[tp] if offset is None else offset
            self._stays[tp] = object()
        self._changed.set()

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        """Follow these partitions no longer."""
        for tp in partitions:
            self._positions.pop(tp, None)
            self._stays.pop(tp, None)
            self._ends.pop(tp, None)
            self._held.discard(tp)
        self._changed.set()

    def hold(self, tp: TopicPartition) -> None:
        """Hand over nothing more of a partition until `release`: its reader has no room.

        Called within the callback it holds from the next call on.
        """
        if tp in self._positions and tp not in self._held:
            self._held.add(tp)
            if not self._changed.is_set():
                self._client.pause(KafkaPartition(*tp))

    def release(self, tp: TopicPartition) -> None:
        """Go on with a partition that was held, from where it is."""
        if tp in self._held:
            self._held.remove(tp)
            if not self._changed.is_set():
                self._client.resume(KafkaPartition(*tp))

    async def caught_up(self) -> None:
        """Return when every partition is at the end that was taken when it was added."""
        async with self._moved:
            await self._moved.wait_for(
                lambda: all(self._positions[tp] >= self._ends[tp] for tp in self._positions)
            )

    async def reach(self, tp: TopicPartition, offset: int) -> None:
        """Return when everything of the partition below `offset` has been handed over."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._positions.get(tp, -1) >= offset)

    async def run(self) -> None:
        """Read for ever; any error of a callback ends it."""
        while True:
            if self._changed.is_set():
                self._assign()
            if not self._client.assignment():
                await self._changed.wait()
                continue
            try:
                batches = await self._client.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
            except OffsetOutOfRangeError as error:
                await self._reset(error)
                continue
            except KafkaError as error:
                raise to_error(error) from error
            if not self._changed.is_set():
                await self._hand_over(batches)

    def _assign(self) -> None:
        """Read the partitions that are wanted now, each from where it is."""
        self._changed.clear()
        partitions = [KafkaPartition(*tp) for tp in self._positions]
        if not partitions:
            self._client.unsubscribe()
            return
        self._client.assign(partitions)
        for partition in partitions:
            self._client.seek(partition, self._positions[TopicPartition(*partition)])
        if self._held:
            self._client.pause(*(KafkaPartition(*tp) for tp in self._held))

    async def _hand_over(self, batches: Mapping[Any, Sequence[Any]]) -> None:
        """Give the records to the callback, then move the positions, markers included.

        Who is removed while a callback takes its time gets no more; who is also added again is
        read from where it was put.
        """
        stays = dict(self._stays)
        reached = {tp: await self._client.position(KafkaPartition(*tp)) for tp in stays}
        for partition, found in batches.items():
            tp = TopicPartition(*partition)
            if self._stays.get(tp) is stays[tp]:
                taking = self._on_records(tp, to_records(found))
                if taking is not None:
                    await taking
        moved = False
        for tp, stay in stays.items():
            if self._stays.get(tp) is stay and self._positions[tp] != reached[tp]:
                self._positions[tp] = reached[tp]
                moved = True
        if moved:
            async with self._moved:
                self._moved.notify_all()

    async def _reset(self, error: OffsetOutOfRangeError) -> None:
        """Start a log again whose position no longer exists, if its reader can forget."""
        for partition in error.args[0]:
            tp = TopicPartition(*partition)
            if self._on_reset is None:
                raise Misconfigured(
                    f"{tp.topic}/{tp.partition} has no offset {self._positions[tp]} any more",
                    hint="records were trimmed or the topic was made again; nothing is skipped",
                ) from error
            logger.warning("follower.reset", extra={"topic": tp.topic, "partition": tp.partition})
            self._on_reset(tp)
            self._positions[tp] = (await starts(self._look, [tp]))[tp]
            self._client.seek(partition, self._positions[tp])


@contextlib.asynccontextmanager
async def following(
    broker: Broker,
    partitions: Mapping[TopicPartition, int | None],
    on_records: OnRecords,
    *,
    on_reset: OnReset | None = None,
    isolation: Isolation = "read_committed",
) -> AsyncIterator[Follower]:
    """Follow `partitions` while the block runs, each from its offset or (None) from its start.

    `on_records` is called in the loop's thread, in log order, never twice at once; what it returns
    is awaited. When a position no longer exists `on_reset` is told to forget the partition, and it
    is read from its start; without `on_reset` that, as any error of a callback, ends the block.
    """
    async with (
        reading(broker, isolation) as client,
        reading(broker, isolation) as look,
    ):
        follower = Follower(client, look, on_records, on_reset)
        await follower.add(partitions)
        async with beside(follower.run(), "follower"):
            yield follower
