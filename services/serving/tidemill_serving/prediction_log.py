"""Log every answer to predictions.<model> without ever making a request wait.

Rows wait in a bounded queue; a drainer writes them in Arrow batches. The counts are exact:
served = enqueued + dropped, and enqueued = acked + failed + queued (rows on their way included).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa

from tidemill.errors import TidemillError, TooLarge
from tidemill_common import events, metrics, telemetry, topics
from tidemill_common.prediction_rows import SCHEMA
from tidemill_serving.routing import Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

logger = logging.getLogger(__name__)

LIMIT_ROWS: Final = 100_000
BATCH_ROWS: Final = 500
LINGER_SECONDS: Final = 0.05
DRAIN_SECONDS: Final = 5.0
INFLIGHT: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the log; the names are those of the columns without the underscore."""

    prediction_id: str
    request_id: str
    time: int
    logged: int
    spine_key: str
    version: int
    digest: str
    variant: str
    propensity: float
    status: str
    score: float | None
    outputs: list[float] | None
    latency_us: int
    sampled: bool
    vector: list[float] | None = None
    request: str | None = None
    positions: str | None = None


_values: Final = attrgetter(*(name.removeprefix("_") for name in SCHEMA.names))


@dataclass(slots=True)
class Counts:
    """What became of the rows of one model."""

    served: int = 0
    enqueued: int = 0
    dropped: int = 0
    acked: int = 0
    failed: int = 0

    @property
    def queued(self) -> int:
        """Rows of which the broker has said nothing yet."""
        return self.enqueued - self.acked - self.failed


class Producer(Protocol):
    """What the log asks of Kafka."""

    def enqueue(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: list[tuple[str, bytes]] | tuple[tuple[str, bytes], ...] = (),
    ) -> asyncio.Future[Any]:
        """Append a record; the future is done when the broker has it."""


class PredictionLog:
    """The queue and its drainer. `add` never waits and never raises."""

    def __init__(self, producer: Producer, *, limit: int = LIMIT_ROWS) -> None:
        """Write through `producer`; at most `limit` rows wait."""
        self._producer = producer
        self._limit = limit
        self._queue: deque[tuple[str, Entry]] = deque()
        self._counts: dict[str, Counts] = {}
        self._more = asyncio.Event()
        self._bytes = 0
        self._sending: set[asyncio.Future[Any]] = set()

    def counts(self, model: str) -> Counts:
        """Return the counts of one model."""
        return self._counts.setdefault(model, Counts())

    def add(self, model: str, entries: Iterable[Entry]) -> None:
        """Take rows; those that do not fit are dropped and counted, shadow rows first."""
        counts = self.counts(model)
        for entry in entries:
            counts.served += 1
            shadow = entry.variant == Variant.SHADOW
            if len(self._queue) >= (self._limit // 2 if shadow else self._limit):
                counts.dropped += 1
                metrics.counter(
                    "tidemill_prediction_log_dropped_total", model=model, reason="full"
                ).inc()
                continue
            counts.enqueued += 1
            self._queue.append((model, entry))
        self._more.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Drain until told to stop and everything is written, or given up after 5 s."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                waiting = asyncio.create_task(self._more.wait())
                await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                await asyncio.sleep(LINGER_SECONDS)
                while self._take() and not stop.is_set():
                    waits: set[asyncio.Future[Any]] = {*self._sending, stopping}
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._take() or self._sending:
                    await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            logger.warning("prediction_log.left", extra={"rows": len(self._queue)})
        finally:
            stopping.cancel()

    def _take(self) -> bool:
        """Hand waiting rows to the producer; whether rows are left because too much is away."""
        self._more.clear()
        while self._queue and len(self._sending) < INFLIGHT:
            taken = [self._queue.popleft() for _ in range(min(BATCH_ROWS, len(self._queue)))]
            by_model: dict[str, list[Entry]] = {}
            for model, entry in taken:
                by_model.setdefault(model, []).append(entry)
            for model, entries in by_model.items():
                self._split(model, entries)
        return bool(self._queue)

    def _split(self, model: str, entries: list[Entry]) -> None:
        """Send rows to the partition of their key, so that a key's rows stay in order."""
        topic = topics.predictions(model)
        metrics.counter("tidemill_prediction_log_enqueued_total", model=model).inc(len(entries))
        parts: dict[int, list[Entry]] = {}
        for entry in entries:
            place = topics.partition_of(entry.spine_key.encode(), topic.partitions)
            parts.setdefault(place, []).append(entry)
        for partition, rows in parts.items():
            self._send(model, topic.name, partition, rows)

    def _send(self, model: str, topic: str, partition: int, rows: list[Entry]) -> None:
        headers = [("content-type", events.CONTENT_TYPE.encode()), *telemetry.to_headers()]
        record = to_record(rows)
        try:
            future = self._producer.enqueue(topic, record, partition=partition, headers=headers)
        except TooLarge as error:
            if len(rows) == 1:
                self._failed(model, 1, error)
                return
            half = len(rows) // 2
            self._send(model, topic, partition, rows[:half])
            self._send(model, topic, partition, rows[half:])
        except TidemillError as error:
            self._failed(model, len(rows), error)
        else:
            self._sending.add(future)
            self._waits(len(record))
            future.add_done_callback(partial(self._sent, model, len(rows), len(record)))

    def _waits(self, size: int) -> None:
        self._bytes += size
        metrics.gauge("tidemill_prediction_log_queue_bytes").set(self._bytes)

    def _sent(self, model: str, rows: int, size: int, future: asyncio.Future[Any]) -> None:
        self._sending.discard(future)
        self._waits(-size)
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            self._failed(model, rows, error)
            return
        self.counts(model).acked += rows
        metrics.counter("tidemill_prediction_log_acked_total", model=model).inc(rows)

    def _failed(self, model: str, rows: int, error: BaseException | None) -> None:
        self.counts(model).failed += rows
        metrics.counter("tidemill_prediction_log_failed_total", model=model).inc(rows)
        logger.warning("prediction_log.failed", extra={"rows": rows, "error": repr(error)})


def to_record(entries: Sequence[Entry]) -> bytes:
    """Encode rows as one Arrow batch."""
    columns = zip(*map(_values, entries), strict=True)
    arrays = [
        pa.array(column, type=field.type) for column, field in zip(columns, SCHEMA, strict=True)
    ]
    return events.encode(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
