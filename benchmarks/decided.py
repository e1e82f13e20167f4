"""How fast a stream's records are decided, as a reader of a view's log sees it.

Not by the group's offset: that follows the logs seconds behind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tidemill_common import topics
from tidemill_common.feature_views import StreamSpec
from tidemill_common.kafka import Broker, Record, TopicPartition, following
from tidemill_tiles.codec import decode_header


@dataclass(frozen=True, slots=True)
class Moment:
    """How many records were decided when, and the processor seconds used by then."""

    records: int
    at: float
    cpu_seconds: float


class Decided:
    """When `after` and when all `wanted` records of a backlog were decided; made by `watching`."""

    def __init__(self, wanted: int, used: Callable[[], float], after: int) -> None:
        """Remember how many records there are, and how to ask for the processor seconds."""
        self._wanted = wanted
        self._after = after
        self._used = used
        self._positions: dict[int, int] = {}
        self._first: Moment | None = None
        self._last: asyncio.Future[Moment] = asyncio.get_running_loop().create_future()

    def records(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        """Take up records of the log."""
        decided = [decode_header(one.value).position for one in records if one.value is not None]
        known = self._positions.get(tp.partition, 0)  # a fence has no position
        self._positions[tp.partition] = max([known, *decided])
        total = sum(self._positions.values())
        if total < self._after or self._last.done():
            return
        now = Moment(total, time.perf_counter(), self._used())
        self._first = self._first or now
        if total >= self._wanted:
            self._last.set_result(now)

    async def figures(self, events_a_record: int, limit_s: float) -> dict[str, float]:
        """Wait for the last record; give the rates from the first moment to it."""
        async with asyncio.timeout(limit_s):
            last = await self._last
        first = self._first
        assert first is not None
        events = (last.records - first.records) * events_a_record
        seconds, cpu_seconds = last.at - first.at, last.cpu_seconds - first.cpu_seconds
        return {
            "events": events,
            "seconds": round(seconds, 3),
            "events_per_second": round(events / seconds),
            "cpu_seconds": round(cpu_seconds, 3),
            "events_per_cpu_second": round(events / cpu_seconds),
        }


@asynccontextmanager
async def watching(
    broker: Broker,
    spec: StreamSpec,
    log: topics.Topic,
    wanted: int,
    used: Callable[[], float],
    after: int = 1,
) -> AsyncIterator[Decided]:
    """Follow a view's log of this stream while the block runs.

    Rates begin when `after` records are decided; a worker without any says that it is alive.
    """
    decided = Decided(wanted, used, after)
    partitions = [TopicPartition(log.name, number) for number in range(spec.partitions)]
    async with following(broker, dict.fromkeys(partitions), decided.records):
        yield decided
