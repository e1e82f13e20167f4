"""The life of one owned input partition: gather records, flush them, one flush after another.

While a flush is under way the next records gather. If many wait, they are decided while the flush
before is being written; their own write waits for it. An idle partition flushes nothing but
its position every second, so that readers know that its silence is silence. Any failure ends the
process: the supervisor starts it again and the log says where to go on.

The logs' positions are the truth about what is decided, and the group's offset follows them. So
most flushes are no transaction but one record for each log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from tidemill.errors import Invalid
from tidemill_common import metrics, telemetry, topics
from tidemill_common.erasures import Refusing
from tidemill_common.kafka import TopicPartition
from tidemill_common.kafka.dead_letters import Origin, to_headers
from tidemill_features.flushing import Gap
from tidemill_features.ledger import LogLedger, LogPast
from tidemill_features.offsets import OffsetPace
from tidemill_features.settings import GROUP
from tidemill_features.standby import log_of
from tidemill_tiles.codec import Kind, decode_header, plain_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tidemill_common.feature_views import ViewSpec
    from tidemill_common.kafka import Admin, Record, Transaction, TransactionalProducer
    from tidemill_features.capacity import Capacity
    from tidemill_features.flushing import Flush, PartitionState
    from tidemill_features.settings import Settings
    from tidemill_features.stopping import BadRun

logger = logging.getLogger(__name__)

FLUSH_RECORDS: Final = 2_000
THREAD_RECORDS: Final = 20
WAITING_RECORDS: Final = 2 * FLUSH_RECORDS
WAITING_FLUSHES: Final = 2
"""What waits has as many bytes as so many flushes, and one fetch more."""
_MS: Final = 1_000
_ORIGIN: Final = Origin(GROUP, "features", "flush")


class Flow(Protocol):
    """Who hands the records over."""

    def hold(self, tp: TopicPartition) -> None:
        """Hand over nothing more of a partition."""

    def release(self, tp: TopicPartition) -> None:
        """Go on with a partition that was held."""


class Partition:
    """Gathers and flushes; `run` until cancelled."""

    def __init__(
        self,
        state: PartitionState,
        producer: TransactionalProducer,
        admin: Admin,
        settings: Settings,
        capacity: Capacity,
        bad: BadRun,
        flow: Flow,
        refusing: Refusing | None = None,
    ) -> None:
        self.state = state
        self._refusing = refusing or Refusing()
        self._search: asyncio.Future[dict[str, list[bytes]]] | None = None
        self._producer = producer
        self._admin = admin
        self._settings = settings
        self._capacity = capacity
        self._bad = bad
        self._flow = flow
        self._next = state.position
        self._pace = OffsetPace()
        self._waiting: deque[Record] = deque()
        self._waiting_bytes = 0
        self._is_held = False
        self._wake = asyncio.Event()
        self._allowed = asyncio.Event()
        self._allowed.set()
        self._flushing = asyncio.Lock()
        self._writing: asyncio.Task[None] | None = None
        now, pasts = time.monotonic(), state.pasts
        every, floor = settings.snapshot_seconds, settings.snapshot_bytes
        self._ledgers = {
            view: LogLedger.resumed(floor, every, pasts.get(view, LogPast()), now)
            for view in state.all_owners
        }
        self._snapshots: set[str] = set()
        self._meters = _Meters(state.work.name, state.partition)
        self._stopped = metrics.gauge(
            "tidemill_partition_stopped", stream=state.work.name, partition=str(state.partition)
        )
        self._stopped.set(0)

    @property
    def tp(self) -> TopicPartition:
        """Return the input partition."""
        return TopicPartition(self.state.work.topic, self.state.partition)

    def offer(self, records: Sequence[Record]) -> None:
        """Take the next records; hold their flow while too much waits. Gap if one is missing."""
        for record in records:
            if record.offset != self._next:
                raise Gap(f"{self.tp.topic}/{self.tp.partition}: {record.offset}, not {self._next}")
            self._next += 1
            self._waiting_bytes += len(record.value or b"")
        self._waiting.extend(records)
        self._wake.set()
        if not self._is_held and not self._has_room(WAITING_RECORDS, WAITING_FLUSHES):
            self._is_held = True
            self._meters.held()
            self._flow.hold(self.tp)

    def _has_room(self, records: int, flushes: int) -> bool:
        """Say whether fewer than so many records wait, and fewer bytes than so many flushes."""
        limit = flushes * self._settings.flush_bytes
        return len(self._waiting) < records and self._waiting_bytes < limit

    async def settle(self) -> None:
        """Begin no further flush and wait for what is under way (a rebalance has begun)."""
        self._allowed.clear()
        async with self._flushing:
            await self._written()

    def go_on(self) -> None:
        """Flush again: the partition was kept."""
        self._allowed.set()

    async def drain(self) -> None:
        """Flush once more, and nothing afterwards; what still waits is read again by the next."""
        self._allowed.clear()
        async with self._flushing:
            await self._written()
            if self._waiting or self._pace.is_behind(self.state.position):
                self._pace.hurry()
                await self._flush(self._take())
                await self._written()

    def leave(self) -> None:
        """Say that it is another's to tell how far the partition is, and whether it stands."""
        self._stopped.set(0)
        self._meters.ended()

    async def run(self) -> None:
        """Flush whenever something waits and has room, and when nothing did for a while."""
        while True:
            await self._due()
            await self._allowed.wait()
            async with self._flushing:
                if self._allowed.is_set():
                    await self._flush(self._take())

    async def _due(self) -> None:
        """Wait for a record that may be taken, at most the idle time."""
        if self._holds_still():
            await asyncio.sleep(self._settings.idle_seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.idle_seconds):
                await self._wake.wait()

    def _holds_still(self) -> bool:
        """Say whether records wait: for room, or for a person who looks at what is no record."""
        return self._bad.is_too_long or self._capacity.is_full()

    def _take(self) -> list[Record]:
        """Take the whole records that make up one flush; none while the partition holds still."""
        taken: list[Record] = []
        size = 0
        if self._holds_still():
            return taken
        while self._waiting and len(taken) < FLUSH_RECORDS and size < self._settings.flush_bytes:
            taken.append(self._waiting.popleft())
            size += len(taken[-1].value or b"")
        if not self._waiting:
            self._wake.clear()
        self._waiting_bytes -= size
        if self._is_held and self._has_room(FLUSH_RECORDS, WAITING_FLUSHES - 1):
            self._is_held = False
            self._meters.released()
            self._flow.release(self.tp)
        return taken

    async def _flush(self, records: list[Record]) -> None:
        """Decide records and write that behind the flush before; be back early if many wait."""
        began = time.perf_counter()
        with _tracing(self.state.work.topic, records):
            await self._erase()
            self._begin_snapshots()
            flush = await self._decided(records)
            self._judge(flush, records)
            await self._written()
            writing = self._write_out(flush, records, began)
            if len(self._waiting) < THREAD_RECORDS:
                await writing
            else:
                self._writing = asyncio.create_task(writing)

    async def _written(self) -> None:
        """Wait for the flush that is being written, if there is one; raises what it raised."""
        if self._writing is not None:
            await self._writing
            self._writing = None

    async def _write_out(self, flush: Flush, records: list[Record], began: float) -> None:
        tx = await self._write(flush)
        await self._wrote(flush, tx)
        oldest = records[0] if records else self._waiting[0] if self._waiting else None
        self._meters.flushed(flush, oldest, time.perf_counter() - began, read=bool(records))

    def _judge(self, flush: Flush, records: list[Record]) -> None:
        """Stop here if the topic gives nothing but records that are none."""
        self._bad.note(records, flush.dead)
        if records and self._bad.is_too_long:
            self._stopped.set(1)
            facts = {"topic": self.tp.topic, "partition": self.tp.partition}
            logger.error("partition.stopped", extra={**facts, "position": flush.position})

    async def _decided(self, records: list[Record]) -> Flush:
        """Compute a flush; a large one in a thread, its kernels hold no lock."""
        if len(records) < THREAD_RECORDS:
            return self.state.flush(records)
        return await asyncio.to_thread(self.state.flush, records)

    async def _write(self, flush: Flush) -> Transaction:
        """Write a flush as one, or record by record if nothing binds its records together."""
        now = time.monotonic()
        if self._pace.is_due(flush, now):
            async with self._producer.transaction() as tx:
                self._collect(tx, flush)
                tx.commit_offsets({self.tp: flush.position}, GROUP)
            self._pace.committed(flush.position, now)
            return tx
        write = self._producer.appending if flush.separable else self._producer.transaction
        async with write() as tx:
            self._collect(tx, flush)
        return tx

    def _collect(self, tx: Transaction, flush: Flush) -> None:
        """Collect everything one flush writes; log records come first."""
        partition = self.state.partition
        traced = telemetry.to_headers()
        for view, value in flush.log:
            topic = view.log(self.state.work.name).name
            tx.send(topic, value, partition=partition, headers=traced)
        late = topics.late(self.state.work.topic).name
        for row in flush.late:
            headers = to_headers(row.record, _LATE, _ORIGIN, row=row.row)
            tx.send(late, row.value, partition=0, headers=headers)
        letters = topics.dead_letters(self.state.work.topic).name
        for dead in flush.dead:
            headers = to_headers(dead.record, dead.error, _ORIGIN, row=dead.row)
            tx.send(letters, dead.value, partition=0, key=dead.record.key, headers=headers)

    async def _erase(self) -> None:
        """Take up a new list of erased entities, and erase what a search has found meanwhile.

        Logs of views that are by such an entity are written anew, whether it was found or not. A
        snapshot that begins in a flush still to be written does not count: it was decided before.
        """
        if self._search is not None and self._search.done():
            await self._written()
            found, self._search = self._search.result(), None
            for view, entities in self.state.erase(found).items():
                self._ledgers[view].renew()
                facts = {"view": view, "partition": self.state.partition, "entities": entities}
                logger.info("state.erased", extra=facts)
        erased = self._refusing.now
        if self._search is None and erased is not self.state.erased:
            search = self.state.refuse(erased)
            if search.keys:
                self._search = asyncio.ensure_future(asyncio.to_thread(search.run))

    def _begin_snapshots(self) -> None:
        """Begin a snapshot that is due, of one view at a time: a flush carries one chunk."""
        if self._snapshots:
            return
        now, owners = time.monotonic(), self.state.all_owners
        due = [
            name
            for name, ledger in self._ledgers.items()
            if ledger.is_due(owners[name].state_bytes, now)
        ]
        if due:
            name = min(due, key=lambda one: self._ledgers[one].since)
            owners[name].begin_snapshot()
            self._snapshots.add(name)

    async def _wrote(self, flush: Flush, tx: Transaction) -> None:
        """Count what a committed flush wrote; trim a log whose snapshot is complete."""
        for (view, value), sent in zip(flush.log, tx.sent, strict=False):
            ledger = self._ledgers[view.key]
            ledger.wrote(plain_bytes(value))
            if view.key not in self._snapshots:
                continue
            kind = decode_header(value).kind
            if kind is Kind.SNAPSHOT_BEGIN:
                ledger.began(sent.offset, time.monotonic())
            elif kind is Kind.SNAPSHOT_END:
                self._snapshots.discard(view.key)
                await self._trim(view, ledger.ended())

    async def _trim(self, view: ViewSpec, before: int | None) -> None:
        tp = log_of(view, self.state.work, self.state.partition)
        facts = {"topic": tp.topic, "partition": tp.partition, "before": before}
        logger.info("log.snapshot", extra=facts)
        if before is not None:
            await self._admin.delete_records({tp: before})


_LATE: Final = Invalid("beyond the stream's lateness bound")


@contextlib.contextmanager
def _tracing(topic: str, records: Sequence[Record]) -> Iterator[None]:
    """Open a batch span that continues the first sampled source and links to all of them."""
    links = [link for record in records if (link := telemetry.link_to(record.headers))]
    if not links:
        yield
        return
    sampled = (record for record in records if telemetry.link_to(record.headers))
    parent = telemetry.from_headers(next(sampled).headers)
    kind = telemetry.SpanKind.CONSUMER
    with telemetry.span(f"process {topic}", kind=kind, parent=parent, links=links):
        yield


class _Meters:
    """The metrics of one partition of a stream, their children kept."""

    def __init__(self, stream: str, partition: int) -> None:
        self._applied = metrics.counter("tidemill_events_applied_total", stream=stream)
        self._late = metrics.counter("tidemill_events_late_total", stream=stream)
        self._erased = metrics.counter("tidemill_events_erased_total", stream=stream)
        self._duplicates = metrics.counter("tidemill_duplicates_total", stream=stream)
        self._flushes = metrics.counter("tidemill_flushes_total", stream=stream, result="ok")
        self._seconds = metrics.histogram("tidemill_flush_duration_seconds", stream=stream)
        topic = f"events.{stream}"
        self._lag = metrics.gauge(
            "tidemill_consumer_lag_seconds", topic=topic, group=GROUP, partition=str(partition)
        )
        self._holds = metrics.counter("tidemill_partition_holds_total", stream=stream)
        self._held = metrics.gauge(
            "tidemill_partition_held", stream=stream, partition=str(partition)
        )
        self._held.set(0)
        self._topic = topic
        self._e2e = metrics.histogram("tidemill_event_e2e_seconds", path="features")

    def ended(self) -> None:
        """Keep no lag of a partition that is another's, and no hold."""
        self._lag.set(0.0)
        self._held.set(0)

    def held(self) -> None:
        """Record that no more is fetched."""
        self._holds.inc()
        self._held.set(1)

    def released(self) -> None:
        """Record that fetching goes on."""
        self._held.set(0)

    def flushed(self, flush: Flush, oldest: Record | None, seconds: float, *, read: bool) -> None:
        """Record one committed flush; `read`: `oldest` was in it, else it still waits."""
        self._applied.inc(flush.counts.applied)
        self._late.inc(flush.counts.late)
        self._erased.inc(flush.counts.erased)
        self._duplicates.inc(flush.counts.duplicate)
        self._flushes.inc()
        self._seconds.observe(seconds)
        now = time.time()
        age = max(0.0, now - oldest.timestamp_ms / _MS) if oldest else 0.0
        self._lag.set(age)
        if read:
            self._e2e.observe(age)
        for dead in flush.dead:
            metrics.counter(
                "tidemill_dead_letters_total",
                topic=self._topic,
                group=GROUP,
                error=dead.error.reason,
            ).inc()
