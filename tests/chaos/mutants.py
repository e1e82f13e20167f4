"""Eight mistakes that streaming systems are known for, put back into a worker of ours.

Each replaces something of the product in a process of the harness, never in the product's code. A
suite that does not catch all of them is no evidence for anything.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from tests.chaos.faults import Scenario
from tests.chaos.plans import full, mutation
from tests.chaos.report import Report
from tidemill.errors import TidemillError, Unavailable
from tidemill_common.kafka import Follower, TopicPartition, Transaction, TransactionalProducer
from tidemill_common.kafka.reading import ends
from tidemill_features.flushing import PartitionState
from tidemill_features.partition import Partition
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.table import TileTable

logger = logging.getLogger(__name__)

EVERY: Final = 25
"""Of so many flushes one meets what the mistake makes of it."""
CRASH_EVERY: Final = 12
SLOW_OPENING_S: Final = 2.0


Put = Callable[[type, str, Callable[..., Any]], None]
"""Puts a function in the place of a class's own: setattr, or what undoes it after a test."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake, the checkers of which one at least must see it, and how much load shows it.

    No-fence and unawaited-send need the whole of the plan; what every flush does wrong shows before its first fault. A
    mistake with which a run `settles` must be seen in one that did: behind work that is not done yet
    anything is missing.
    """

    what: str
    mistake: Callable[[Put], None]
    seen_by: frozenset[str]
    seconds: float
    settles: bool = True


def put(owner: type, name: str, by: Callable[..., Any]) -> None:
    """Replace for good what must be there."""
    if not hasattr(owner, name):
        raise AttributeError(f"{owner.__name__} has no {name}: this mutant is out of date")
    setattr(owner, name, by)


def caught(report: Report) -> bool:
    """Tell whether the run of a mutant was found out by a checker that can know."""
    mutant, seen = MUTANTS[report.mutant], report.broken()
    if mutant.settles and (not report.settled_s or None in report.settled_s.values()):
        seen -= {"C3"}
    return bool(seen & mutant.seen_by)


def _commit_before_the_log(put: Put) -> None:
    """Commit what was read, then write what came of it; the process may end in between."""
    write: Any = TransactionalProducer._write
    numbers = itertools.count(1)

    async def first_the_offsets(self: TransactionalProducer, collected: Transaction) -> None:
        if collected.offsets:
            records, collected.records = collected.records, []
            await write(self, collected)
            if next(numbers) % CRASH_EVERY == 0:
                os._exit(1)
            collected.records, collected.offsets = records, {}
        await write(self, collected)

    put(TransactionalProducer, "_write", first_the_offsets)


def _no_fence(put: Put) -> None:
    """Write under a transactional id of one's own: an owner that was paused is not stopped."""
    prepare: Any = TransactionalProducer.__init__

    def alone(self: TransactionalProducer, broker: Any, name: str, stable: Any = None) -> None:
        prepare(self, broker, f"{name}.{uuid.uuid4().hex}", stable)

    put(TransactionalProducer, "__init__", alone)


def _no_event_ids(put: Put) -> None:
    """Take every row as a new event."""

    def never(self: IdWindow, ids: Any, append_us: Any) -> Any:
        return np.zeros(len(ids), dtype=np.bool_)

    put(IdWindow, "check_and_add", never)


def _ack_in_finally(put: Put) -> None:
    """Count a flush as done however it ended."""
    numbers = itertools.count(1)

    def done_anyway(write: Any) -> Callable[..., Any]:
        async def done(self: TransactionalProducer, collected: Transaction) -> None:
            try:
                if next(numbers) % EVERY == 0:
                    raise Unavailable("the broker is busy")
                await write(self, collected)
            except TidemillError:
                logger.exception("mutant.swallowed")

        return done

    for name in ("_write", "_append"):
        put(TransactionalProducer, name, done_anyway(getattr(TransactionalProducer, name)))


def _unawaited_send(put: Put) -> None:
    """Commit, or go on, without asking what became of the sends."""

    async def not_awaited(self: TransactionalProducer, collected: Transaction) -> None:
        for record in collected.records:
            await self._client.send(**record)
        for group, offsets in collected.offsets.items():
            await self._client.send_offsets_to_transaction(offsets, group)

    async def not_looked_at(self: TransactionalProducer, collected: Transaction) -> None:
        with self._outside_of_transactions():
            for record in collected.records:
                await self._client.send(**record)

    put(TransactionalProducer, "_send_all", not_awaited)
    put(TransactionalProducer, "_append", not_looked_at)


def _seek_while_fetching(put: Put) -> None:
    """Read on from where the topic is once the partition is open, and trust that none is missing.

    It is what a seek does that overtakes a fetch.
    """
    add: Any = Follower.add

    async def seek(self: Any, partitions: Mapping[TopicPartition, int | None]) -> None:
        raw = [tp for tp in partitions if tp.topic.startswith("events.")]
        if raw:
            await asyncio.sleep(SLOW_OPENING_S)
        await add(self, {**partitions, **await ends(self._look, raw)})

    def offer(self: Any, records: Any) -> None:
        self._next = records[-1].offset + 1
        self._waiting.extend(records)
        self._wake.set()

    def trusting(self: PartitionState, records: Any) -> list[Any]:
        return [record for record in records if record.offset >= self.position]

    put(Follower, "add", seek)
    put(Partition, "offer", offer)
    put(PartitionState, "new_records", trusting)


def _late_dropped(put: Put) -> None:
    """Say nothing of late rows."""
    decide: Any = PartitionState.flush

    def silently(self: PartitionState, records: Any) -> Any:
        return replace(decide(self, records), late=())

    put(PartitionState, "flush", silently)


def _wall_clock_expiry(put: Put) -> None:
    """Let tiles expire by the clock on the wall."""
    evict: Any = TileTable.evict

    def by_the_clock(self: TileTable, watermark_us: int, **options: Any) -> Any:
        return evict(self, max(watermark_us, time.time_ns() // 1_000), **options)

    put(TileTable, "evict", by_the_clock)


MUTANTS: Final[Mapping[str, Mutant]] = {
    "commit-before-log": Mutant(
        "the offset is committed before the log is written",
        _commit_before_the_log,
        frozenset({"C3"}),
        seconds=16.0,
    ),
    "no-fence": Mutant(
        "a paused owner may write on",
        _no_fence,
        frozenset({"C3", "C4"}),
        seconds=30.0,
        settles=False,
    ),
    "no-event-ids": Mutant(
        "every row is a new event", _no_event_ids, frozenset({"C3"}), seconds=4.0
    ),
    "ack-in-finally": Mutant(
        "a flush counts as done however it ended",
        _ack_in_finally,
        frozenset({"C3", "C4"}),
        seconds=12.0,
        settles=False,
    ),
    "unawaited-send": Mutant(
        "a transaction commits although a send in it failed",
        _unawaited_send,
        frozenset({"C3", "C4"}),
        seconds=30.0,
    ),
    "seek-while-fetching": Mutant(
        "records flow while the partition is opened",
        _seek_while_fetching,
        frozenset({"C3"}),
        seconds=16.0,
        settles=False,
    ),
    "late-dropped": Mutant("late rows vanish", _late_dropped, frozenset({"C3"}), seconds=4.0),
    "wall-clock-expiry": Mutant(
        "tiles expire by the wall clock", _wall_clock_expiry, frozenset({"C3"}), seconds=4.0
    ),
}

LANES: Final = 2
RUN_S: Final = 13.0
"""What a run takes besides its load."""
CONTROL: Final = "mutation"
"""The plan of the mutants, without a mistake."""


def plan_of(name: str, seed: int) -> Scenario:
    """Return what a mutant meets: the beginning of the plan; the control meets all of it.

    A scenario that runs in a lane has its own.
    """
    if name in MUTANTS:
        return mutation(seed).cut(MUTANTS[name].seconds)
    return {one.name: one for one in (mutation(seed), *full(seed))}[name]


def shared_out(names: Sequence[str], seed: int) -> list[list[str]]:
    """Share all of them out to lanes that take about as long; no lane is empty."""
    lanes: list[list[str]] = [[] for _ in range(LANES)]
    for one in sorted(names, key=lambda name: -plan_of(name, seed).seconds):
        min(lanes, key=lambda lane: lane_s(lane, seed)).append(one)
    return [lane for lane in lanes if lane]


def lane_s(names: Sequence[str], seed: int) -> float:
    """Return about how many seconds a lane takes."""
    return sum(plan_of(name, seed).seconds + RUN_S for name in names)
