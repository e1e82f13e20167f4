"""A view that is added later, and a log that was trimmed, say what they would have said anyway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from tests.integration.features_load import Load, Worker, working
from tidemill.definitions.v1 import project_pb2
from tidemill.ingestion.v1.ingestion_service_pb2 import Position
from tidemill.project import loads, normalise
from tidemill_common import topics
from tidemill_common.feature_replica import FeatureReplica, replicating
from tidemill_common.feature_views import stream_spec, view_spec
from tidemill_common.kafka import Admin, Broker, Producer, TopicPartition, administering, producing
from tidemill_features.archiving import StreamArchiver
from tidemill_features.definitions import work_of
from tidemill_features.testing import OneProject, one_project

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

STREAM = """
project: later
streams:
  later_clicks:
    key: [user]
    replay: true
    lateness: 2m
    partitions: 2
    fields:
      user: {type: string, required: true}
      shop: {type: string}
      amount: {type: float64, resolution: 0.01}
views:
  later_users:
    stream: later_clicks
    entity: [user]
    aggregations:
      - {function: count, windows: [1h]}
      - {function: sum, field: amount, windows: [1h]}
"""
ANOTHER = """
  later_again:
    stream: later_clicks
    entity: [user]
    aggregations:
      - {function: count, windows: [1h]}
      - {function: sum, field: amount, windows: [1h]}
      - {function: max, field: amount, windows: [1h]}
"""
LOST = """
  lost_orders:
    key: [user]
    replay: true
    partitions: 2
    fields:
      user: {type: string, required: true}
"""
LOST_VIEW = """
  lost_users:
    stream: lost_orders
    entity: [user]
    aggregations:
      - {function: count, windows: [1h]}
"""
USERS = [(f"u{number}",) for number in range(200)]
RECORDS = 600


async def publish(load: Load, producer: Producer, topic: str, records: int) -> None:
    """Append records to both partitions."""
    for _ in range(records // 2):
        for partition in (0, 1):
            producer.enqueue(topic, load.record(partition), partition=partition)
    assert await producer.flush(30.0) == 0


async def applied(replica: FeatureReplica, admin: Admin, topic: str) -> None:
    """Wait until everything that was published is decided in every view."""
    ends = await admin.end_offsets(await admin.partitions(topic))
    positions = [
        Position(stream=topic.removeprefix("events."), partition=tp.partition, next_offset=end)
        for tp, end in ends.items()
    ]
    await replica.wait_for(positions, timeout=60.0)


async def archive_and_trim(kafka: Broker, admin: Admin, servicer: OneProject, folder: Path) -> None:
    """Archive three quarters of the raw topic, and let it forget half."""
    work = work_of(servicer.project, "").streams["later_clicks"]
    archiver = StreamArchiver(kafka, admin, str(folder / "archive"), 1 << 20)
    await archiver.open(work)
    half = dict.fromkeys(range(2), RECORDS // 4)
    await archiver.reach({number: 3 * end // 2 for number, end in half.items()})
    await admin.delete_records(
        {TopicPartition(work.topic, number): end for number, end in half.items()}
    )


@contextlib.asynccontextmanager
async def fresh_replica(
    broker: Broker, project: project_pb2.Project, generation: str
) -> AsyncIterator[FeatureReplica]:
    """A replica that knows nothing and reads the logs from their starts."""
    async with replicating(broker) as replica:
        await replica.adopt(project, generation)
        async with asyncio.timeout(60.0):
            await replica.caught_up()
        yield replica


async def test_a_view_that_is_added_later_equals_one_that_was_always_there(
    kafka: Broker, tmp_path: Path
) -> None:
    project = normalise(loads(STREAM).project)
    spec = stream_spec(project, "later_clicks")
    async with (
        one_project(project) as (registry, servicer),
        administering(kafka) as admin,
        producing(kafka) as producer,
    ):
        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic])
        load = Load(spec)
        await publish(load, producer, spec.topic.name, RECORDS // 2)
        load.sent.clear()  # what is trimmed lies further back than any duplicate
        await publish(load, producer, spec.topic.name, RECORDS // 2)
        async with (
            working(
                kafka, registry, tmp_path, SNAPSHOT_SECONDS="1", SNAPSHOT_BYTES="1024"
            ) as worker,
            fresh_replica(kafka, project, servicer.current) as replica,
        ):
            await applied(replica, admin, spec.topic.name)
            await archive_and_trim(kafka, admin, servicer, tmp_path)
            generation = servicer.apply(loads(STREAM + ANOTHER).project)
            async with asyncio.timeout(60.0):
                await replica.adopt(servicer.project, generation)
            await publish(load, producer, spec.topic.name, RECORDS // 2)
            await applied(replica, admin, spec.topic.name)

            assert worker.starts == 1  # it replaced itself
            old = replica.read("later_users", USERS)
            new = replica.read("later_again", USERS, old.at_us)
            assert old.values[:, 0].sum() > RECORDS
            np.testing.assert_array_equal(new.values[:, :2], old.values)
            await assert_a_trimmed_log_gives_the_same_state(kafka, admin, servicer, replica)


async def assert_a_trimmed_log_gives_the_same_state(
    kafka: Broker, admin: Admin, servicer: OneProject, replica: FeatureReplica
) -> None:
    """Wait until snapshots have trimmed the log, and read what is left of it."""
    project, generation = servicer.project, servicer.current
    log = view_spec(project, "later_users").log("later_clicks")
    tps = [TopicPartition(log.name, number) for number in range(2)]
    async with asyncio.timeout(30.0):
        while not all((await admin.start_offsets(tps)).values()):
            await asyncio.sleep(0.2)
    async with fresh_replica(kafka, project, generation) as again:
        expected = replica.read("later_users", USERS)
        found = again.read("later_users", USERS, expected.at_us)
        np.testing.assert_array_equal(found.values, expected.values)
        np.testing.assert_array_equal(found.status, expected.status)


async def test_a_project_that_loses_a_stream_goes_on_with_the_others(
    kafka: Broker, tmp_path: Path
) -> None:
    """The worker is back within its session: the broker would give it the lost partitions again."""
    kept = STREAM.replace("later_", "kept_")
    both = kept.replace("views:", f"{LOST.strip(chr(10))}\nviews:") + LOST_VIEW
    project = normalise(loads(both).project)
    spec = stream_spec(project, "kept_clicks")
    async with (
        one_project(project) as (registry, servicer),
        administering(kafka) as admin,
        producing(kafka) as producer,
    ):
        lost = stream_spec(project, "lost_orders")
        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic, lost.topic])
        async with (
            working(kafka, registry, tmp_path) as worker,
            fresh_replica(kafka, project, servicer.current) as replica,
        ):
            load = Load(spec)
            await publish(load, producer, spec.topic.name, 20)
            await applied(replica, admin, spec.topic.name)
            generation = servicer.apply(loads(kept).project)
            async with asyncio.timeout(60.0):
                await replica.adopt(servicer.project, generation)
            worker.kill()
            await publish(load, producer, spec.topic.name, 20)
            await applied(replica, admin, spec.topic.name)
            assert worker.starts == 2
            servicer.apply(loads(both).project)
            await assert_ends_when_told_while_it_goes_over(worker)


async def assert_ends_when_told_while_it_goes_over(worker: Worker) -> None:
    """The next generation's image knows nothing of a signal that this one was given."""
    before, starts = worker.log.stat().st_size, worker.starts
    async with asyncio.timeout(60.0):
        while b"generation.built" not in worker.log.read_bytes()[before:]:
            await asyncio.sleep(0.005)
        assert worker.process is not None
        worker.process.terminate()
        while worker.starts == starts:
            await asyncio.sleep(0.01)
