"""A supervised features worker, and records with duplicates, late and impossible rows for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from tidemill_common import events
from tidemill_common.feature_views import StreamSpec
from tidemill_common.kafka import Broker, Producer

SECOND_US = 1_000_000
LATENESS_US = 120 * SECOND_US
USERS, SHOPS = 200, 20
RECORD_ROWS = 40
LEAVING_S = 20.0
SEED = int(os.environ.get("CHAOS_SEED", "20130101"))


@dataclass
class Worker:
    """A features worker that comes back when it ends, as under a supervisor."""

    environment: dict[str, str]
    log: Path
    command: tuple[str, ...]
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    is_given_up: bool = False

    async def run(self) -> None:
        """Start it, and again whenever it ends, until cancelled or given up."""
        with self.log.open("ab") as log:
            while not self.is_given_up:
                self.process = await asyncio.create_subprocess_exec(
                    *self.command,
                    env=self.environment,
                    stderr=log,
                )
                self.starts += 1
                try:
                    await self.process.wait()
                except asyncio.CancelledError:
                    await self._leave(self.process)
                    raise

    async def _leave(self, process: asyncio.subprocess.Process) -> None:
        """End it in order: whoever joins the group next would wait for one that was killed."""
        try:
            async with asyncio.timeout(LEAVING_S):
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()
        except TimeoutError:
            self.kill()
            await process.wait()

    def said(self, event: str) -> Iterator[Mapping[str, Any]]:
        """Give what it and its builders have logged under a name, as far as it is written."""
        text = self.log.read_bytes() if self.log.exists() else b""
        for line in text.splitlines():
            if line.startswith(b"{") and line.endswith(b"}"):
                facts = orjson.loads(line)
                if facts["event"] == event:
                    yield facts

    def kill(self, *, for_good: bool = False) -> None:
        """Kill -9; for good: it is not started again."""
        self.is_given_up = for_good
        if self.process is not None and self.process.returncode is None:
            self.process.kill()


@contextlib.asynccontextmanager
async def working(
    broker: Broker,
    registry: str,
    folder: Path,
    module: Sequence[str] = ("tidemill_features", "worker"),
    **settings: str,
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
    worker = Worker(environment, folder / "worker.log", (sys.executable, "-m", *module))
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

    async def fill(self, producer: Producer, partitions: int, records: int, distinct: int) -> None:
        """Append so many records to each partition; most repeat the distinct ones.

        What matters is how long it takes to go through them.
        """
        for partition in range(partitions):
            made = [self.record(partition) for _ in range(distinct)]
            for number in range(records):
                producer.enqueue(self.spec.topic.name, made[number % distinct], partition=partition)
        assert await producer.flush(60.0) == 0

    def record(self, partition: int) -> bytes:
        """Return one record; one in fifty is garbage."""
        if self.rng.random() < 0.02:
            return bytes(self.rng.bytes(64))
        return self.encoded(self.rows(partition, time.time_ns() // 1_000))

    def encoded(self, rows: Sequence[tuple[str, str, str, float, int]]) -> bytes:
        """Return a record of rows."""
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
