"""Publish: check, append, and say for every event what became of it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import pyarrow as pa

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import Exhausted, Invalid, NotFound, Unavailable, Violation
from tidemill_common import metrics
from tidemill_common.clock import Clock
from tidemill_common.currency import Registry
from tidemill_common.erasures import Refusing
from tidemill_ingestion.batching import Placement
from tidemill_ingestion.casting import cast
from tidemill_ingestion.limits import SourceLimit
from tidemill_ingestion.schema import StreamSchema
from tidemill_ingestion.validation import Batch, Checked, RawEvent, check_columns, check_events

MAX_BATCH = 10_000
"""Events of one call."""


class Outcome(enum.StrEnum):
    """What became of one event; text, whose hash is no Python code."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"


class Result(NamedTuple):
    """The reply for one event; the position is meaningful when it was accepted.

    A tuple, as `RawEvent` is: one is made for every event.
    """

    outcome: Outcome
    reason: str = ""
    field: str = ""
    partition: int = 0
    offset: int = 0
    row: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """Results in the order of the input, and the highest next offset per (stream, partition)."""

    results: Sequence[Result]
    token: dict[tuple[str, int], int]


class Log(Protocol):
    """Where accepted events go."""

    async def append(self, batch: Batch) -> Placement:
        """Make every row durable; Unavailable or Exhausted if nothing was done."""


@dataclass(slots=True)
class Streams:
    """The streams of the current project; replaced whole when a new generation is applied."""

    registry: Registry
    generation: str = ""
    schemas: dict[str, StreamSchema] = field(default_factory=dict)
    sources: dict[str, project_pb2.Stream] = field(default_factory=dict)
    """Those whose events come from a foreign topic as well."""
    refusing: Refusing = field(default_factory=Refusing)

    async def confirm(self) -> None:
        """Return if this is the current project; Unavailable if it may not be."""
        await self.registry.confirm(lambda: self.generation)

    async def find(self, name: str) -> StreamSchema:
        """Return a stream's schema; NotFound names those that exist.

        NotFound is final, so it is said only of the current project, else Unavailable.
        """
        if name not in self.schemas:
            await self.confirm()
        try:
            return self.schemas[name]
        except KeyError:
            known = ", ".join(sorted(self.schemas)) or "none; apply a project first"
            raise NotFound(f"no stream {name!r}; streams: {known}") from None


def check_size(events: int) -> None:
    """Return if so many events may come in one call; else Invalid."""
    if events > MAX_BATCH:
        rule = f"{events} events in one call; at most {MAX_BATCH} are accepted"
        raise Invalid(violations=[Violation("events", rule)])


async def publish(
    raw: Sequence[tuple[str, RawEvent]],
    streams: Streams,
    log: Log,
    limit: SourceLimit,
    clock: Clock,
) -> Published:
    """Publish (stream, event) pairs; good events are not held up by bad neighbours.

    Exhausted if a source is over its rate: then nothing was taken.
    """
    check_size(len(raw))
    _charge([event for _, event in raw], limit, clock)
    by_stream: dict[str, list[int]] = {}
    for position, (stream, _) in enumerate(raw):
        by_stream.setdefault(stream, []).append(position)
    results: list[Result] = [_UNSEEN] * len(raw)
    token: dict[tuple[str, int], int] = {}
    parts = [
        _publish_stream(stream, positions, [raw[i][1] for i in positions], streams, log, clock)
        for stream, positions in by_stream.items()
    ]
    # A task for one stream alone would only cost a turn of the loop.
    done = [await parts[0]] if len(parts) == 1 else await asyncio.gather(*parts)
    for positions, published in done:
        for position, result in zip(positions, published.results, strict=True):
            results[position] = result
        token.update(published.token)
    return Published(results, token)


_UNSEEN = Result(Outcome.UNKNOWN)


async def _publish_stream(
    stream: str,
    positions: Sequence[int],
    raw: Sequence[RawEvent],
    streams: Streams,
    log: Log,
    clock: Clock,
) -> tuple[Sequence[int], Published]:
    try:
        schema = await streams.find(stream)
    except NotFound as error:
        refused = Result(Outcome.REJECTED, error.message, "type")
        return positions, Published([refused] * len(raw), {})
    except Unavailable as error:
        away = Result(Outcome.UNAVAILABLE, error.message)
        return positions, Published([away] * len(raw), {})
    checked = check_events(schema, raw, clock.now_us(), streams.refusing.now)
    return positions, await _append(schema, checked, len(raw), log)


async def publish_columns(
    stream: str,
    source: str,
    table: pa.Table,
    streams: Streams,
    log: Log,
    limit: SourceLimit,
    clock: Clock,
) -> Published:
    """Publish rows that came as columns: `_id`, the stream's fields, optional other envelope."""
    schema = await streams.find(stream)
    now_us = clock.now_us()
    if table.num_rows > MAX_BATCH:
        rule = f"{table.num_rows} rows in one call; at most {MAX_BATCH} are accepted"
        raise Invalid(violations=[Violation("data", rule)])
    if table.num_rows == 0:
        return Published([], {})
    if wait := limit.wait_for(source, table.num_rows, clock.monotonic()):
        raise Exhausted(f"source {source!r} publishes too fast", retry_after=wait)
    batch = conform(schema, table, source, now_us)
    states = "_available" in table.column_names
    checked = check_columns(schema, batch, now_us, states=states, erased=streams.refusing.now)
    return await _append(schema, checked, table.num_rows, log)


def conform(schema: StreamSchema, table: pa.Table, source: str, now_us: int) -> pa.RecordBatch:
    """Bring columns into the stream's Arrow schema; Invalid names all that do not fit."""
    known = {field.name for field in schema.arrow}
    problems = {
        name: Violation(name, "no such field") for name in table.column_names if name not in known
    }
    rows = table.num_rows
    now = pa.scalar(now_us, pa.int64()).cast(pa.timestamp("us", "UTC"))
    id_name = schema.id_field or "_id"
    time_name = schema.time_field or "_time"
    given = {
        "_id": id_name,
        "_time": time_name,
        "_available": "_available",
        "_source": "_source",
    }
    columns = []
    for wanted in schema.arrow:
        name = given.get(wanted.name, wanted.name)
        try:
            if name in table.column_names:
                column = cast(table.column(name).combine_chunks(), wanted.type)
                if wanted.name in {"_time", "_available"}:
                    column = column.fill_null(now)
            elif wanted.name in {"_time", "_available"}:
                column = pa.repeat(now, rows)
            elif wanted.name == "_source":
                column = pa.repeat(pa.scalar(source), rows)
            else:
                column = pa.nulls(rows, wanted.type)
        except pa.ArrowException as error:
            problems[name] = Violation(name, f"is not {wanted.type}: {error}")
            continue
        columns.append(column)
    if problems:
        raise Invalid(violations=problems.values())
    return pa.RecordBatch.from_arrays(columns, schema=schema.arrow)


async def _append(schema: StreamSchema, checked: Checked, total: int, log: Log) -> Published:
    results = [_UNSEEN] * total
    for position, refusal in checked.refusals.items():
        results[position] = Result(Outcome.REJECTED, refusal.reason, refusal.field)
    token: dict[tuple[str, int], int] = {}
    if checked.batch is not None:
        index = checked.batch.index.tolist()
        try:
            placement = await log.append(checked.batch)
        except (Unavailable, Exhausted) as error:
            away = Result(Outcome.UNAVAILABLE, error.message)
            for position in index:
                results[position] = away
        else:
            _fill(results, index, placement)
            token = _token(schema.name, placement)
    _count(schema.name, results)
    return Published(results, token)


def _fill(results: list[Result], index: Sequence[int], placement: Placement) -> None:
    places = zip(
        index,
        placement.partition.tolist(),
        placement.offset.tolist(),
        placement.row.tolist(),
        strict=True,
    )
    for position, partition, offset, row in places:
        if offset < 0:
            results[position] = _NO_WORD
        else:
            results[position] = Result(Outcome.ACCEPTED, "", "", partition, offset, row)


_NO_WORD = Result(Outcome.UNKNOWN, "the broker did not answer in time; retry with the same id")


def _token(stream: str, placement: Placement) -> dict[tuple[str, int], int]:
    token: dict[tuple[str, int], int] = {}
    known = placement.offset >= 0
    for partition in set(placement.partition[known].tolist()):
        newest = placement.offset[known & (placement.partition == partition)].max()
        token[stream, partition] = int(newest) + 1
    return token


def _charge(raw: Sequence[RawEvent], limit: SourceLimit, clock: Clock) -> None:
    if limit.rate <= 0:
        return
    counts: dict[str, int] = {}
    for event in raw:
        counts[event.source] = counts.get(event.source, 0) + 1
    now = clock.monotonic()
    for source, count in counts.items():
        if wait := limit.wait_for(source, count, now):
            raise Exhausted(f"source {source!r} publishes too fast", retry_after=wait)


def _count(stream: str, results: Sequence[Result]) -> None:
    counts: dict[Outcome, int] = {}
    for result in results:
        counts[result.outcome] = counts.get(result.outcome, 0) + 1
    for outcome, count in counts.items():
        metrics.counter(
            "tidemill_ingestion_events_total", stream=stream, outcome=outcome.value
        ).inc(count)
