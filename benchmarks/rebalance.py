"""How long partitions stand still when a worker is stopped, comes back, and is killed, under load.

Two features workers share four partitions. A reader of the feature logs notes when each position
moves: the pause is the longest time without, the staleness the longest from a record's
acknowledgement until a reader has it. The stop is SIGTERM, the crash SIGKILL.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil

from benchmarks.features_drain import PROJECT, RECORD, record
from benchmarks.harness import write
from tidemill.project import loads, normalise
from tidemill_common import events, topics
from tidemill_common.beside import beside
from tidemill_common.feature_views import StreamSpec, stream_spec, view_spec
from tidemill_common.kafka import (
    Broker,
    Producer,
    Record,
    TopicPartition,
    administering,
    following,
    producing,
)
from tidemill_features.testing import one_project
from tidemill_local.library import LocalStack
from tidemill_tiles.codec import decode_header

PARTITIONS = 4
RECORDS_A_SECOND = 20
STEADY_S = 6.0
READY_S = 120.0
LOOK_S = 0.05


@dataclass(slots=True)
class Watched:
    """When each partition's position moved, and when what it passed was acknowledged."""

    acked: dict[tuple[int, int], float] = field(default_factory=dict)
    moved: dict[int, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))

    def records(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        """Note records of a feature log."""
        moves, now = self.moved[tp.partition], time.monotonic()
        for one in records:
            if one.value is not None:
                position = decode_header(one.value).position
                if not moves or position > moves[-1][1]:
                    moves.append((now, position))

    def position(self, partition: int) -> int:
        """Return below which offset everything is readable."""
        moves = self.moved[partition]
        return moves[-1][1] if moves else 0

    def pauses(self, since: float, until: float = math.inf) -> dict[str, float]:
        """Return the longest pause and staleness of any partition between two moments."""
        pause, stale = 0.0, 0.0
        for partition, moves in self.moved.items():
            before = [move for move in moves if move[0] < since][-1:]
            seen = [*before, *(move for move in moves if since <= move[0] <= until)]
            for (at, done), (now, _) in pairwise(seen):
                pause = max(pause, now - at)
                stale = max(stale, now - self.acked.get((partition, done), now))
        return {"pause_s": round(pause, 2), "staleness_s": round(stale, 2)}


class Workers:
    """The worker processes, by name."""

    def __init__(self, kafka: str, registry: str, folder: Path, **settings: str) -> None:
        self._environment = os.environ | {
            "TIDEMILL_KAFKA": kafka,
            "TIDEMILL_REGISTRY": registry,
            "TIDEMILL_LISTEN": "127.0.0.1:0",
            **settings,
        }
        self._folder = folder
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        """Start a worker."""
        environment = self._environment | {"TIDEMILL_DATA": str(self._folder / name)}
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tidemill_features", "worker", env=environment, stderr=log
            )

    async def stop(self, name: str) -> float:
        """End a worker as an orchestrator does; return the seconds it took."""
        began = time.monotonic()
        if self._running[name].returncode is not None:
            raise SystemExit(f"worker {name} ended by itself: the machine is too busy to measure")
        self._running[name].terminate()
        await self._running.pop(name).wait()
        return time.monotonic() - began

    async def kill(self, name: str) -> None:
        """End a worker without a word."""
        self._running[name].kill()
        await self._running.pop(name).wait()

    def opened(self, name: str) -> int:
        """Return how many partitions a worker has opened so far."""
        return (self._folder / f"{name}.log").read_text().count("partition.opened")

    def processes(self) -> list[psutil.Process]:
        """Return those that run."""
        return [psutil.Process(one.pid) for one in self._running.values()]

    def resident_bytes(self, name: str) -> int:
        """Return the memory that a worker has now."""
        return int(psutil.Process(self._running[name].pid).memory_info().rss)

    async def close(self) -> None:
        """End all of them."""
        for name in list(self._running):
            await self.kill(name)


async def load(producer: Producer, spec: StreamSpec, watched: Watched) -> None:
    """Append records of 500 events to every partition in turn, for ever."""
    rng, schema = np.random.default_rng(7), events.event_schema(spec.columns)
    began, number = time.monotonic(), 0
    while True:
        value = record(schema, rng, number * RECORD, time.time_ns() // 1_000)
        sent = await producer.send(spec.topic.name, value, partition=number % spec.partitions)
        watched.acked[sent.partition, sent.offset] = time.monotonic()
        number += 1
        await asyncio.sleep(max(0.0, began + number / RECORDS_A_SECOND - time.monotonic()))


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + READY_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"not in {READY_S:.0f} s: {what}")
        await asyncio.sleep(LOOK_S)


async def caught_up(watched: Watched, partitions: Sequence[int] = range(PARTITIONS)) -> None:
    """Wait until every partition is within a second of the load."""

    def near() -> bool:
        newest = {p: max(o for q, o in watched.acked if q == p) for p in partitions}
        return all(watched.position(p) >= newest[p] - RECORDS_A_SECOND // 4 for p in newest)

    await asyncio.sleep(LOOK_S)
    await until(near, "all partitions near the end of the load")


async def phases(workers: Workers, watched: Watched, repeats: int) -> dict[str, object]:
    """Stop, bring back, kill and bring back again."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(repeats):
        began = time.monotonic()
        await asyncio.sleep(STEADY_S)
        found["steady"].append(watched.pauses(began))
        began = time.monotonic()
        seconds = await workers.stop("a")
        await asyncio.sleep(STEADY_S)
        await caught_up(watched)
        found["stop"].append(watched.pauses(began) | {"exit_s": round(seconds, 2)})
        for what, end in (("join", None), ("crash", workers.kill), ("join", None)):
            began = time.monotonic()
            if end is not None:
                await end("a")
                await asyncio.sleep(3 * STEADY_S)
            else:
                opened = workers.opened("a")
                await workers.start("a")
                await until(lambda: workers.opened("a") >= opened + 2, "a owns two partitions")  # noqa: B023
                await asyncio.sleep(STEADY_S / 2)
            await caught_up(watched)
            found[what].append(watched.pauses(began))
    return dict(found)


@asynccontextmanager
async def scene(kafka: str, folder: Path) -> AsyncIterator[tuple[Workers, Watched]]:
    """Run two workers under load while the block runs."""
    text = PROJECT.replace("partitions: 2", f"partitions: {PARTITIONS}")
    project = normalise(loads(text).project)
    spec, broker, watched = stream_spec(project, "trades"), Broker(kafka), Watched()
    log = view_spec(project, "accounts").log("trades")
    logs = [TopicPartition(log.name, number) for number in range(PARTITIONS)]
    async with one_project(project) as (registry, _), administering(broker) as admin:
        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic, log])
        workers = Workers(kafka, registry, folder)
        try:
            for name in ("a", "b"):
                await workers.start(name)
            async with (
                producing(broker) as producer,
                following(broker, dict.fromkeys(logs), watched.records),
                beside(load(producer, spec, watched), "load"),
            ):
                await until(lambda: all(map(watched.position, range(PARTITIONS))), "first flush")
                await until(
                    lambda: min(workers.opened("a"), workers.opened("b")) >= PARTITIONS // 2,
                    "both workers own partitions",
                )
                await caught_up(watched)
                yield workers, watched
        finally:
            await workers.close()


async def measure(kafka: str, folder: Path, repeats: int) -> dict[str, object]:
    """Run it."""
    async with scene(kafka, folder) as (workers, watched):
        return await phases(workers, watched, repeats)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        with LocalStack(folder / "stack", services=[], parts=["kafka"]) as stack:
            found = asyncio.run(measure(stack.address("kafka"), folder, options.repeats))
    write(
        "rebalance",
        {
            "what": f"pauses of {PARTITIONS} partitions at {RECORDS_A_SECOND * RECORD:,} events/s",
            "reach": "a stop <= 3 s, a crash <= 15 s",
            **found,
        },
    )


if __name__ == "__main__":
    main()
