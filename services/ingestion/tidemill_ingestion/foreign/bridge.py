"""Bridge one source: its records are appended as events and dead letters, each exactly once.

1. When a partition becomes ours: look in the targets for what an earlier owner appended beyond the
   offset that it committed.
2. Decode and map a batch. Too much of it is bad: take it up to there, and stop afterwards.
3. Append to every target what it does not hold yet; wait until all of it is durable.
4. Return the note that is committed with the offset.

Only one batch of a partition is under way, so that a target never holds a later part of the
source without an earlier one. A process that stood still looks into the targets again before it
appends. What it had under way when it stood still may come late: these copies are recognised by
their ids, like those of any publisher.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.errors import Invalid, Misconfigured, OutcomeUnknown, Rejected, Unavailable
from tidemill_common import events, metrics
from tidemill_common.clock import Clock
from tidemill_common.erasures import Refusing
from tidemill_common.kafka import (
    Producer,
    Record,
    Sent,
    TooManyDeadLetters,
    TopicPartition,
    dead_letters,
)
from tidemill_common.kafka.partition_state import PartitionState
from tidemill_common.topics import MAX_RECORD_BYTES
from tidemill_ingestion.batching import cut, encoded
from tidemill_ingestion.foreign.lapses import Lapses
from tidemill_ingestion.foreign.progress import Progress, bridged
from tidemill_ingestion.foreign.source import Bridged, ForeignSource
from tidemill_ingestion.validation import Batch

STAGE = "bridge"
MAX_KEPT_BYTES = MAX_RECORD_BYTES - 8_192
"""Of a record that is set aside; the rest is for its reason and origin."""


class Targets(Protocol):
    """Tells what the targets hold of partitions that became ours."""

    async def progress(
        self, source: ForeignSource, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Progress]:
        """Look through the targets; Transient if they cannot be read now."""


@dataclass(slots=True)
class _Lane:
    """One partition of the source while it is ours; looked up at a monotonic moment."""

    progress: Progress
    looked_at: float
    outcomes: PartitionState = field(default_factory=PartitionState)


class Bridge:
    """The handler of one source's consumer; made anew when the source changes."""

    def __init__(
        self,
        source: ForeignSource,
        targets: Targets,
        producer: Producer,
        clock: Clock,
        lapses: Lapses,
        *,
        group: str,
        batch_events: int,
        timeout: float,
        refusing: Refusing | None = None,
    ) -> None:
        """Append by `producer`, records of at most `batch_events` events."""
        self._source = source
        self._targets = targets
        self._producer = producer
        self._clock = clock
        self._lapses = lapses
        self._origin = dead_letters.Origin(group, "ingestion", STAGE)
        self._batch_events = batch_events
        self._timeout = timeout
        self._refusing = refusing or Refusing()
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._looking: asyncio.Task[dict[TopicPartition, _Lane]] | None = None
        self._ends = np.zeros(source.schema.partitions + 1, np.int64)

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Begin with partitions that are ours now: what is in the targets is looked up at once."""
        self._lanes = {}
        if self._looking is not None:
            self._looking.cancel()
        work = self._look(partitions)
        self._looking = asyncio.create_task(work, name=f"look {self._source.topic}")

    async def _look(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, _Lane]:
        moment = self._clock.monotonic()
        found = await self._targets.progress(self._source, partitions)
        return {tp: _Lane(progress, moment) for tp, progress in found.items()}

    async def handle(self, records: Sequence[Record]) -> str:
        """Bridge records of one partition; a repeat appends only what is missing."""
        tp = TopicPartition(records[0].topic, records[0].partition)
        lane = await self._lane(tp)
        try:
            stopped = await self._bridge(lane, records)
        except BaseException:
            # What was appended is not known: the targets will say.
            self._lanes.pop(tp, None)
            raise
        if stopped:
            raise TooManyDeadLetters(
                f"{tp.topic}/{tp.partition}: {lane.outcomes.row} dead letters in a row,"
                f" {sum(lane.outcomes.outcomes)} of the last {len(lane.outcomes.outcomes)}",
                hint=f"tidemill dlq list {self._source.schema.name}",
            )
        return lane.progress.note()

    async def _lane(self, tp: TopicPartition) -> _Lane:
        if self._looking is not None:
            looking, self._looking = self._looking, None
            self._lanes = await looking
        lane = self._lanes.get(tp)
        if lane is None or self._lapses.since(lane.looked_at):
            self._lanes |= await self._look([tp])
        return self._lanes[tp]

    async def _bridge(self, lane: _Lane, records: Sequence[Record]) -> bool:
        """Append a batch; return whether so much of it was bad that the source must stop."""
        found = self._source.events(records, self._clock.now_us(), self._refusing.now)
        offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
        dead = [at for at in sorted(found.refusals) if offsets[at] >= lane.progress.dead]
        stop_at = _too_bad(lane.outcomes, len(records), dead, found.refusals)
        if stop_at is not None:
            records, offsets = records[: stop_at + 1], offsets[: stop_at + 1]
            found = _first(found, len(records))
            dead = [at for at in dead if at <= stop_at]
        batch = _missing(lane.progress, found.batch, offsets)
        if self._lapses.since(lane.looked_at):
            raise Unavailable("the process stood still: another may have gone on from here")
        sends = chain(self._events(batch, records), self._dead(dead, found, records))
        await self._durable(sends)
        lane.progress.reached(int(offsets[-1]) + 1, self._ends)
        self._count(found, 0 if batch is None else batch.rows.num_rows, len(dead))
        return stop_at is not None

    def _events(
        self, batch: Batch | None, records: Sequence[Record]
    ) -> Iterator[asyncio.Future[Sent]]:
        """Hand the events over, one partition after another, each in the order of the source."""
        if batch is None:
            return
        schema = self._source.schema
        headers = events.event_headers(schema.fingerprint)
        for whole in cut([batch], self._batch_events):
            for piece, value in encoded(whole):
                last = records[int(batch.index[piece.rows[-1]])]
                mark = bridged(last.topic, last.partition, last.offset + 1)
                yield self._producer.enqueue(
                    schema.topic, value, partition=piece.partition, headers=[*headers, mark]
                )

    def _dead(
        self, places: Sequence[int], found: Bridged, records: Sequence[Record]
    ) -> Iterator[asyncio.Future[Sent]]:
        """Set bad records aside as they came, with the dead letters of the stream."""
        for at in places:
            yield asyncio.ensure_future(
                dead_letters.write(
                    self._producer,
                    _kept(records[at]),
                    Invalid(str(found.refusals[at])),
                    self._origin,
                    topic=self._source.schema.topic,
                )
            )

    async def _durable(self, sends: Iterable[asyncio.Future[Sent]]) -> None:
        """Wait until the broker has everything; what is given up is not sent later."""
        under_way: list[asyncio.Future[Sent]] = []
        try:
            for send in sends:
                under_way.append(send)  # noqa: PERF402 (of a part that fails the rest is given up)
            async with asyncio.timeout(self._timeout):
                for sent in await asyncio.gather(*under_way):
                    at = sent.partition if sent.topic == self._source.schema.topic else -1
                    self._ends[at] = max(self._ends[at], sent.offset + 1)
        except TimeoutError as error:
            text = f"no acknowledgement for {self._source.schema.topic} in {self._timeout:g} s"
            raise OutcomeUnknown(text) from error
        except Rejected as error:
            raise Misconfigured(f"an event cannot be appended: {error.message}") from error
        finally:
            for send in under_way:
                send.cancel()

    def _count(self, found: Bridged, appended: int, dead: int) -> None:
        stream = self._source.schema.name
        events_found = 0 if found.batch is None else found.batch.rows.num_rows
        outcomes = {
            "appended": appended,
            "dead": dead,
            "left_out": found.left_out,
            "empty": found.empty,
            "repeated": events_found - appended + len(found.refusals) - dead,
        }
        for outcome, number in outcomes.items():
            if number:
                metrics.counter(
                    "tidemill_bridge_records_total", stream=stream, outcome=outcome
                ).inc(number)
        for outcome, number in (("accepted", appended), ("rejected", dead)):
            if number:
                metrics.counter(
                    "tidemill_ingestion_events_total", stream=stream, outcome=outcome
                ).inc(number)


def _too_bad(
    outcomes: PartitionState, records: int, dead: Sequence[int], refused: Collection[int]
) -> int | None:
    """Note how each record ended; return the place of the one with which it became too much.

    What was set aside before, by an owner that then stopped, counts no second time.
    """
    if not refused:
        outcomes.note(records, bad=False)
        return None
    fresh = set(dead)
    for at in range(records):
        if at in refused and at not in fresh:
            continue
        outcomes.note(bad=at in fresh)
        if outcomes.is_too_bad():
            return at
    return None


def _kept(record: Record) -> Record:
    """Return what of a record a dead letter can hold: all of it, or only where it lies."""
    headers = sum(len(name) + len(value) for name, value in record.headers)
    size = len(record.value or b"") + len(record.key or b"") + headers
    if size <= MAX_KEPT_BYTES:
        return record
    return record._replace(key=None, value=b"", headers=())


def _first(found: Bridged, records: int) -> Bridged:
    """Return what became of the first records only."""
    batch = found.batch
    if batch is not None:
        batch = _chosen(batch, batch.index < records)
    refusals = {at: refusal for at, refusal in found.refusals.items() if at < records}
    return replace(found, batch=batch, refusals=refusals)


def _missing(
    progress: Progress, batch: Batch | None, offsets: npt.NDArray[np.int64]
) -> Batch | None:
    """Return the events that their partitions do not hold yet."""
    if batch is None:
        return None
    return _chosen(batch, progress.missing(batch.partitions, offsets[batch.index]))


def _chosen(batch: Batch, keep: npt.NDArray[np.bool_]) -> Batch | None:
    if keep.all():
        return batch
    if not keep.any():
        return None
    rows = batch.rows.filter(pa.array(keep))
    return Batch(batch.schema, rows, batch.partitions[keep], batch.index[keep])
