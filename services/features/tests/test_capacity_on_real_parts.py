"""A worker that is over-full takes no more, lives, and loses nothing: given room it goes on exactly."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pytest

from tidemill.ingestion.v1.ingestion_service_pb2 import Position
from tidemill.project import loads, normalise
from tidemill_common import events, topics
from tidemill_common.feature_replica import FeatureReplica, replicating
from tidemill_common.kafka import Admin, Broker, TopicPartition, administering, producing
from tidemill_features.definitions import StreamWork, Work, work_of
from tidemill_features.opening import Opener
from tidemill_features.owning import owning
from tidemill_features.settings import Settings
from tidemill_features.standby import standing_by
from tidemill_tiles.reads import Status

pytestmark = pytest.mark.stack

PROJECT = """
project: {name}
streams:
  {name}:
    key: [user]
    partitions: 1
    fields:
      user: {{type: string, required: true}}
views:
  {name}_users:
    stream: {name}
    entity: [user]
    aggregations:
      - {{function: count, windows: [lifetime]}}
"""
LIMIT = 1 << 20
FILLING, RECORDS, ROWS = 20, 40, 400
"""Each row is of another user; the first records take more than the limit."""
FLUSH_BYTES = 1 << 16
SOON_S = 0.1
PATIENCE_S = 30.0


def record(work: StreamWork, number: int) -> bytes:
    """Return an event of each of so many users that nobody has seen."""
    names = [f"u{number * ROWS + row}" for row in range(ROWS)]
    when = pa.array([time.time_ns() // 1_000] * ROWS, pa.int64()).cast(events.TIMESTAMP)
    columns = [
        pa.array(names),
        pa.array(["test"] * ROWS),
        when,
        when,
        pa.nulls(ROWS, pa.string()),
        pa.array(names),
    ]
    return events.encode(pa.RecordBatch.from_arrays(columns, schema=work.schema))


@contextlib.asynccontextmanager
async def a_worker(
    kafka: Broker, admin: Admin, work: Work, folder: Path, state_bytes: int
) -> AsyncIterator[asyncio.Future[None]]:
    """Own the partition, as the group would say; gives what a failure would set."""
    settings = Settings(
        listen="",
        kafka="",
        registry="",
        data=folder,
        state_bytes=state_bytes,
        flush_bytes=FLUSH_BYTES,
        idle_seconds=SOON_S,
    )
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    (stream,) = work.streams.values()
    async with standing_by(kafka, work) as standby:
        await standby.caught_up()
        async with owning(Opener(kafka, admin, standby, work, ""), settings, failed) as owned:
            await owned.assigned({TopicPartition(stream.topic, 0)})
            async with asyncio.timeout(PATIENCE_S):
                await owned.opened.wait()
            yield failed
            await owned.close()


async def stands(replica: FeatureReplica, caplog: pytest.LogCaptureFixture) -> int:
    """Wait until the worker says that it is full, and its log goes on at one position; return it."""
    async with asyncio.timeout(PATIENCE_S):
        while alerts(caplog) != ["state.full"]:
            await asyncio.sleep(SOON_S)
        while True:
            (before,), began = replica.describe(), time.monotonic()
            await asyncio.sleep(5 * SOON_S)
            (now,) = replica.describe()
            is_alive = now.since_last_record_us < (time.monotonic() - began) * 1_000_000
            if is_alive and now.position == before.position > 0:
                return now.position


def alerts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records if one.message.startswith("state.")]


async def test_an_over_full_worker_waits_with_an_alert_and_goes_on_exactly_when_there_is_room(
    kafka: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"full_{uuid.uuid4().hex[:12]}"
    project = normalise(loads(PROJECT.format(name=name)).project)
    work = work_of(project, "00000001-full")
    (stream,) = work.streams.values()
    view, users = f"{name}_users", [(f"u{number}",) for number in range(RECORDS * ROWS)]
    async with (
        administering(kafka) as admin,
        producing(kafka) as producer,
        replicating(kafka) as replica,
    ):
        await admin.ensure(work.topics())
        await replica.adopt(project, "1")

        async def publish(numbers: range) -> None:
            for number in numbers:
                producer.enqueue(stream.topic, record(stream, number), partition=0)
            assert await producer.flush(PATIENCE_S) == 0

        await publish(range(FILLING))
        async with a_worker(kafka, admin, work, tmp_path, LIMIT) as failed:
            await stands(replica, caplog)
            await publish(range(FILLING, RECORDS))
            position = await stands(replica, caplog)
            assert not failed.done()
        assert 0 < position <= FILLING
        found = replica.read(view, users)
        assert (found.status[: position * ROWS] == Status.PRESENT).all()
        assert (found.values[: position * ROWS, 0] == 1.0).all()
        assert (found.status[position * ROWS :] == Status.NOT_FOUND).all()

        caplog.clear()
        async with a_worker(kafka, admin, work, tmp_path, LIMIT) as failed:  # and again
            assert await stands(replica, caplog) == position
            assert not failed.done()

        caplog.clear()
        async with a_worker(kafka, admin, work, tmp_path, 100 * LIMIT):
            end = Position(stream=name, partition=0, next_offset=RECORDS)
            await replica.wait_for([end], timeout=PATIENCE_S)
        assert not alerts(caplog)
        found = replica.read(view, users)
        assert (found.values[:, 0] == 1.0).all()
        letters = TopicPartition(topics.dead_letters(stream.topic).name, 0)
        assert (await admin.end_offsets([letters]))[letters] == 0
        await admin.delete_topics([topic.name for topic in work.topics()])
