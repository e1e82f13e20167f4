"""Workers that start at once with much to build share it, and take nothing from one another."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.features_load import Load, Worker, working
from tidemill.project import loads, normalise
from tidemill_common import topics
from tidemill_common.feature_replica import FeatureReplica, replicating
from tidemill_common.feature_views import stream_spec
from tidemill_common.kafka import Admin, Broker, TopicPartition, administering, producing
from tidemill_features.settings import GROUP
from tidemill_features.testing import OneProject, one_project

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

PROJECT = """
project: {name}
streams:
  {name}_clicks:
    key: [user]
    replay: true
    lateness: 2m
    partitions: 2
    fields:
      user: {{type: string, required: true}}
      shop: {{type: string}}
      amount: {{type: float64, resolution: 0.01}}
views:
"""
VIEW = """
  {name}:
    stream: {stream}
    entity: [user]
    aggregations:
      - {{function: count, windows: [1h]}}
      - {{function: sum, field: amount, windows: [1h]}}
      - {{function: max, field: amount, windows: [{window}m]}}
"""
PARTITIONS = 2
NEW = 4
"""Views that were added while no worker ran."""
RECORDS, DISTINCT = 6_000, 300
"""Records of a partition; most are duplicates, for what matters is how long a build takes."""
USERS = [(f"u{number}",) for number in range(200)]
PATIENCE_S = 100.0


def project_of(name: str, views: int) -> str:
    stream = f"{name}_clicks"
    made = (
        VIEW.format(name=f"{name}_{number}", stream=stream, window=number + 1)
        for number in range(views)
    )
    return PROJECT.format(name=name) + "".join(made)


def said(workers: Sequence[Worker], event: str) -> Iterator[Mapping[str, Any]]:
    """Give what workers and their builders have logged under a name."""
    for worker in workers:
        yield from worker.said(event)


async def all_of(workers: Sequence[Worker], event: str) -> None:
    """Wait until each of the workers has said it."""
    async with asyncio.timeout(PATIENCE_S):
        while not all(any(said([worker], event)) for worker in workers):
            await asyncio.sleep(0.1)


def assert_no_crash(workers: Sequence[Worker]) -> None:
    assert not [*said(workers, "worker.crashed"), *said(workers, "app.crashed")]


async def decided(admin: Admin, topic: str) -> None:
    """Wait until the group has got through the stream."""
    tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    async with asyncio.timeout(PATIENCE_S):
        while True:
            committed = await admin.committed(GROUP)
            if all(committed.get(tp, 0) >= RECORDS for tp in tps):
                return
            await asyncio.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Backlog:
    """A stream that the group has got through, and views of it that were added since."""

    kafka: Broker
    registry: str
    folder: Path
    name: str
    replica: FeatureReplica
    servicer: OneProject

    def working(self, number: int) -> AbstractAsyncContextManager[Worker]:
        """Run a worker; under its number it is known to the group again."""
        folder = self.folder / str(number)
        folder.mkdir(exist_ok=True)
        return working(self.kafka, self.registry, folder, INSTANCE=f"{self.name}-{number}")

    async def all_built(self) -> None:
        """Wait until readers take the new views up: they are built in every partition."""
        async with asyncio.timeout(PATIENCE_S):
            await self.replica.adopt(self.servicer.project, self.servicer.current)

    def assert_equal(self) -> None:
        """Every view says what the first one does, which was always there."""
        first = self.replica.read(f"{self.name}_0", USERS)
        assert first.values[:, 0].sum() > DISTINCT
        for number in range(1, 1 + NEW):
            other = self.replica.read(f"{self.name}_{number}", USERS, first.at_us)
            np.testing.assert_array_equal(other.values[:, :2], first.values[:, :2])


@contextlib.asynccontextmanager
async def backlog(kafka: Broker, folder: Path, name: str) -> AsyncIterator[Backlog]:
    """Publish, let one worker get through all of it, end it, and add the views."""
    project = normalise(loads(project_of(name, 1)).project)
    spec = stream_spec(project, f"{name}_clicks")
    async with (
        one_project(project) as (registry, servicer),
        administering(kafka) as admin,
        replicating(kafka) as replica,
    ):
        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic])
        async with producing(kafka) as producer:
            await Load(spec).fill(producer, PARTITIONS, RECORDS, DISTINCT)
        found = Backlog(kafka, registry, folder, name, replica, servicer)
        async with found.working(0):
            await decided(admin, spec.topic.name)
        await found.all_built()
        servicer.apply(loads(project_of(name, 1 + NEW)).project)
        yield found


async def test_each_new_view_is_built_once_by_two_workers_that_start_at_once(
    kafka: Broker, tmp_path: Path
) -> None:
    async with backlog(kafka, tmp_path, "together") as found:
        async with found.working(0) as one, found.working(1) as other:
            workers = [one, other]
            await found.all_built()
            await all_of(workers, "worker.next_generation")
            assert_no_crash(workers)
            assert [worker.starts for worker in workers] == [1, 1]
            built = Counter(
                (facts["view"], facts["partition"]) for facts in said(workers, "view.built")
            )
            assert len(built) == NEW * PARTITIONS
            assert set(built.values()) == {1}
        found.assert_equal()
