"""A changed view is built beside the old one, which is served until the new one says as much.

The worker that builds it may die in the middle: it, or another, goes on where its log ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.integration.features_load import Load, Worker, working
from tidemill.ingestion.v1.ingestion_service_pb2 import Position
from tidemill.project import loads, normalise
from tidemill.registry.v1 import erasure_service_pb2 as erasure_pb
from tidemill_common import topics
from tidemill_common.erased_entity import digest_of
from tidemill_common.feature_replica import FeatureReplica, replicating
from tidemill_common.feature_views import stream_spec, view_spec
from tidemill_common.kafka import Admin, Broker, Producer, TopicPartition, administering, producing
from tidemill_common.topics import Topic
from tidemill_features.testing import one_project
from tidemill_local.library import LocalStack
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.reads import Status

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PROJECT = """
project: changing
streams:
  changing_clicks:
    key: [user]
    replay: true
    lateness: 2m
    partitions: 2
    fields:
      user: {type: string, required: true}
      shop: {type: string}
      amount: {type: float64, resolution: 0.01}
views:
  changing_users:
    stream: changing_clicks
    entity: [user]
    aggregations:
      - {function: count, windows: [lifetime]}
      - {function: sum, field: amount, windows: [lifetime]}
  kept_users:
    stream: changing_clicks
    entity: [user]
    aggregations:
      - {function: count, windows: [lifetime]}
      - {function: sum, field: amount, windows: [lifetime]}
"""
CHANGED = PROJECT.replace(
    "  kept_users:",
    "      - {function: quantile, field: amount, quantiles: [0.5], windows: [lifetime]}\n"
    "  kept_users:",
)
ERASED, USERS = [("u0",)], [(f"u{number}",) for number in range(1, 200)]
SECRET = b"a secret of this stack"
PARTITIONS = 2
RECORDS, DISTINCT = 3_000, 300
"""Records of a partition."""
SESSION_S = 6
EVERY_SECONDS = 0.01


@dataclass
class Watcher:
    """Reads the view all the time and remembers what it said."""

    replica: FeatureReplica
    seen: list[tuple[str, float, bool]] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            found = self.replica.read("changing_users", USERS)
            whole = bool(np.isin(found.status, (Status.PRESENT, Status.STALE)).all())
            self.seen.append((found.version, float(found.values[:, 0].sum()), whole))
            await asyncio.sleep(EVERY_SECONDS)


@contextlib.asynccontextmanager
async def publishing(load: Load, producer: Producer, topic: str) -> AsyncIterator[None]:
    """Append a record to each partition a few times a second."""

    async def run() -> None:
        while True:
            for partition in (0, 1):
                producer.enqueue(topic, load.record(partition), partition=partition)
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        yield
        task.cancel()


async def applied(replica: FeatureReplica, admin: Admin, topic: str) -> None:
    ends = await admin.end_offsets(await admin.partitions(topic))
    await replica.wait_for(
        [
            Position(stream="changing_clicks", partition=tp.partition, next_offset=end)
            for tp, end in ends.items()
        ],
        timeout=60.0,
    )


def folders(root: Path, number: int) -> Iterator[Path]:
    """Make a folder for each worker."""
    for one in range(number):
        folder = root / str(one)
        folder.mkdir()
        yield folder


def erased_before() -> erasure_pb.ListErasedKeysResponse:
    """Return the list of one entity whose erasure is over: it is looked for in no state again."""
    digest = digest_of(SECRET, ["user"], canonical_key(ERASED[0]))
    key = erasure_pb.ErasedKey(fields=["user"], digest=digest, state_clean=True, complete=True)
    return erasure_pb.ListErasedKeysResponse(revision=1, secret=SECRET, keys=[key])


async def one_that_builds(workers: Sequence[Worker], admin: Admin, log: Topic) -> Worker:
    """Wait until a partition of a new version has something; return who is in the middle of it."""
    tps = [TopicPartition(log.name, number) for number in range(PARTITIONS)]
    await admin.ensure([log])
    async with asyncio.timeout(60.0):
        while not any(ends := (await admin.end_offsets(tps)).values()):
            await asyncio.sleep(EVERY_SECONDS)
    begun = next(number for number, end in enumerate(ends) if end)
    found = max(workers, key=lambda one: opened(one).get(begun, ""))
    assert not any(found.said("view.built"))
    return found


def opened(worker: Worker) -> dict[int, str]:
    """Return when a worker has opened which partitions."""
    return {one["partition"]: one["time"] for one in worker.said("partition.opened")}


async def each_has_one(workers: Sequence[Worker]) -> None:
    """Wait until the group has shared the partitions out."""
    async with asyncio.timeout(60.0):
        while not all(map(opened, workers)):
            await asyncio.sleep(EVERY_SECONDS)


@pytest.mark.parametrize("number", [1, 2])
async def test_the_old_version_is_served_until_the_new_one_is_built_though_a_worker_dies(
    alone: LocalStack, tmp_path: Path, number: int
) -> None:
    """One that is alone comes back; of two the other takes over what the dead one was building."""
    project = normalise(loads(PROJECT).project)
    changed = normalise(loads(CHANGED).project)
    versions = [view_spec(one, "changing_users").version for one in (project, changed)]
    spec = stream_spec(project, "changing_clicks")
    load, topic = Load(spec), spec.topic.name
    broker = Broker(alone.address("kafka"), "test")
    async with (
        one_project(project) as (registry, servicer),
        administering(broker) as admin,
        producing(broker) as producer,
    ):
        servicer.erased = erased_before()
        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic])
        await load.fill(producer, PARTITIONS, RECORDS, DISTINCT)
        async with contextlib.AsyncExitStack() as stack, replicating(broker) as replica:
            workers = [
                await stack.enter_async_context(
                    working(
                        broker,
                        registry,
                        folder,
                        INSTANCE=folder.name,
                        SESSION_SECONDS=str(SESSION_S),
                    )
                )
                for folder in folders(tmp_path, number)
            ]
            await replica.adopt(project, servicer.current)
            await replica.caught_up()
            await applied(replica, admin, topic)
            await each_has_one(workers)
            watcher = Watcher(replica)
            watching = asyncio.create_task(watcher.run())
            async with publishing(load, producer, topic):
                generation = servicer.apply(loads(CHANGED).project)
                began = time.monotonic()
                adopting = asyncio.create_task(replica.adopt(servicer.project, generation))
                (log,) = view_spec(changed, "changing_users").logs()
                dying = await one_that_builds(workers, admin, log)
                dying.kill(for_good=number > 1)
                async with asyncio.timeout(90.0):
                    await adopting
                took = time.monotonic() - began
            assert await producer.flush(60.0) == 0
            await applied(replica, admin, topic)
            await asyncio.sleep(5 * EVERY_SECONDS)
            watching.cancel()

            assert dying.starts == (2 if number == 1 else 1)
            assert [one[0] for one in watcher.seen[:1] + watcher.seen[-1:]] == versions
            counts = [count for _, count, _ in watcher.seen]
            assert counts == sorted(counts), f"a value went back within {took:.1f} s"
            assert all(whole for _, _, whole in watcher.seen)
            new, kept = (replica.read(name, USERS) for name in ("changing_users", "kept_users"))
            np.testing.assert_array_equal(new.values[:, :2], kept.values)
            for name in ("changing_users", "kept_users"):
                assert (replica.read(name, ERASED).status == Status.NOT_FOUND).all()
            assert counts[-1] > counts[0] > DISTINCT
