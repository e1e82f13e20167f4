"""Watch the feature logs as a reader does, and how far behind the raw topic they are."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from tests.chaos.checkers import Sample, Seen
from tidemill.errors import Transient
from tidemill_common.beside import beside
from tidemill_common.feature_views import ViewSpec
from tidemill_common.kafka import Admin, Broker, Record, TopicPartition, administering, following
from tidemill_tiles.codec import decode_header

EVERY_S: Final = 0.1
_MS: Final = 1_000


class Watch:
    """What a reader without a state sees; made by `watching`."""

    def __init__(self, specs: Sequence[ViewSpec], raw: Sequence[TopicPartition]) -> None:
        self._specs = specs
        self._raw = raw
        self._logs = {
            TopicPartition(log.name, tp.partition): tp
            for spec in specs
            for log in spec.logs()
            for tp in raw
        }
        self._resets = 0
        self._waiting: deque[tuple[float, dict[TopicPartition, int]]] = deque()
        self.seen: dict[TopicPartition, list[Seen]] = defaultdict(list)
        self.samples: list[Sample] = []
        self.appended: list[tuple[float, int]] = []
        """How many records were in the raw topic at a moment of the wall clock, in milliseconds."""

    @property
    def logs(self) -> dict[TopicPartition, int | None]:
        """Return what to follow: every log from its start."""
        return dict.fromkeys(self._logs)

    def records(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        """Remember records of one log."""
        seen = self.seen[tp]
        for record in records:
            if record.value is None:  # a new owner's fence
                continue
            header = decode_header(record.value)
            seen.append(
                Seen(
                    record.offset,
                    header.position,
                    header.watermark_us,
                    header.generation,
                    record.timestamp_ms,
                )
            )

    def position(self, raw: TopicPartition) -> int:
        """Return below which offset every view has decided a raw partition."""
        known = (self.seen[log] for log, source in self._logs.items() if source == raw)
        return min((seen[-1].position if seen else 0 for seen in known), default=0)

    def decided(self, at_ms: float) -> int:
        """Return how many records of the raw topic every view had decided at a moment."""
        reached: dict[TopicPartition, list[int]] = defaultdict(list)
        for log, source in self._logs.items():
            before = [one.position for one in self.seen[log] if one.written_ms <= at_ms]
            reached[source].append(max(before, default=0))
        return sum(min(positions) for positions in reached.values())

    def resolve(self) -> None:
        """Note every sample whose records are all decided by now."""
        now = time.monotonic()
        while self._waiting:
            taken, ends = self._waiting[0]
            if any(self.position(tp) < end for tp, end in ends.items()):
                return
            self._waiting.popleft()
            self.samples.append(Sample(taken, now))

    async def sample(self, broker: Broker) -> None:
        """Take the ends of the raw topic for ever; while the broker is away there are none."""
        while True:
            with contextlib.suppress(Transient):
                async with administering(broker) as admin:
                    await self._sample(admin)
            await asyncio.sleep(EVERY_S)

    async def _sample(self, admin: Admin) -> None:
        while True:
            ends = await admin.end_offsets(self._raw)
            self._waiting.append((time.monotonic(), ends))
            self.appended.append((time.time() * _MS, sum(ends.values())))
            await asyncio.sleep(EVERY_S)

    async def resolving(self) -> None:
        """Resolve for ever."""
        while True:
            self.resolve()
            await asyncio.sleep(EVERY_S / 5)

    def finish(self) -> None:
        """Note the samples that were never decided."""
        self.resolve()
        self.samples += [Sample(taken, None) for taken, _ in self._waiting]
        self._waiting.clear()

    def silence_s(self, from_ms: float, to_ms: float) -> float:
        """Return for how long, at most, any log was silent between two moments."""
        longest = 0.0
        last = max((seen[-1].written_ms for seen in self.seen.values() if seen), default=0)
        for seen in self.seen.values():
            written = (one.written_ms for one in seen if from_ms < one.written_ms < to_ms)
            times = [from_ms, *written, min(to_ms, last)]
            longest = max(longest, *(after - before for before, after in pairwise(times)))
        return longest / _MS


@contextlib.asynccontextmanager
async def watching(
    broker: Broker, specs: Mapping[str, ViewSpec], raw: Sequence[TopicPartition]
) -> AsyncIterator[Watch]:
    """Watch the logs of these views while the block runs."""
    watch = Watch(list(specs.values()), raw)
    async with (
        following(broker, watch.logs, watch.records),
        beside(watch.sample(broker), "sample"),
        beside(watch.resolving(), "resolve"),
    ):
        yield watch
