"""A worker that is told to stop hands its partitions over at once, not when its session ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.features_load import Load, Worker, working
from tidemill.project import loads, normalise
from tidemill_common import topics
from tidemill_common.feature_views import stream_spec
from tidemill_common.kafka import Broker, administering, producing
from tidemill_features.settings import GROUP
from tidemill_features.testing import one_project

pytestmark = [pytest.mark.stack, pytest.mark.timeout(200)]

PROJECT = """
project: stops
streams:
  stops_clicks:
    key: [user]
    replay: true
    lateness: 2m
    partitions: 2
    fields:
      user: {type: string, required: true}
      shop: {type: string}
      amount: {type: float64, resolution: 0.01}
views:
  stops_users:
    stream: stops_clicks
    entity: [user]
    aggregations:
      - {function: count, windows: [1h]}
"""
SESSION_S = 60
"""Longer than this test waits for anything."""
PATIENCE_S = 45.0


def opened(worker: Worker) -> int:
    """Return how many partitions a worker has opened so far."""
    return worker.log.read_text().count('"partition.opened"') if worker.log.exists() else 0


async def until_opened(worker: Worker, partitions: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while opened(worker) < partitions:
            await asyncio.sleep(0.1)


async def test_the_partitions_of_a_stopped_worker_go_to_another_before_its_session_ends(
    kafka: Broker, tmp_path: Path
) -> None:
    project = normalise(loads(PROJECT).project)
    spec = stream_spec(project, "stops_clicks")
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    async with one_project(project) as (registry, _), administering(kafka) as admin:
        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic])
        async with producing(kafka) as producer:
            load = Load(spec)
            for partition in (0, 1):
                await producer.send(spec.topic.name, load.record(partition), partition=partition)
        settings = {"SESSION_SECONDS": str(SESSION_S)}
        instances = [f"{tmp_path.name}-{folder.name}" for folder in folders]
        async with working(kafka, registry, folders[0], INSTANCE=instances[0], **settings) as one:
            await until_opened(one, 2)
            async with working(
                kafka, registry, folders[1], INSTANCE=instances[1], **settings
            ) as other:
                await until_opened(other, 1)
                assert one.process is not None
                one.process.terminate()
                await until_opened(other, 2)
        for instance in instances:  # else other tests wait for the session of what was killed
            await admin.leave(GROUP, instance)
