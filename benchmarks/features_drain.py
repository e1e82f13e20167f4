"""How fast one features worker drains a backlog of columnar records, its feature log on.

The backlog lies in Kafka before the worker starts; the rate runs from the first committed flush to
the last one, as the group's offsets say, so start-up is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.harness import write
from tidemill.errors import Unavailable
from tidemill.project import loads, normalise
from tidemill_common import events, topics
from tidemill_common.feature_views import StreamSpec, stream_spec, view_spec
from tidemill_common.kafka import Admin, Broker, TopicPartition, administering, producing
from tidemill_features.settings import GROUP
from tidemill_features.testing import one_project
from tidemill_local.library import LocalStack

PROJECT = """
project: bench
streams:
  trades:
    key: [account]
    partitions: 2
    replay: true
    lateness: 1d
    fields:
      account: {type: string, required: true}
      price: {type: float64, resolution: 0.01}
      items: {type: int64}
views:
  accounts:
    stream: trades
    entity: [account]
    aggregations:
      - {function: count, windows: [5m, 1h, 1d]}
      - {function: sum, field: price, windows: [5m, 1h, 1d]}
      - {function: mean, field: price, windows: [5m, 1h, 1d]}
      - {function: var, field: price, windows: [5m, 1h, 1d]}
      - {function: min, field: price, windows: [5m, 1h, 1d]}
      - {function: max, field: price, windows: [5m, 1h, 1d]}
      - {function: last, field: price, windows: [5m, 1h, 1d]}
      - {function: sum, field: items, windows: [5m, 1h, 1d]}
"""
RECORD = 500
SPACING_US = 20
POLL_S = 0.05
LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Drained:
    """What was seen of the group's offsets."""

    events: int
    seconds: float
    cpu_seconds: float


def record(
    schema: pa.Schema,
    rng: np.random.Generator,
    first: int,
    now_us: int,
    spacing_us: int = SPACING_US,
) -> bytes:
    """Return one record of 500 events."""
    number = np.arange(first, first + RECORD)
    account = rng.integers(0, ACCOUNTS, RECORD)
    time_us = pa.array(now_us + number * spacing_us).cast(events.TIMESTAMP)
    columns = [
        pa.array([f"t{one}" for one in number.tolist()]),
        pa.array(["bench"] * RECORD),
        time_us,
        time_us,
        pa.nulls(RECORD, pa.string()),
        pa.array([f"a{one}" for one in account.tolist()]),
        pa.array(rng.integers(0, 100_000, RECORD) / 100.0),
        pa.array(rng.integers(1, 10, RECORD)),
    ]
    assert len(columns) == len(schema)
    return events.encode(pa.RecordBatch.from_arrays(columns, schema=schema))


ACCOUNTS = 10_000


async def fill(broker: Broker, spec: StreamSpec, total: int) -> None:
    """Append the backlog."""
    rng = np.random.default_rng(7)
    schema = events.event_schema(spec.columns)
    now_us = time.time_ns() // 1_000 - total * SPACING_US
    async with producing(broker) as producer:
        for number in range(total // RECORD):
            value = record(schema, rng, number * RECORD, now_us)
            producer.enqueue(spec.topic.name, value, partition=number % spec.partitions)
            if producer.waiting > RECORD:
                await producer.flush(60.0)
        await producer.flush(60.0)


async def drained(admin: Admin, spec: StreamSpec, worker: psutil.Process) -> Drained:
    """Watch the group's offsets from the first flush to the last."""
    tps = [TopicPartition(spec.topic.name, number) for number in range(spec.partitions)]
    total = sum((await admin.end_offsets(tps)).values())
    begun, busy, first = 0.0, 0.0, 0
    async with asyncio.timeout(LIMIT_S):
        while True:
            at, now = await position(admin, tps), time.perf_counter()
            if at and not begun:
                begun, busy, first = now, cpu(worker), at
            if at == total:
                return Drained((total - first) * RECORD, now - begun, cpu(worker) - busy)
            await asyncio.sleep(POLL_S)


def cpu(process: psutil.Process) -> float:
    """Return the processor seconds that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def position(admin: Admin, tps: list[TopicPartition]) -> int:
    """Return how many records the group has done; a new broker has no groups at first."""
    try:
        committed = await admin.committed(GROUP)
    except Unavailable:
        return 0
    return sum(committed.get(tp, 0) for tp in tps)


async def log_records(admin: Admin, spec: StreamSpec, log: topics.Topic) -> int:
    """Return how many records the feature log has, markers included."""
    tps = [TopicPartition(log.name, number) for number in range(spec.partitions)]
    return sum((await admin.end_offsets(tps)).values())


async def measure(kafka: str, folder: Path, total: int) -> dict[str, object]:
    """Fill, start the worker, watch."""
    project = normalise(loads(PROJECT).project)
    spec, broker = stream_spec(project, "trades"), Broker(kafka)
    async with one_project(project) as (registry, _), administering(broker) as admin:
        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic])
        await fill(broker, spec, total)
        environment = os.environ | {
            "TIDEMILL_KAFKA": kafka,
            "TIDEMILL_REGISTRY": registry,
            "TIDEMILL_LISTEN": "127.0.0.1:0",
            "TIDEMILL_DATA": str(folder / "worker"),
        }
        with (folder / "worker.log").open("wb") as log:
            worker = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tidemill_features", "worker", env=environment, stderr=log
            )
            try:
                found = await drained(admin, spec, psutil.Process(worker.pid))
            finally:
                worker.terminate()
                await worker.wait()
        records = await log_records(admin, spec, view_spec(project, "accounts").log("trades"))
    return {
        "events": found.events,
        "seconds": round(found.seconds, 3),
        "events_per_second": round(found.events / found.seconds),
        "cpu_seconds": round(found.cpu_seconds, 3),
        "events_per_cpu_second": round(found.events / found.cpu_seconds),
        "log_records": records,
        "entities": ACCOUNTS,
        "events_per_record": RECORD,
        "aggregations_x_windows": "8 x 3",
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=4_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        with LocalStack(folder / "stack", services=[], parts=["kafka"]) as stack:
            figures = asyncio.run(measure(stack.address("kafka"), folder, options.events))
    write(
        "features_drain",
        {
            "what": "one features worker draining a backlog, feature log on",
            "reach": ">= 300,000 events/s",
            **figures,
        },
    )


if __name__ == "__main__":
    main()
