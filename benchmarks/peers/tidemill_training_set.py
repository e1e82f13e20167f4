"""Tidemill on the training-set row: the events lie in the archive, BuildTrainingSet joins them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.peers.pit_data import FEATURES, PitData
from benchmarks.peers.processes import Meter, PeerFailed, Usage
from benchmarks.training_set import build, first_build, server
from tidemill.errors import TidemillError
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.project import loads, normalise
from tidemill_common import events, topics
from tidemill_common.artifacts import Artifacts
from tidemill_common.feature_views import StreamSpec, stream_spec
from tidemill_common.kafka import Broker, administering, producing
from tidemill_features.testing import one_project

RECORD = 500
PARTITIONS = 2
SAMPLE_S = 0.2
FLUSH_S = 60.0
FIELDS = "".join(f"      {name}: {{type: float64, resolution: 0.01}}\n" for name in FEATURES)
LASTS = "".join(
    f"      - {{function: last, field: {name}, name: {name}, windows: [lifetime]}}\n"
    for name in FEATURES
)
PROJECT = f"""
project: peers
streams:
  readings:
    key: [entity]
    partitions: 2
    replay: true
    lateness: 1d
    fields:
      entity: {{type: string, required: true}}
{FIELDS}
  asked:
    key: [entity]
    partitions: 2
    replay: true
    lateness: 1d
    fields:
      entity: {{type: string, required: true}}
      outcome: {{type: float64, required: true}}
views:
  readings:
    stream: readings
    entity: [entity]
    aggregations:
{LASTS}
models:
  outcome:
    spine: {{stream: asked, key: [entity]}}
    inputs:
      - {{view: readings}}
    label: {{stream: asked, expression: outcome, max_delay: 1d, task: regression}}
    trainer: {{name: tabular}}
"""
REQUEST = pb.BuildTrainingSetRequest(model="outcome", unlabelled=True)


def records(spec: StreamSpec, data: PitData) -> Iterator[tuple[int, bytes]]:
    """Give (partition, columnar record) of a stream: feature rows, or labels."""
    asked = spec.name == "asked"
    entity = data.label_entity if asked else data.feature_entity
    time_us = data.label_time_us if asked else data.feature_time_us
    for partition in range(PARTITIONS):
        mine = np.flatnonzero(entity % PARTITIONS == partition)
        for start in range(0, len(mine), RECORD):
            rows = mine[start : start + RECORD]
            columns = _envelope(rows, time_us) | _entity(entity[rows])
            if asked:
                columns["outcome"] = pa.array(np.zeros(len(rows)))
            else:
                columns |= {
                    n: pa.array(data.cents[rows, at] / 100) for at, n in enumerate(FEATURES)
                }
            schema = events.event_schema(spec.columns)
            ordered = [columns[name] for name in schema.names]
            yield partition, events.encode(pa.RecordBatch.from_arrays(ordered, schema=schema))


def _envelope(rows: NDArray[np.int64], time_us: NDArray[np.int64]) -> dict[str, pa.Array]:
    at = pa.array(time_us[rows]).cast(events.TIMESTAMP)
    return {
        "_id": pa.array([str(one) for one in rows.tolist()]),
        "_source": pa.array(["bench"] * len(rows)),
        "_time": at,
        "_available": at,
        "_replay_of": pa.nulls(len(rows), pa.string()),
    }


def _entity(entity: NDArray[np.int64]) -> dict[str, pa.Array]:
    return {"entity": pa.array([f"n{one}" for one in entity.tolist()])}


async def measure(
    kafka: str, folder: Path, data: PitData, builds: int, limit_s: float
) -> list[tuple[Usage, dict[str, int]]]:
    """Publish, archive with a first build that does not count, then build so many times."""
    project, broker = normalise(loads(PROJECT).project), Broker(kafka)
    found: list[tuple[Usage, dict[str, int]]] = []
    async with one_project(project) as (registry, _), administering(broker) as admin:
        specs = [stream_spec(project, stream.name) for stream in project.streams]
        await admin.ensure([topics.REGISTRY_EVENTS, *(spec.topic for spec in specs)])
        async with producing(broker) as producer:
            for spec in specs:
                for partition, value in records(spec, data):
                    producer.enqueue(spec.topic.name, value, partition=partition)
                    if producer.waiting > RECORD:
                        await producer.flush(FLUSH_S)
            await producer.flush(FLUSH_S)
        try:
            async with asyncio.timeout(limit_s * (builds + 1)):
                async with server(kafka, registry, folder) as stub:
                    await first_build(stub, REQUEST)
                    for _ in range(builds):
                        meter = Meter(psutil.Process().children())
                        before = meter.cpu_seconds()
                        sampling = asyncio.create_task(_sample(meter))
                        result, seconds = await build(stub, REQUEST)
                        sampling.cancel()
                        used = meter.cpu_seconds() - before
                        usage = Usage(seconds, used, meter.peak / 2**20)
                        found.append((usage, judge(folder, result, data)))
        except (TidemillError, TimeoutError) as error:
            raise PeerFailed(f"{type(error).__name__}: {error}") from error
    return found


async def _sample(meter: Meter) -> None:
    while True:
        meter.cpu_seconds()
        await asyncio.sleep(SAMPLE_S)


def judge(folder: Path, result: pb.TrainingSet, data: PitData) -> dict[str, int]:
    """Compare the stored set with the rows that are right."""
    path = Artifacts(str(folder / "artifacts")).fetch(result.digest, folder / "set.parquet")
    table = pq.read_table(path)
    label = np.array(table["_spine_id"].to_pylist(), dtype=np.int64)
    names = [name for name in table.column_names if not name.startswith("_")]
    values = np.column_stack([table[name].to_numpy() for name in names])
    return data.judge(label, values)
