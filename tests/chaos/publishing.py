"""Publish a run's traffic: through the edge with retries, and around it what the edge refuses."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pyarrow as pa

from tests.chaos.checkers import Sample
from tests.chaos.ledger import Ledger, Outcome
from tests.chaos.traffic import PARTITIONS, SECOND_US, Row, Traffic
from tidemill import Event
from tidemill.aio import AsyncClient
from tidemill.errors import TidemillError
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill_common import events, topics
from tidemill_common.feature_views import StreamSpec
from tidemill_common.kafka import Producer, Record

SOURCE: Final = "chaos"
BATCH: Final = 50
AT_ONCE: Final = 8
TIMEOUT_S: Final = 4.0
PATIENCE_S: Final = 60.0
_AGAIN_S: Final = 0.2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TOLD: Final = {
    pb.OUTCOME_ACCEPTED: Outcome.OK,
    pb.OUTCOME_REJECTED: Outcome.FAIL,
    pb.OUTCOME_UNAVAILABLE: Outcome.FAIL,
}


@dataclass(slots=True)
class Publisher:
    """Sends batches at a rate, each again with the same ids until every event is decided."""

    client: AsyncClient
    spec: StreamSpec
    traffic: Traffic
    ledger: Ledger
    rate: int
    began: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    token: pb.PositionToken | None = None
    """Of the newest reply."""

    @property
    def sent(self) -> int:
        """Return how many events were sent, each counted once however often it was tried."""
        return self.kinds.total()

    def elapsed_us(self) -> int:
        """Return how far the stream's time is past the run's begin."""
        return int((time.monotonic() - self.began) * SECOND_US)

    async def run(self, seconds: float) -> None:
        """Publish for so long; return when every event is decided or given up."""
        places = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as sending:
            due = time.monotonic()
            while time.monotonic() < self.began + seconds:
                await places.acquire()
                rows = self.traffic.batch(BATCH, self.elapsed_us())
                self.kinds.update(row.kind.value for row in rows)
                sending.create_task(self._deliver(rows)).add_done_callback(
                    lambda _: places.release()
                )
                due = max(due + BATCH / self.rate, time.monotonic() - 1.0)
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _deliver(self, rows: Sequence[Row]) -> None:
        waiting, give_up = list(rows), time.monotonic() + PATIENCE_S
        while waiting and time.monotonic() < give_up:
            asked = time.monotonic()
            try:
                reply = await self.client.publish(
                    [to_event(self.spec.name, row) for row in waiting], timeout=TIMEOUT_S
                )
            except TidemillError as error:
                self._failed(error, waiting)
                self.samples.append(Sample(asked, None))
            else:
                waiting = self._answered(asked, waiting, reply)
            if waiting:
                await asyncio.sleep(_AGAIN_S)

    def _failed(self, error: TidemillError, rows: Sequence[Row]) -> None:
        kind = type(error).__name__
        self.errors[kind] = self.errors.get(kind, 0) + 1
        for row in rows:
            self.ledger.note(row.id, Outcome.UNKNOWN)

    def _answered(self, asked: float, rows: Sequence[Row], reply: pb.PublishResponse) -> list[Row]:
        """Note what became of each; return those to be sent again."""
        again, self.token = [], reply.token
        for row, result in zip(rows, reply.results, strict=True):
            self.ledger.note(row.id, TOLD.get(result.outcome, Outcome.UNKNOWN))
            if result.outcome not in {pb.OUTCOME_ACCEPTED, pb.OUTCOME_REJECTED}:
                again.append(row)
        self.samples.append(Sample(asked, None if again else time.monotonic()))
        return again


def to_event(stream: str, row: Row) -> Event:
    """Return a row as the SDK publishes it."""
    at = _EPOCH + timedelta(microseconds=row.time_us)
    data = {"user": row.user, "shop": row.shop, "amount": row.amount, "email": row.email}
    return Event(stream, data, id=row.id, source=SOURCE, time=at, available=at)


@dataclass(slots=True)
class Intruder:
    """Writes straight into the raw topic what no edge would let pass, and repeats what is there."""

    producer: Producer
    spec: StreamSpec
    traffic: Traffic
    ledger: Ledger
    seed: int
    ahead: StreamSpec | None = None
    began: float = field(default_factory=time.monotonic)
    garbage: int = 0

    async def run(self, seconds: float, every_s: float = 0.4) -> None:
        """Now and then a record of dead rows, or one that is no record.

        Also, if there is a newer schema `ahead` of the readers', a good record of that.
        """
        dice = random.Random(self.seed)
        while time.monotonic() < self.began + seconds:
            if self.ahead is not None:
                self._newer(self.ahead)
            if dice.random() < 0.4:
                self.poison(dice.randrange(PARTITIONS))
            else:
                self._dead(dice)
            await asyncio.sleep(every_s)

    def poison(self, partition: int) -> None:
        """Append garbage."""
        self.garbage += 1
        self.producer.enqueue(self.spec.topic.name, self.traffic.garbage(), partition=partition)

    def _newer(self, spec: StreamSpec) -> None:
        row = self.traffic.good(int((time.monotonic() - self.began) * SECOND_US))
        partition = topics.partition_of(topics.key_bytes([row.user]), PARTITIONS)
        self.ledger.note(row.id, Outcome.UNKNOWN)
        self.producer.enqueue(self.spec.topic.name, encoded(spec, [row]), partition=partition)

    def _dead(self, dice: random.Random) -> None:
        elapsed = int((time.monotonic() - self.began) * SECOND_US)
        row = self.traffic.dead(elapsed)
        partition = topics.partition_of(topics.key_bytes([row.user]), PARTITIONS)
        rows = [row]
        if dice.random() < 0.5:  # a good neighbour, of the same user so that it belongs here
            rows.append(replace(row, id=f"{row.id}-good", amount=1.0))
        for one in rows:
            self.ledger.note(one.id, Outcome.UNKNOWN)
        self.producer.enqueue(self.spec.topic.name, encoded(self.spec, rows), partition=partition)

    async def again(self, records: Sequence[Record]) -> None:
        """Append records of the raw topic once more, as they are."""
        for record in records:
            self.producer.enqueue(record.topic, record.value, partition=record.partition)
        await self.producer.flush(PATIENCE_S)


def encoded(spec: StreamSpec, rows: Sequence[Row]) -> bytes:
    """Return rows as one record of the raw topic; fields that rows do not have hold a text."""
    times = pa.array([row.time_us for row in rows], pa.int64()).cast(events.TIMESTAMP)
    columns = [
        pa.array([row.id for row in rows]),
        pa.array([SOURCE] * len(rows)),
        times,
        times,
        pa.nulls(len(rows), pa.string()),
        pa.array([row.user for row in rows]),
        pa.array([row.shop for row in rows], pa.string()),
        pa.array([row.amount for row in rows], pa.float64()),
        pa.array([row.email for row in rows], pa.string()),
    ]
    schema = events.event_schema(spec.columns)
    columns += [pa.array(["more"] * len(rows))] * (len(schema) - len(columns))
    return events.encode(pa.RecordBatch.from_arrays(columns, schema=schema))
