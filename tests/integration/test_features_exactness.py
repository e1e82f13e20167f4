"""Features are exact although their worker is killed: nothing lost, nothing twice, poison set aside.

The load has 10 % duplicates, 5 % out of order, late events and 1 % poison rows, and some records
that are no records at all. What the feature logs say at the end is compared with a plain
recomputation, event by event, from the raw topic.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tidemill.errors import Invalid
from tidemill.ingestion.v1.ingestion_service_pb2 import Position
from tidemill.project import loads, normalise
from tidemill_common import events, topics
from tidemill_common.feature_replica import FeatureReplica, replicating
from tidemill_common.feature_views import StreamSpec, stream_spec
from tidemill_common.kafka import (
    Admin,
    Broker,
    Producer,
    Record,
    TopicPartition,
    administering,
    dead_letters,
    producing,
)
from tidemill_common.kafka.ranges import stretch
from tidemill_features.testing import one_project
from tidemill_local.library import LocalStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PROJECT = """
project: exact
streams:
  exact_clicks:
    key: [user]
    replay: true
    lateness: 2m
    dedupe: 10m
    partitions: 2
    fields:
      user: {type: string, required: true}
      shop: {type: string}
      amount: {type: float64, resolution: 0.01}
views:
  exact_users:
    stream: exact_clicks
    entity: [user]
    aggregations:
      - {function: count, windows: [1h]}
      - {function: sum, field: amount, windows: [1h]}
  exact_shops:
    stream: exact_clicks
    entity: [shop]
    aggregations:
      - {function: count, windows: [1h]}
      - {function: sum, field: amount, windows: [1h]}
"""
STREAM = "exact_clicks"
SECOND_US = 1_000_000
LATENESS_US = 120 * SECOND_US
SKEW_US = 300 * SECOND_US
USERS, SHOPS = 200, 20
RECORD_ROWS = 40
LOAD_SECONDS = 13.0
KILL_EVERY = 2.5
MIN_KILLS = 5
MIN_DUPLICATES = 1_000
SEED = int(os.environ.get("CHAOS_SEED", "20130101"))


@dataclass
class Worker:
    """A features worker that comes back when it ends, as under a supervisor."""

    environment: dict[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    starts: int = 0

    async def run(self) -> None:
        """Start it, and again whenever it ends, until cancelled."""
        with self.log.open("ab") as log:
            while True:
                self.process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "tidemill_features",
                    "worker",
                    env=self.environment,
                    stderr=log,
                )
                self.starts += 1
                try:
                    await self.process.wait()
                except asyncio.CancelledError:
                    self.kill()
                    await self.process.wait()
                    raise

    def kill(self) -> None:
        """Kill -9."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()


@contextlib.asynccontextmanager
async def working(
    broker: Broker, registry: str, folder: Path, **settings: str
) -> AsyncIterator[Worker]:
    """Run a supervised worker."""
    environment = os.environ | {
        "TIDEMILL_KAFKA": broker.address,
        "TIDEMILL_REGISTRY": registry,
        "TIDEMILL_LISTEN": "127.0.0.1:0",
        "TIDEMILL_DATA": str(folder / "worker"),
        "TIDEMILL_ARCHIVE": str(folder / "archive"),
        **{f"TIDEMILL_FEATURES_{name}": value for name, value in settings.items()},
    }
    worker = Worker(environment, folder / "worker.log")
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Load:
    """Makes records of events with everything that can be wrong with them."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self.schema = events.event_schema(spec.columns)
        self.rng = np.random.default_rng(SEED)
        self.sent: list[tuple[str, str, str, float, int]] = []
        self.numbers = 0

    def rows(self, partition: int, now_us: int) -> list[tuple[str, str, str, float, int]]:
        """Return rows (id, user, shop, amount, time) of one record."""
        rows = []
        for _ in range(RECORD_ROWS):
            draw = self.rng.random()
            if draw < 0.10 and self.sent:
                old = self.sent[int(self.rng.integers(len(self.sent)))]
                if int(old[1][1:]) % 2 == partition:
                    rows.append(old)
                    continue
            self.numbers += 1
            user = 2 * int(self.rng.integers(USERS // 2)) + partition
            amount = float(self.rng.integers(100_000)) / 100
            time_us = now_us
            if draw < 0.15:
                time_us -= int(self.rng.integers(30 * SECOND_US))
            elif draw < 0.17:
                time_us -= LATENESS_US + int(self.rng.integers(1, 600)) * SECOND_US
            elif draw < 0.18:
                amount = float("nan") if self.numbers % 2 else 1e15
            row = (f"e{self.numbers}", f"u{user}", f"s{user % SHOPS}", amount, time_us)
            rows.append(row)
            self.sent.append(row)
        return rows

    def record(self, partition: int) -> bytes:
        """Return one record; one in fifty is garbage."""
        if self.rng.random() < 0.02:
            return bytes(self.rng.bytes(64))
        rows = self.rows(partition, time.time_ns() // 1_000)
        ids, users, shops, amounts, times = zip(*rows, strict=True)
        when = pa.array(times, pa.int64()).cast(events.TIMESTAMP)
        columns = [
            pa.array(ids),
            pa.array(["test"] * len(rows)),
            when,
            when,
            pa.nulls(len(rows), pa.string()),
            pa.array(users),
            pa.array(shops),
            pa.array(amounts, pa.float64()),
        ]
        return events.encode(pa.RecordBatch.from_arrays(columns, schema=self.schema))


async def publish(load: Load, producer: Producer, topic: str) -> None:
    """Append about 4,000 events a second for a while."""
    end = time.monotonic() + LOAD_SECONDS
    while time.monotonic() < end:
        for partition in (0, 1):
            producer.enqueue(topic, load.record(partition), partition=partition)
        await asyncio.sleep(2 * RECORD_ROWS / 4_000)
    assert await producer.flush(60.0) == 0


async def torment(worker: Worker) -> int:
    """Kill the worker every few seconds, whatever it is doing; return how often."""
    kills = 0
    for _ in range(int(LOAD_SECONDS / KILL_EVERY)):
        await asyncio.sleep(KILL_EVERY)
        worker.kill()
        kills += 1
    return kills


@dataclass(frozen=True)
class Platform:
    """What runs while events are published."""

    kafka: Broker
    spec: StreamSpec
    replica: FeatureReplica
    worker: Worker


@dataclass
class Expected:
    """What one partition's raw records must come to, computed one event at a time."""

    users: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    shops: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    dead: dict[tuple[int, int, int | None], bytes] = field(default_factory=dict)
    late: set[tuple[int, int, int]] = field(default_factory=set)
    duplicates: int = 0
    applied: int = 0


def recompute(records: list[Record], schema: pa.Schema, expected: Expected) -> None:
    """Decide every row of one partition by the rules of the design, in plain Python."""
    seen: set[str] = set()
    watermark = -(2**63)
    for record in records:
        value = record.value or b""
        try:
            rows = events.decode(value, schema).to_pylist()
        except Invalid:
            expected.dead[record.partition, record.offset, None] = value
            continue
        for number, row in enumerate(rows):
            amount = row["amount"]
            if not abs(amount * 100) < 2**48:
                expected.dead[record.partition, record.offset, number] = row["_id"].encode()
                continue
            time_us = round(row["_time"].timestamp() * SECOND_US)
            duplicate = row["_id"] in seen
            seen.add(row["_id"])
            late = time_us < watermark - LATENESS_US
            watermark = max(watermark, min(time_us, record.timestamp_ms * 1_000 + SKEW_US))
            if late:
                expected.late.add((record.partition, record.offset, number))
            elif duplicate:
                expected.duplicates += 1
            else:
                expected.applied += 1
                for sums, key in ((expected.users, row["user"]), (expected.shops, row["shop"])):
                    sums[key][0] += 1
                    sums[key][1] += round(amount * 100)


async def raw(broker: Broker, admin: Admin, topic: str, partition: int) -> list[Record]:
    """Return every record of a partition."""
    tp = TopicPartition(topic, partition)
    end = (await admin.end_offsets([tp]))[tp]
    return [record async for some in stretch(broker, tp, 0, end) for record in some]


def assert_equal(replica: FeatureReplica, view: str, sums: dict[str, list[int]]) -> None:
    """Compare every entity's count and sum."""
    keys = sorted(sums)
    found = replica.read(view, [(key,) for key in keys])
    assert found.values[:, 0].tolist() == [float(sums[key][0]) for key in keys]
    cents = [round(value * 100) for value in found.values[:, 1].tolist()]
    assert cents == [sums[key][1] for key in keys]


@contextlib.asynccontextmanager
async def platform(kafka: Broker, folder: Path) -> AsyncIterator[Platform]:
    """A registry, a worker and a replica that has read everything there is."""
    async with one_project(normalise(loads(PROJECT).project)) as (registry, servicer):
        spec = stream_spec(servicer.project, STREAM)
        async with administering(kafka) as admin:
            await admin.ensure([topics.REGISTRY_EVENTS, spec.topic])
        async with (
            replicating(kafka) as replica,
            working(kafka, registry, folder) as worker,
        ):
            await replica.adopt(servicer.project, servicer.current)
            async with asyncio.timeout(60.0):
                await replica.caught_up()
            yield Platform(kafka, spec, replica, worker)


async def assert_exact(platform: Platform, load: Load) -> Expected:
    """Wait until everything is decided, and compare all of it with the recomputation."""
    kafka, spec, replica = platform.kafka, platform.spec, platform.replica
    async with administering(kafka) as admin:
        ends = await admin.end_offsets(await admin.partitions(spec.topic.name))
        await replica.wait_for(
            [
                Position(stream=STREAM, partition=tp.partition, next_offset=end)
                for tp, end in ends.items()
            ],
            timeout=60.0,
        )
        expected = Expected()
        for partition in (0, 1):
            records = await raw(kafka, admin, spec.topic.name, partition)
            recompute(records, load.schema, expected)
        assert_equal(replica, "exact_users", expected.users)
        assert_equal(replica, "exact_shops", expected.shops)
        await assert_late_rows_are_on_the_late_topic_once(kafka, admin, spec, expected)
        await assert_poison_is_in_the_dead_letters_once(kafka, spec, load.schema, expected)
    return expected


async def test_counts_and_sums_are_exact_although_the_worker_is_killed_again_and_again(
    kafka: Broker, tmp_path: Path
) -> None:
    async with platform(kafka, tmp_path) as running, producing(kafka) as producer:
        load = Load(running.spec)
        _, kills = await asyncio.gather(
            publish(load, producer, running.spec.topic.name), torment(running.worker)
        )
        expected = await assert_exact(running, load)
        assert kills >= MIN_KILLS
        assert running.worker.starts > kills
        assert expected.duplicates > MIN_DUPLICATES
        assert expected.late


async def test_counts_and_sums_are_exact_although_the_broker_is_killed(tmp_path: Path) -> None:
    async with LocalStack(tmp_path / "stack", services=[], parts=["kafka"]) as stack:
        kafka = Broker(stack.address("kafka"), "test")
        async with platform(kafka, tmp_path) as running, producing(kafka) as producer:
            load = Load(running.spec)
            publishing = asyncio.create_task(publish(load, producer, running.spec.topic.name))
            for _ in range(2):
                await asyncio.sleep(LOAD_SECONDS / 3)
                await asyncio.to_thread(stack.kill, "kafka")
                await asyncio.to_thread(stack.wait_ready, "kafka")
            await publishing
            expected = await assert_exact(running, load)
            assert expected.applied


async def assert_late_rows_are_on_the_late_topic_once(
    kafka: Broker, admin: Admin, spec: StreamSpec, expected: Expected
) -> None:
    """Every late row is there, none twice."""
    places = []
    for record in await raw(kafka, admin, topics.late(spec.topic.name).name, 0):
        told = dead_letters.from_record(record)
        places.append((told.partition, told.offset, told.row))
    assert sorted(places) == sorted(expected.late)


async def assert_poison_is_in_the_dead_letters_once(
    kafka: Broker, spec: StreamSpec, schema: pa.Schema, expected: Expected
) -> None:
    """Garbage has its own bytes, a bad row is a record of its own; nothing is there twice."""
    letters = await dead_letters.read(kafka, spec.topic.name, limit=1_000_000)
    places = [(one.partition, one.offset, one.row) for one in letters]
    assert len(set(places)) == len(places)
    assert set(places) == set(expected.dead)
    for place, letter in zip(places, letters, strict=True):
        value = letter.record.value or b""
        if letter.row is None:
            assert value == expected.dead[place]
        else:
            (row,) = events.decode(value, schema).to_pylist()
            assert row["_id"].encode() == expected.dead[place]
