"""Records of all watched topics, gathered for a moment and handed to the engine as one step.

Offsets live in the database, with the effects; Kafka's groups are not used. When the engine is
slower than the topics, reading stops until what is here is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill_common import metrics, topics
from tidemill_common.app import until
from tidemill_common.kafka import Broker, Record, TopicPartition, following

if TYPE_CHECKING:
    from tidemill_common.kafka.follower import Follower
    from tidemill_monitoring.definitions import Watch
    from tidemill_monitoring.engine import Engine

MAX_BYTES = 32 * 1024 * 1024
STEP_RECORDS = 4_000
STEP_BYTES = 2 * 1024 * 1024  # some 20,000 rows: well within the database's time limit


class Buffer:
    """What was read and is not handled yet."""

    def __init__(self) -> None:
        """Begin empty."""
        self._records: list[tuple[TopicPartition, Record]] = []
        self._bytes = 0
        self.follower: Follower | None = None
        self.filled = asyncio.Event()
        self.paused: dict[TopicPartition, int] = {}
        self.next: dict[TopicPartition, int] = {}

    def take(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        """Keep records; too many of them stop the reading of every partition."""
        self._records += [(tp, record) for record in records]
        self._bytes += sum(len(record.value or b"") for record in records)
        if records:
            self.next[tp] = records[-1].offset + 1
            self.filled.set()
        if self.paused and tp in self.paused and records:
            self.paused[tp] = self.next[tp]
        elif self._bytes > MAX_BYTES and self.follower is not None and not self.paused:
            self.paused = dict(self.next)
            self.follower.remove(list(self.next))

    def drain(self) -> list[tuple[TopicPartition, Record]]:
        """Give the oldest records, at most a step's worth."""
        size = taken_bytes = 0
        for _, record in self._records[:STEP_RECORDS]:
            if taken_bytes >= STEP_BYTES:
                break
            size, taken_bytes = size + 1, taken_bytes + len(record.value or b"")
        taken, self._records = self._records[:size], self._records[size:]
        self._bytes -= taken_bytes
        if not self._records:
            self.filled.clear()
        return taken

    @property
    def empty(self) -> bool:
        """Whether everything was handed out."""
        return not self._records


def partitions_of(watch: Watch) -> list[TopicPartition]:
    """Give every partition that is read."""
    read = [stream.topic for stream in watch.streams.values()]
    read += [topics.predictions(name) for name in watch.models]
    return [TopicPartition(topic.name, p) for topic in read for p in range(topic.partitions)]


async def pump(
    broker: Broker,
    watch: Watch,
    engine: Engine,
    offsets: dict[TopicPartition, int],
    stop: asyncio.Event,
    *,
    every: float,
) -> None:
    """Read from `offsets` (None: from the start) and step until told to stop."""
    buffer = Buffer()
    wanted = {tp: offsets.get(tp) for tp in partitions_of(watch)}
    async with following(broker, wanted, buffer.take) as follower:
        buffer.follower = follower
        buffer.next = {tp: follower.position(tp) for tp in wanted}
        done = dict(buffer.next)
        while not stop.is_set():
            await _filled(buffer, stop)
            records = buffer.drain()
            if records:
                done |= {tp: record.offset + 1 for tp, record in records}
                lagging = [tp for tp in done if _behind(follower, buffer, tp, done[tp])]
                await engine.step(records, lagging)
                _show(follower, done)
            if buffer.paused and buffer.empty:
                again, buffer.paused = dict(buffer.paused), {}
                await follower.add(again)
            if buffer.empty:
                await until(stop, every)


def _behind(follower: Follower, buffer: Buffer, tp: TopicPartition, done: int) -> bool:
    return tp in buffer.paused or done < max(follower.end(tp), buffer.next[tp])


async def _filled(buffer: Buffer, stop: asyncio.Event) -> None:
    """Wait until there is something to do, or it is time to stop."""
    waiting = [asyncio.create_task(buffer.filled.wait()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _show(follower: Follower, done: dict[TopicPartition, int]) -> None:
    lags: dict[str, int] = {}
    for tp, offset in done.items():
        lags[tp.topic] = lags.get(tp.topic, 0) + max(0, follower.end(tp) - offset)
    for topic, lag in lags.items():
        gauge = metrics.gauge("tidemill_consumer_lag_records", topic=topic, group="monitoring")
        gauge.set(lag)
