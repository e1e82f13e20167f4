"""A partition's world: publishers, workers that live and die, readers, and what must come of it.

Everything between faust and aiokafka is the product's own code: Opener, Standby, Follower,
Partition, TransactionalProducer, PartitionState, Owner, Replica. Faust's part, to deliver records and
to end the process at a failure, is played by `Worker`.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos import checkers
from tests.chaos.checkers import Letter
from tests.chaos.evidence import as_letter
from tests.chaos.oracle import Expected, decide
from tests.chaos.publishing import encoded
from tests.chaos.traffic import PROJECT, SECOND_US, Row
from tests.simulation.broker import MemoryBroker
from tests.simulation.clients import (
    Crash,
    How,
    MemoryConsumer,
    MemoryProducer,
    Process,
)
from tests.simulation.lives import Command, Tap, Worker, build
from tests.simulation.reader import Reader
from tidemill.errors import TidemillError
from tidemill.project import loads, normalise
from tidemill_common import topics
from tidemill_common.kafka import Record, TopicPartition, dead_letters
from tidemill_common.kafka.ranges import stretch
from tidemill_features.archive import Archive, Piece
from tidemill_features.capacity import Capacity
from tidemill_features.decoding import decode
from tidemill_features.definitions import Work, work_of
from tidemill_features.partition import Partition
from tidemill_features.settings import Settings
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.owner import Owner
from tidemill_tiles.verdict import PartitionVerdict

STREAM: Final = "events"
FIRST_MS: Final = 1_600_000_000_000
"""Long ago, so that whatever uses the wall clock shows."""
CHUNK_BYTES: Final = 300
"""A snapshot takes several flushes, so that it can be cut off in the middle."""
FLUSH_BYTES: Final = 1 << 16
"""A flush takes few records, so that a backlog is soon more than may wait."""
PIECE_RECORDS: Final = 3
"""A view is built in several transactions, so that others may come between them."""
PATIENCE_FLUSHES: Final = 20
YEAR_SECONDS: Final = 31_536_000
_US: Final = 1_000


@cache
def a_work() -> Work:
    """Return the work on a stream of one partition."""
    text = PROJECT.format(stream=STREAM).replace("partitions: 4", "partitions: 1")
    return work_of(normalise(loads(text).project), "00000001-simulated")


@cache
def a_held_work() -> Work:
    """Return the same with other versions of the views, of the same values, held beside it."""
    text = PROJECT.format(stream=STREAM).replace("partitions: 4", "partitions: 1")
    project = normalise(loads(text).project)
    for view in project.views:
        view.ttl.FromSeconds(YEAR_SECONDS)
    return a_work().with_held(work_of(project, a_work().generation))


class World:
    """One partition from its first record on; every method is a step of a history."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.broker = MemoryBroker(FIRST_MS)
        self.work = a_work()
        (self.stream,) = self.work.streams.values()
        self.raw = TopicPartition(self.stream.topic, 0)
        self.reader = Reader(self.broker, self.stream)
        self.held_reader: Reader | None = None
        self.rows: list[Row] = []
        self._trimmed: list[Record] = []
        self._numbers = itertools.count()
        self._settings = Settings(
            listen="",
            kafka="",
            registry="",
            data=folder,
            archive=str(folder / "archive"),
            flush_bytes=FLUSH_BYTES,
        )
        self.full = False
        self.overlapped = 0
        self._capacity = Capacity(1, lambda: int(self.full), itertools.count().__next__)
        self._workers: list[Worker] = []
        self._owner: Worker | None = None
        self._zombies: list[Worker] = []
        self._builders: list[asyncio.Task[None]] = []
        self._patches = pytest.MonkeyPatch()
        module = "tidemill_common.kafka"
        self._patches.setattr(f"{module}.transactions.AIOKafkaProducer", MemoryProducer)
        self._patches.setattr(f"{module}.reading.AIOKafkaConsumer", MemoryConsumer)
        options: Any = Owner.flush.__kwdefaults__
        self._patches.setitem(options, "chunk_bytes", CHUNK_BYTES)
        options = stretch.__kwdefaults__
        self._patches.setitem(options, "piece", PIECE_RECORDS)

    def close(self) -> None:
        """End everything."""
        for one in self._workers:
            self.loop.run_until_complete(one.stop())
        self.end_builders()
        self.loop.close()
        self._patches.undo()

    # --- what happens around the worker -------------------------------------------------------

    def publish(self, rows: Sequence[Row]) -> None:
        """Append a record of rows."""
        self.rows += rows
        self.broker.append(self.raw, encoded(self.stream.spec, rows))

    def publish_garbage(self, value: bytes) -> None:
        """Append a record that is none."""
        self.broker.append(self.raw, value)

    def archive(self, before: int) -> None:
        """Archive what lies before an offset of the raw topic; called once."""
        stream = self.stream
        records, _ = self.broker.read(self.raw, 0, committed=True, limit=before)
        events = decode(stream.spec, stream.schema, records)
        verdict = PartitionVerdict(IdWindow(stream.spec.dedupe_us), stream.spec.lateness_us)
        found = verdict.decide(events.ids, events.time_us, events.append_us)
        piece = Piece(0, before, verdict.watermark_us, events, found)
        Archive(self._settings.archive, stream).append([piece])

    def trim(self, before: int) -> None:
        """Let the raw topic forget what lies before an offset."""
        self._trimmed, _ = self.broker.read(self.raw, 0, committed=True, limit=before)
        self.broker.trim(self.raw, before)

    def pass_time(self, ms: int) -> None:
        """Let the broker's clock go on."""
        self.broker.now_ms += ms

    def expire_transactions(self) -> None:
        """Let the broker abort what dead producers left open."""
        if self._owner is None and not self._zombies:
            self.broker.expire()

    def a_row(self, user: int, cents: int, back_s: float) -> Row:
        """Return a new row, so many seconds old by the broker's clock."""
        number = next(self._numbers)
        at = self.broker.now_ms * _US - round(back_s * SECOND_US)
        return Row(f"e{number}", f"u{user}", f"s{user % 3}", cents / 100, "", at)

    # --- what the worker does ------------------------------------------------------------------

    def take_over(
        self, trouble: int = -1, how: How = How.CRASH, pace: Callable[[], int] = int
    ) -> None:
        """Open the partition in a new process; the old one, if it lives, is not told."""
        if self._owner is not None:
            self._zombies.append(self._owner)
            self._owner = None
        worker = Worker(
            Process(self.broker, trouble, how, pace=pace),
            self.work,
            self._settings,
            self._capacity,
        )
        self._workers.append(worker)
        if self._survived(worker.open()):
            worker.process.trouble = -1
            self._owner = worker

    def leave_out(self, keys: AbstractSet[str]) -> None:
        """Let the next owner work on everything but some views."""
        self.work = a_work().without(keys)

    def build_beside(self, pace: Callable[[], int]) -> None:
        """Begin to build what the owner's work leaves out, in a process that is told nothing."""
        left_out = a_work().beside(self.work.keys)
        life = build(Process(self.broker, pace=pace), left_out, self._settings.archive)
        self._builders.append(self.loop.create_task(life))

    def end_builders(self) -> None:
        """Let every builder come to its end, which may be that it was fenced."""
        for one in self._builders:
            self._survived(one)
        self._builders.clear()

    def hold(self) -> None:
        """Let the next owner work on what is held, too."""
        self.work = a_held_work()
        (stream,) = self.work.held.values()
        self.held_reader = Reader(self.broker, stream)

    def release(self) -> None:
        """Let the next owner work on nothing that is held."""
        self.work, self.held_reader = a_work(), None

    def flush(
        self, records: int, trouble: int = -1, how: How = How.CRASH, *, ahead: bool = False
    ) -> None:
        """Let the owner gather up to so many records and flush them; none: it is idle.

        `ahead`: a record a flush, each decided while the one before is written.
        """
        worker = self._owner
        if worker is None:
            return
        worker.process.trouble, worker.process.how = trouble, how
        if not self._survived(worker.do(self._gather_and_flush(worker.tap, records, ahead=ahead))):
            self._owner = None
        worker.process.trouble = -1

    def ask_for_snapshots(self) -> None:
        """Let the owner's next flush begin a snapshot of every log that has grown."""

        async def command(partition: Partition) -> None:
            for ledger in partition._ledgers.values():
                ledger.since = -math.inf

        self.do(command)

    def do(self, command: Command) -> None:
        """Let the owner do something."""
        if self._owner is not None:
            self.loop.run_until_complete(self._owner.do(command))

    def wake_zombie(self, records: int) -> None:
        """Let the oldest owner that was not told go on.

        Its flush is refused if another owns the partition; if every takeover died before it had
        fenced, it is the owner still.
        """
        if not self._zombies:
            return
        zombie = self._zombies.pop(0)
        step = zombie.do(self._gather_and_flush(zombie.tap, records))
        survived = self._survived(step)
        if self._owner is not None:
            assert not survived, "an owner that was not told could write"
        elif survived:
            self._owner = zombie

    def _gather_and_flush(self, tap: Tap, records: int, *, ahead: bool = False) -> Command:
        async def command(partition: Partition) -> None:
            found, _ = self.broker.read(self.raw, partition._next, committed=True, limit=records)
            if found and tap.is_open:
                partition.offer(found)
            if ahead:
                await self._flush_ahead(partition)
            else:
                await partition._flush(partition._take())

        return command

    async def _flush_ahead(self, partition: Partition) -> None:
        with pytest.MonkeyPatch.context() as patches:
            patches.setattr("tidemill_features.partition.FLUSH_RECORDS", 1)
            patches.setattr("tidemill_features.partition.THREAD_RECORDS", 1)
            for _ in range(len(partition._waiting)):
                await partition._flush(partition._take())
                self.overlapped += partition._writing is not None
            await partition._written()

    def _survived(self, step: Awaitable[None]) -> bool:
        """Run a step; whatever goes wrong in it ends the process, as in the product."""
        try:
            self.loop.run_until_complete(step)
        except (Crash, TidemillError):
            return False
        return True

    def flows(self) -> bool:
        """Say whether the owner takes records; a partition with much waiting holds them."""
        return self._owner is not None and self._owner.tap.is_open

    # --- what must come of it ------------------------------------------------------------------

    def settle(self) -> None:
        """Open the partition once more and decide everything there is."""
        self.full = False
        self.take_over()
        for _ in range(PATIENCE_FLUSHES):
            end = self.broker.end_of(self.raw, committed=True)
            if all(reader.catch_up() >= end for reader in self._readers):
                return
            self.flush(50)
        raise AssertionError("the worker does not get to the end")

    def findings(self) -> list[checkers.Finding]:
        """Compare both readers, the late topic and the dead letters with the recomputation."""
        expected = Expected()
        start = self.broker.start_of(self.raw)
        records, _ = self.broker.read(self.raw, start, committed=True)
        decide([*self._trimmed, *records], self.stream.schema, expected)
        fresh = Reader(self.broker, self.stream)
        fresh.catch_up()
        late, dead = self._letters(topics.late), self._letters(topics.dead_letters)
        return [
            finding
            for reader in (*self._readers, fresh)
            for finding in (
                *checkers.order(reader.seen),
                *checkers.effect(expected, reader.views(expected), late, dead),
            )
        ]

    @property
    def _readers(self) -> list[Reader]:
        return [self.reader, *([self.held_reader] if self.held_reader is not None else [])]

    def _letters(self, topic: Callable[[str], topics.Topic]) -> list[Letter]:
        tp = TopicPartition(topic(self.stream.topic).name, 0)
        found, _ = self.broker.read(tp, 0, committed=True)
        return [as_letter(dead_letters.from_record(record)) for record in found]
