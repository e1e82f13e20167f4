"""From appending an event to its count in the committed output, under a steady rate of events.

Each probe is an event of a key of its own, appended among the others; it is over when a
`read_committed` reader of the output has its count, which must be 1.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.peers.processes import PeerFailed
from benchmarks.peers.workload import PARTITIONS
from tidemill_common.kafka import (
    Broker,
    Producer,
    Record,
    TopicPartition,
    following,
    producing,
)

KEYS = 5_000
PROBE_EVERY_S = 0.05
STEP_S = 0.005
FIRST_S = 90.0
LAST_S = 60.0
WARM_S = 5.0


@dataclass(slots=True)
class Probes:
    """When each probe was appended, how long those that came back took, events/s of the load."""

    appended: dict[bytes, float] = field(default_factory=dict)
    seconds: dict[bytes, float] = field(default_factory=dict)
    wrong: int = 0
    published: float = 0.0

    def forget(self) -> None:
        """Start anew: those so far were to warm up."""
        self.appended.clear()
        self.seconds.clear()

    def seen(self, key: bytes, value: bytes, now: float) -> None:
        """Take an output record; a probe that comes twice or with another count is wrong."""
        if key in self.seconds or key not in self.appended or value != b"1":
            self.wrong += 1
        else:
            self.seconds[key] = now - self.appended[key]


def event(number: int, key: str) -> bytes:
    """Return an event's JSON."""
    return b'{"id":"%d","key":"%s","at":%d,"value":1.00}' % (
        number,
        key.encode(),
        time.time_ns() // 1_000_000,
    )


async def measure(kafka: str, topic: str, output: str, rate: float, seconds: float) -> Probes:
    """Probe for so long at a rate; raise PeerFailed if the first or a later probe is lost."""
    probes, numbers = Probes(), itertools.count()

    def take(_: TopicPartition, records: Sequence[Record]) -> None:
        now = time.perf_counter()
        for record in records:
            probes.seen(record.key or b"", record.value or b"", now)

    places = {TopicPartition(output, number): None for number in range(PARTITIONS)}
    async with (
        producing(Broker(kafka), linger_ms=0) as producer,
        following(Broker(kafka), places, take),
    ):
        await _probe(producer, topic, probes, numbers)
        await _all_back(probes, FIRST_S)
        first, begun = next(numbers), time.perf_counter()
        noise = asyncio.create_task(_noise(producer, topic, rate, numbers))
        try:
            await asyncio.sleep(WARM_S)
            probes.forget()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                await _probe(producer, topic, probes, numbers)
                await asyncio.sleep(PROBE_EVERY_S)
            probes.published = (next(numbers) - first) / (time.perf_counter() - begun)
            await _all_back(probes, LAST_S)
        finally:
            noise.cancel()
    return probes


async def _probe(producer: Producer, topic: str, probes: Probes, numbers: Iterator[int]) -> None:
    number = next(numbers)
    key = f"probe{number}"
    probes.appended[key.encode()] = time.perf_counter()
    value = event(number, key)
    producer.enqueue(topic, value, key=key.encode(), partition=number % PARTITIONS)


async def _all_back(probes: Probes, within_s: float) -> None:
    end = time.perf_counter() + within_s
    while len(probes.seconds) < len(probes.appended):
        if time.perf_counter() > end:
            lost = len(probes.appended) - len(probes.seconds)
            raise PeerFailed(f"{lost} of {len(probes.appended)} probes were not answered")
        await asyncio.sleep(STEP_S)


async def _noise(producer: Producer, topic: str, rate: float, numbers: Iterator[int]) -> None:
    begun, sent = time.perf_counter(), 0
    while True:
        due = int((time.perf_counter() - begun) * rate) - sent
        for _ in range(due):
            number = next(numbers)
            key = f"k{number % KEYS}"
            place = number % KEYS % PARTITIONS
            producer.enqueue(topic, event(number, key), key=key.encode(), partition=place)
        sent += due
        await asyncio.sleep(STEP_S)
