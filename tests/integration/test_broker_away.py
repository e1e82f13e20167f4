"""A features worker without its broker says so and ends; when the broker is back all is exact."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.features_load import Load, Worker, working
from tidemill.ingestion.v1.ingestion_service_pb2 import Position
from tidemill.project import loads, normalise
from tidemill_common import topics
from tidemill_common.feature_replica import replicating
from tidemill_common.feature_views import stream_spec
from tidemill_common.kafka import Broker, administering, producing
from tidemill_features.testing import one_project
from tidemill_local.library import LocalStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

PROJECT = """
project: away
streams:
  away_clicks:
    key: [user]
    fields:
      user: {type: string, required: true}
      shop: {type: string}
      amount: {type: float64, resolution: 0.01}
views:
  away_users:
    stream: away_clicks
    entity: [user]
    aggregations:
      - {function: count, windows: [lifetime]}
"""
HURRIED = ("tests.integration.hurried",)
ROOT = Path(__file__).parents[2]
USERS = [f"u{number}" for number in range(5)]
EACH = 10
"""Records in a round, of an event of each user; every second one is sent twice."""
PATIENCE_S = 60.0


async def has_said(worker: Worker, event: str) -> str:
    """Wait until the worker has logged something; return the trace, if it tells of an error."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := list(worker.said(event))):
            await asyncio.sleep(0.1)
    return str(found[0].get("error_trace", ""))


async def test_a_worker_that_is_cut_off_ends_with_a_reason_and_goes_on_exactly(
    alone: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    project = normalise(loads(PROJECT).project)
    spec, sent, numbers = stream_spec(project, "away_clicks"), Counter[str](), iter(range(10**6))
    load, broker = Load(spec), Broker(alone.address("kafka"), "test")
    async with (
        one_project(project) as (registry, servicer),
        administering(broker) as admin,
        producing(broker) as producer,
        replicating(broker) as replica,
    ):

        def come() -> None:
            for number in range(EACH):
                now_us = time.time_ns() // 1_000
                rows = [(f"e{next(numbers)}", user, "s", 1.0, now_us) for user in USERS]
                sent.update(USERS)
                for _ in range(1 + number % 2):
                    producer.enqueue(spec.topic.name, load.encoded(rows), partition=0)

        async def assert_exact() -> None:
            assert await producer.flush(PATIENCE_S) == 0
            ends = await admin.end_offsets(await admin.partitions(spec.topic.name))
            where = [
                Position(stream=spec.name, partition=tp.partition, next_offset=end)
                for tp, end in ends.items()
            ]
            await replica.wait_for(where, timeout=PATIENCE_S)
            found = replica.read("away_users", [(user,) for user in USERS])
            assert found.values[:, 0].tolist() == [sent[user] for user in USERS]

        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic])
        await replica.adopt(project, servicer.current)
        async with working(broker, registry, tmp_path, HURRIED) as worker:
            come()
            await assert_exact()
            await asyncio.to_thread(alone.kill_and_hold, "kafka")
            come()
            assert "Unavailable" in await has_said(worker, "worker.crashed")
            await has_said(worker, "broker.away")
            assert worker.starts > 1
            alone.start_process("kafka")
            await asyncio.to_thread(alone.wait_ready, "kafka")
            come()
            await assert_exact()
