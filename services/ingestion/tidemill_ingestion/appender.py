"""Append accepted events: gather for a moment, one record per partition, wait for the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

from opentelemetry.trace import Span, SpanKind

from tidemill.errors import Exhausted, Transient, Unavailable
from tidemill_common import events, telemetry
from tidemill_common.kafka import Producer, Sent
from tidemill_ingestion.batching import Placement, Slice, cut, encoded, place
from tidemill_ingestion.schema import StreamSchema
from tidemill_ingestion.validation import Batch

STALLED_SECONDS = 2.0
"""After so long without an acknowledgement new events are refused instead of queued."""
GATHER_LIMIT = 20_000
"""Rows of one gathering; what is above waits for the next one."""
AT_ONCE = 2
"""Appends of one stream that may be under way before further events wait for company."""
MAX_LINKS = 16


@dataclass(slots=True)
class _Waiting:
    batch: Batch
    headers: Sequence[tuple[str, bytes]]
    placed: asyncio.Future[Placement]


@dataclass(slots=True)
class _Lane:
    """What waits for one stream's topic."""

    waiting: list[_Waiting] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0


class Appender:
    """Order within a partition is the order in which `append` was called."""

    def __init__(
        self, producer: Producer, *, linger: float, batch_events: int, pending: int, timeout: float
    ) -> None:
        self._producer = producer
        self._linger = linger
        self._batch_events = batch_events
        self._room = pending
        self._timeout = timeout
        self._lanes: dict[str, _Lane] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._gatherers: list[asyncio.Task[None]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Append until told to stop, then finish what was taken in."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await stop.wait()
            self._tasks = None
            await self._drained()
            for task in self._gatherers:
                task.cancel()

    async def _drained(self) -> None:
        """Wait until every gatherer has taken what waited; their appends end with the group."""
        while any(lane.waiting for lane in self._lanes.values()):  # noqa: ASYNC110 - at shutdown
            await asyncio.sleep(0.001)

    async def append(self, batch: Batch) -> Placement:
        """Wait until every row is durable.

        Unavailable: nothing was appended. A row whose offset is -1 may have been appended.
        Exhausted: too much waits already.
        """
        if self._tasks is None:
            raise Unavailable("ingestion is stopping")
        if self._producer.stalled > STALLED_SECONDS:
            raise Unavailable("the broker does not answer", retry_after=1.0)
        rows = batch.rows.num_rows
        if rows > self._room:
            raise Exhausted(f"{rows} events more than may wait at once", retry_after=0.1)
        placed: asyncio.Future[Placement] = asyncio.get_running_loop().create_future()
        lane = self._lane(batch.schema, self._tasks)
        lane.waiting.append(_Waiting(batch, telemetry.to_headers(), placed))
        lane.arrived.set()
        self._room -= rows
        try:
            return await placed
        finally:
            self._room += rows

    def _lane(self, schema: StreamSchema, tasks: asyncio.TaskGroup) -> _Lane:
        lane = self._lanes.get(schema.topic)
        if lane is None:
            lane = self._lanes[schema.topic] = _Lane()
            name = f"gather {schema.topic}"
            self._gatherers.append(tasks.create_task(self._gather(lane, tasks), name=name))
        return lane

    async def _gather(self, lane: _Lane, tasks: asyncio.TaskGroup) -> None:
        while True:
            await lane.arrived.wait()
            await self._company(lane)
            taken = _take(lane.waiting)
            if not lane.waiting:
                lane.arrived.clear()
            slices, futures = self._send(taken)
            lane.under_way += 1
            tasks.create_task(self._settle(lane, taken, slices, futures), name="append")

    async def _company(self, lane: _Lane) -> None:
        """Let others join: one turn of the loop, or more while enough appends are under way.

        A broker that answers soon sets the pace, so that batches grow with the load and a lone
        event waits for nothing; the linger bounds it.
        """
        await asyncio.sleep(0)
        if lane.under_way < AT_ONCE:
            return
        lane.settled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._linger):
                await lane.settled.wait()

    def _send(self, taken: Sequence[_Waiting]) -> tuple[list[Slice], list[asyncio.Future[Sent]]]:
        """Hand every slice to the producer without waiting, so that order is kept."""
        schema = taken[0].batch.schema
        slices, futures = [], []
        with _span(schema, taken):
            headers = events.event_headers(schema.fingerprint)
            for whole in cut([waiting.batch for waiting in taken], self._batch_events):
                for piece, value in encoded(whole):
                    slices.append(piece)
                    future = self._enqueue(schema.topic, piece.partition, value, headers)
                    futures.append(future)
        return slices, futures

    def _enqueue(
        self, topic: str, partition: int, value: bytes, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[Sent]:
        """Hand over one record; a producer that takes no more leaves its rows without an offset."""
        try:
            return self._producer.enqueue(topic, value, partition=partition, headers=headers)
        except Transient as error:
            refused: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused

    async def _settle(
        self,
        lane: _Lane,
        taken: Sequence[_Waiting],
        slices: Sequence[Slice],
        futures: Sequence[asyncio.Future[Sent]],
    ) -> None:
        await asyncio.wait(futures, timeout=self._timeout)
        offsets = [_offset(future) for future in futures]
        lane.under_way -= 1
        lane.settled.set()
        placements = place([waiting.batch for waiting in taken], slices, offsets)
        for waiting, placement in zip(taken, placements, strict=True):
            if not waiting.placed.done():
                waiting.placed.set_result(placement)


def _offset(future: asyncio.Future[Sent]) -> int | None:
    """Return None when the outcome is unknown; a late acknowledgement then changes nothing."""
    if not future.done():
        future.add_done_callback(_seen)
        return None
    try:
        return future.result().offset
    except Transient:
        return None


def _seen(late: asyncio.Future[Sent]) -> None:
    """Take note of what came too late for anybody: else the loop would complain of it."""
    if not late.cancelled():
        late.exception()


def _take(waiting: list[_Waiting]) -> list[_Waiting]:
    """Remove the oldest batches from the list, about GATHER_LIMIT rows of them, of one schema."""
    schema, rows, count = waiting[0].batch.schema, 0, 0
    for item in waiting:
        if item.batch.schema is not schema or (count and rows >= GATHER_LIMIT):
            break
        rows += item.batch.rows.num_rows
        count += 1
    taken = waiting[:count]
    del waiting[:count]
    return taken


def _span(schema: StreamSchema, taken: Sequence[_Waiting]) -> AbstractContextManager[Span]:
    """One span for the records: child of the oldest call that is traced, linked to all such."""
    traced = [item for item in taken if telemetry.link_to(item.headers)][: MAX_LINKS + 1]
    oldest = traced[0] if traced else taken[0]
    return telemetry.span(
        f"send {schema.topic}",
        kind=SpanKind.PRODUCER,
        parent=telemetry.from_headers(oldest.headers),
        links=[telemetry.link_to(item.headers) for item in traced[1:]],
        attributes={
            "messaging.destination.name": schema.topic,
            "messaging.batch.message_count": len(taken),
        },
    )
