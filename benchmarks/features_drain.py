"""How fast one features worker drains a backlog of columnar records, its feature log on.

The backlog lies in Kafka before the worker starts; the rate runs from the first flush that a
reader of the log sees to the last one, so start-up is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.decided import watching
from benchmarks.harness import write
from tidemill.project import loads, normalise
from tidemill_common import events, topics
from tidemill_common.feature_views import StreamSpec, stream_spec, view_spec
from tidemill_common.kafka import Admin, Broker, TopicPartition, administering, producing
from tidemill_features.testing import one_project
from tidemill_local.library import LocalStack

if TYPE_CHECKING:
    import numpy.typing as npt

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
LIMIT_S = 300.0


def record(
    schema: pa.Schema,
    rng: np.random.Generator,
    first: int,
    now_us: int,
    spacing_us: int = SPACING_US,
    partition: int = 0,
    partitions: int = 1,
) -> bytes:
    """Return one record of 500 events; each partition has accounts of its own."""
    number = np.arange(first, first + RECORD)
    account = rng.integers(0, ACCOUNTS // partitions, RECORD) * partitions + partition
    time_us = pa.array(now_us + number * spacing_us).cast(events.TIMESTAMP)
    columns = [
        _named("t", number),
        pa.array(["bench"] * RECORD),
        time_us,
        time_us,
        pa.nulls(RECORD, pa.string()),
        _named("a", account),
        pa.array(rng.integers(0, 100_000, RECORD) / 100.0),
        pa.array(rng.integers(1, 10, RECORD)),
    ]
    assert len(columns) == len(schema)
    return events.encode(pa.RecordBatch.from_arrays(columns, schema=schema))


ACCOUNTS = 10_000


def _named(prefix: str, numbers: npt.NDArray[np.int64]) -> pa.Array:
    """Return texts of a prefix and a number each."""
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


async def fill(broker: Broker, spec: StreamSpec, total: int) -> None:
    """Append the backlog."""
    rng = np.random.default_rng(7)
    schema = events.event_schema(spec.columns)
    now_us = time.time_ns() // 1_000 - total * SPACING_US
    async with producing(broker) as producer:
        for number in range(total // RECORD):
            partition = number % spec.partitions
            value = record(
                schema,
                rng,
                number * RECORD,
                now_us,
                partition=partition,
                partitions=spec.partitions,
            )
            producer.enqueue(spec.topic.name, value, partition=partition)
            if producer.waiting > RECORD:
                await producer.flush(60.0)
        await producer.flush(60.0)


def cpu(process: psutil.Process) -> float:
    """Return the processor seconds that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def log_records(admin: Admin, spec: StreamSpec, log: topics.Topic) -> int:
    """Return how many records the feature log has, markers included."""
    tps = [TopicPartition(log.name, number) for number in range(spec.partitions)]
    return sum((await admin.end_offsets(tps)).values())


async def measure(kafka: str, folder: Path, total: int) -> dict[str, object]:
    """Fill, start the worker, watch."""
    project = normalise(loads(PROJECT).project)
    spec, broker = stream_spec(project, "trades"), Broker(kafka)
    view_log = view_spec(project, "accounts").log("trades")
    async with one_project(project) as (registry, _), administering(broker) as admin:
        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic, view_log])
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
                used = partial(cpu, psutil.Process(worker.pid))
                async with watching(broker, spec, view_log, total // RECORD, used) as decided:
                    found = await decided.figures(RECORD, LIMIT_S)
            finally:
                worker.terminate()
                await worker.wait()
        records = await log_records(admin, spec, view_log)
    return {
        **found,
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
