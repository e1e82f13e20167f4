"""How fast a point-in-time training set is built: the flights of three months, from the archive.

The events lie in Kafka; the first build also archives them and is not counted. A build includes
reading the archive, labels, features, the content hash, the profile and writing the Parquet file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from benchmarks.harness import write
from tidemill.definitions.v1 import project_pb2
from tidemill.errors import TidemillError
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.features.v1.feature_service_pb2_grpc import FeatureServiceStub
from tidemill.project import load, normalise
from tidemill_common import events, rpc, topics
from tidemill_common.feature_views import StreamSpec, stream_spec
from tidemill_common.kafka import Broker, administering, producing
from tidemill_features.testing import one_project
from tidemill_local.library import LocalStack
from tidemill_tiles.keys import key_column, partitions_of

if TYPE_CHECKING:
    from tidemill.features.v1.feature_service_pb2_grpc import FeatureServiceAsyncStub

FLIGHTS = Path(__file__).parent.parent / "examples" / "flights"
MODEL = "late_arrival"
RECORD = 500
BUILDS = 7
READY_S = 60.0
TIMES = {
    "flight_scheduled": "announced_at",
    "flight_departed": "departed_at",
    "flight_arrived": "arrived_at",
    "weather_observed": "observed_at",
}
POLARS = {
    "string": pl.String(),
    "float64": pl.Float64(),
    "int64": pl.Int64(),
    "timestamp": pl.String(),
    "bool": pl.Boolean(),
}


def timetable() -> ModuleType:
    """Return the example's own reader of the data set."""
    spec = importlib.util.spec_from_file_location("timetable", FLIGHTS / "timetable.py")
    if spec is None or spec.loader is None:
        raise SystemExit("examples/flights/timetable.py is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def columns_of(spec: StreamSpec, rows: pl.DataFrame) -> pa.Table:
    """Return events of one stream as the columns that ingestion would append."""
    fields = pl.Struct([pl.Field(one.name, POLARS[one.type]) for one in spec.columns])
    data = rows["data"].str.json_decode(dtype=fields).struct.unnest()
    schema = events.event_schema(spec.columns)
    found: dict[str, pa.ChunkedArray] = {}
    for one in spec.columns:
        column = data[one.name]
        if one.type == "timestamp":
            column = column.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
            column = column.dt.replace_time_zone("UTC")
        found[one.name] = pa.chunked_array([column.to_arrow().cast(schema.field(one.name).type)])
    available = rows["available"].dt.cast_time_unit("us").to_arrow().cast(events.TIMESTAMP)
    found |= {
        "_id": pa.chunked_array([pa.array(rows["event_id"].to_list())]),
        "_source": pa.chunked_array([pa.array(["bench"] * len(rows))]),
        "_time": found[TIMES[spec.name]],
        "_available": pa.chunked_array([available]),
        "_replay_of": pa.chunked_array([pa.nulls(len(rows), pa.string())]),
    }
    return pa.table([found[name] for name in schema.names], schema=schema)


def records(project: project_pb2.Project) -> Iterator[tuple[StreamSpec, int, bytes]]:
    """Give (stream, partition, record) of January to March."""
    found = timetable().load(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 4, 1, tzinfo=UTC))
    for stream in project.streams:
        spec = stream_spec(project, stream.name)
        table = columns_of(spec, found.events.filter(pl.col("stream") == stream.name))
        partitions = partitions_of(key_column([table[key] for key in spec.key]), spec.partitions)
        for number in range(spec.partitions):
            mine = table.filter(pa.array(partitions == number)).combine_chunks()
            for start in range(0, len(mine), RECORD):
                part = mine.slice(start, RECORD).combine_chunks().to_batches()[0]
                yield spec, number, events.encode(part)


@contextlib.asynccontextmanager
async def server(kafka: str, registry: str, folder: Path) -> AsyncIterator[FeatureServiceAsyncStub]:
    """Run a features server and connect to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {
        "TIDEMILL_KAFKA": kafka,
        "TIDEMILL_REGISTRY": registry,
        "TIDEMILL_LISTEN": listen,
        "TIDEMILL_DATA": str(folder / "server"),
        "TIDEMILL_ARCHIVE": str(folder / "archive"),
        "TIDEMILL_ARTIFACTS": str(folder / "artifacts"),
    }
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidemill_features", "server", env=environment, stderr=log
        )
        try:
            async with rpc.connected(listen) as channel:
                yield FeatureServiceStub(channel)
        finally:
            process.terminate()
            await process.wait()


async def build(
    stub: FeatureServiceAsyncStub, request: pb.BuildTrainingSetRequest
) -> tuple[pb.TrainingSet, float]:
    """Build once; return the set and the seconds that the client waited."""
    begun = time.perf_counter()
    result = pb.TrainingSet()
    async for reply in rpc.stream(stub.BuildTrainingSet, request, timeout=READY_S):
        result = reply.result
    return result, time.perf_counter() - begun


async def first_build(stub: FeatureServiceAsyncStub, request: pb.BuildTrainingSetRequest) -> None:
    """Build as soon as the server can."""
    end = time.perf_counter() + READY_S
    while True:
        try:
            await build(stub, request)
        except TidemillError:
            if time.perf_counter() > end:
                raise
            await asyncio.sleep(0.5)
        else:
            return


def said(folder: Path) -> list[dict[str, float]]:
    """Return what the builder logged about each build."""
    lines = (folder / "server.log").read_text().splitlines()
    return [json.loads(line) for line in lines if '"training_set.built"' in line]


async def measure(kafka: str, folder: Path) -> dict[str, object]:
    """Publish, archive, build again and again."""
    project = normalise(load(FLIGHTS / "tidemill.yaml"))
    broker, request = Broker(kafka), pb.BuildTrainingSetRequest(model=MODEL)
    async with one_project(project) as (registry, _), administering(broker) as admin:
        specs = [stream_spec(project, stream.name) for stream in project.streams]
        await admin.ensure([topics.REGISTRY_EVENTS, *(spec.topic for spec in specs)])
        async with producing(broker) as producer:
            for spec, partition, value in records(project):
                producer.enqueue(spec.topic.name, value, partition=partition)
            await producer.flush(60.0)
        async with server(kafka, registry, folder) as stub:
            await first_build(stub, request)
            runs = [await build(stub, request) for _ in range(BUILDS)]
    assert len({result.row_hash for result, _ in runs}) == 1
    logged = said(folder)
    best = min(result.seconds for result, _ in runs)
    rows = runs[0][0].rows
    return {
        "rows": rows,
        "events": runs[0][0].events,
        "builds": BUILDS,
        "best_seconds": round(best, 3),
        "seconds": [round(result.seconds, 3) for result, _ in runs],
        "client_seconds": [round(seconds, 3) for _, seconds in runs],
        "rows_per_second": round(rows / best),
        "cpu_seconds": [one["cpu_seconds"] for one in logged[-BUILDS:]],
        "peak_memory_mib": logged[-1]["peak_memory_mib"],
        "row_hash": runs[0][0].row_hash,
    }


def main() -> None:
    """Measure."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        with LocalStack(folder / "stack", services=[], parts=["kafka"]) as stack:
            figures = asyncio.run(measure(stack.address("kafka"), folder))
    write(
        "training_set",
        {
            "what": "point-in-time training set of the flights, three months",
            "reach": ">= 100,000 rows/s, peak memory stated",
            **figures,
        },
    )


if __name__ == "__main__":
    main()
