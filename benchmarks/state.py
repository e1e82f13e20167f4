"""What a million tile rows cost: to restore, to write a snapshot of under load, and to hold.

Restore is what a worker does before it joins the group: read the feature log of one partition from
its start. The stall by a snapshot is what a reader sees: the longest time without a flush, before
the snapshot and while its chunks travel. Memory is measured in processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import psutil

from benchmarks.features_drain import PROJECT, RECORD, record
from benchmarks.harness import write
from benchmarks.rebalance import STEADY_S, Watched, Workers, caught_up, load, until
from tidemill.project import loads, normalise
from tidemill_common import events, topics
from tidemill_common.beside import beside
from tidemill_common.feature_views import StreamSpec, stream_spec
from tidemill_common.kafka import (
    Broker,
    Record,
    TopicPartition,
    administering,
    following,
    producing,
)
from tidemill_features.definitions import Work, work_of
from tidemill_features.standby import standing_by
from tidemill_features.testing import one_project
from tidemill_local.library import LocalStack
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.codec import Kind, decode_header
from tidemill_tiles.columns import EventBatch
from tidemill_tiles.definitions import Aggregation, Field, Function, ViewDefinition
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.kernels import layout, warm_up
from tidemill_tiles.keys import key_column_of
from tidemill_tiles.plan import Plan, plan_of
from tidemill_tiles.table import TileTable

SPACING_US = 120_000
ROWS_AN_EVENT = 2.9
SNAPSHOT_S = 15.0
HOUR_US = 3_600_000_000
PIECE = 100_000
JUST_FITS = 1_040_000
JUST_DOUBLED = 1_060_000
"""Arrays double when they are full, at 2 ** 20 rows: a little less and a little more."""


class WatchedSnapshots(Watched):
    """Also notes when snapshots begin and end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[float] = []
        self.ended: list[float] = []

    def records(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        """Note records of a feature log."""
        super().records(tp, records)
        for one in records:
            if one.value is not None:
                kind = decode_header(one.value).kind
                if kind is Kind.SNAPSHOT_BEGIN:
                    self.begun.append(time.monotonic())
                elif kind is Kind.SNAPSHOT_END:
                    self.ended.append(time.monotonic())


async def fill(broker: Broker, spec: StreamSpec, records: int) -> None:
    """Append events of the last hours, so few a second that almost each makes rows of its own."""
    rng, schema = np.random.default_rng(7), events.event_schema(spec.columns)
    first_us = time.time_ns() // 1_000 - records * RECORD * SPACING_US
    async with producing(broker) as producer:
        for number in range(records):
            value = record(schema, rng, number * RECORD, first_us, SPACING_US)
            producer.enqueue(spec.topic.name, value, partition=0)
        await producer.flush(60.0)


async def restored(broker: Broker, work: Work, log: TopicPartition) -> dict[str, object]:
    """Read the log as a worker does that has just started."""
    began, busy = time.monotonic(), time.process_time()
    async with standing_by(broker, work) as standby:
        await standby.caught_up()
        seconds, cpu = time.monotonic() - began, time.process_time() - busy
        table = standby._replicas[log].table  # noqa: SLF001 (nobody else counts rows)
        return {
            "rows": table.tiles,
            "state_bytes": table.state_bytes,
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu, 2),
        }


async def snapshotted(
    broker: Broker, spec: StreamSpec, log: TopicPartition, workers: Workers
) -> dict[str, object]:
    """Let a worker write a snapshot under load; compare its pauses with those before."""
    watched = WatchedSnapshots()
    async with producing(broker) as producer, following(broker, {log: None}, watched.records):
        await workers.start("a")
        async with beside(load(producer, spec, watched), "load"):
            await until(lambda: workers.opened("a") > 1, "the partition opened again")
            await asyncio.sleep(1.0)
            await caught_up(watched, [0])
            began = time.monotonic()
            await until(lambda: len(watched.begun) > 0, "a snapshot")
            await until(lambda: len(watched.ended) > 0, "the snapshot's end")
            await asyncio.sleep(STEADY_S)
    begin, end = watched.begun[0], watched.ended[0]
    flushes = [at for at, _ in watched.moved[0] if begin <= at <= end]
    return {
        "seconds": round(end - begin, 2),
        "flushes": len(flushes),
        "before": watched.pauses(began, begin),
        "during": watched.pauses(begin, end),
        "resident_bytes": workers.resident_bytes("a"),
    }


async def measure(kafka: str, folder: Path, rows: int) -> dict[str, object]:
    """Fill, restore, snapshot."""
    project = normalise(loads(PROJECT.replace("partitions: 2", "partitions: 1")).project)
    work, broker = work_of(project, "00000001-benchmark"), Broker(kafka)
    spec, (view,) = stream_spec(project, "trades"), work.streams["trades"].views
    log = TopicPartition(view.log("trades").name, 0)
    records = round(rows / ROWS_AN_EVENT / RECORD)
    async with one_project(project) as (registry, _), administering(broker) as admin:
        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic, view.log("trades")])
        await fill(broker, spec, records)
        workers = Workers(
            kafka, registry, folder, TIDEMILL_FEATURES_SNAPSHOT_SECONDS=f"{SNAPSHOT_S:g}"
        )
        watched = Watched()
        try:
            await workers.start("a")
            async with following(broker, {log: None}, watched.records):
                await until(lambda: watched.position(0) == records, "the backlog is applied")
            await workers.stop("a")
            found = await restored(broker, work, log)
            return {"restore": found, "snapshot": await snapshotted(broker, spec, log, workers)}
        finally:
            await workers.close()


def a_plan() -> Plan:
    """Return a view of six aggregations in one level."""
    functions = ("count", "sum", "mean", "min", "max", "last")
    window, hop = 512 * HOUR_US, HOUR_US
    kinds = tuple(
        Aggregation(name, Function(name), None if name == "count" else "price", window, hop_us=hop)
        for name in functions
    )
    card, price = Field("card", FieldType.STRING), Field("price", FieldType.FLOAT64)
    return plan_of(ViewDefinition("cards", ("payments",), (card,), (card, price), kinds, HOUR_US))


def held(entities: int, rows: int) -> dict[str, int]:
    """Make a table of so many entities and rows; return what it counts and what it takes."""
    warm_up()
    plan, process = a_plan(), psutil.Process()
    table, number = TileTable(plan), 0
    before = process.memory_info().rss
    while number < rows:
        which = np.arange(number, min(rows, number + PIECE))
        keys = [canonical_key([f"card-{one:012}"]) for one in (which % entities).tolist()]
        batch = EventBatch(
            keys=key_column_of(keys),
            time_us=(which // entities + 1) * HOUR_US,
            tie=which.astype(np.uint64),
            values=np.ones((1, len(which)), dtype=np.int64),
            valid=np.ones((1, len(which)), dtype=np.bool_),
            filters=np.ones((0, len(which)), dtype=np.bool_),
            keep=np.ones(len(which), dtype=np.bool_),
        )
        table.apply(batch)
        table.store.meta[layout.META_DIRTY] = 0
        number += len(which)
    assert (table.entities, table.tiles) == (entities, rows)
    return {
        "counted": table.state_bytes,
        "resident": process.memory_info().rss - before,
        "peak": 1_024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
    }


def memory() -> dict[str, object]:
    """Return bytes a row and an entity, as counted and as resident."""
    few, spawning = 4_000, multiprocessing.get_context("spawn")
    shapes = {
        "rows": (few, JUST_FITS),
        "rows_doubled": (few, JUST_DOUBLED),
        "entities": (JUST_FITS, JUST_FITS),
    }
    found: dict[str, dict[str, int]] = {}
    for name, shape in shapes.items():
        with ProcessPoolExecutor(1, mp_context=spawning) as pool:
            found[name] = pool.submit(held, *shape).result()
    more = JUST_FITS - few
    one, twice, other = found["rows"], found["rows_doubled"], found["entities"]
    return {
        "counted_bytes_a_row": round(one["counted"] / JUST_FITS),
        "resident_bytes_a_row": round(one["resident"] / JUST_FITS),
        "resident_bytes_a_row_just_doubled": round(twice["resident"] / JUST_DOUBLED),
        "counted_bytes_an_entity": round((other["counted"] - one["counted"]) / more),
        "resident_bytes_an_entity": round((other["resident"] - one["resident"]) / more),
        "resident_to_counted": {
            name: round(each["resident"] / each["counted"], 2) for name, each in found.items()
        },
        "peak_to_counted": {
            name: round(each["peak"] / each["counted"], 2) for name, each in found.items()
        },
        "view": "count, sum, mean, min, max, last of one field, one level, keys of 17 bytes",
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_050_000)
    options = parser.parse_args()
    kept = memory()
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        with LocalStack(folder / "stack", services=[], parts=["kafka"]) as stack:
            found = asyncio.run(measure(stack.address("kafka"), folder, options.rows))
    write(
        "state",
        {
            "what": "a million tile rows in one partition: restored, written, held",
            "reach": "restore <= 10 s, no flush stalled > 0.2 s",
            **found,
            "memory": kept,
        },
    )


if __name__ == "__main__":
    main()
