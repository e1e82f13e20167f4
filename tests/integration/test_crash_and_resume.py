"""`kill -9` of each part under load: nothing accepted is lost or counted twice, and the loop goes on."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.integration.conftest import FirstVersion
from tests.integration.driver import MODEL, Platform, Visitors, eventually
from tests.integration.load import Load, recomputed, served
from tidemill.training.v1 import training_service_pb2 as training_pb
from tidemill_local.stack_file import ProcessState

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(400)]

SEEDS = itertools.count(100)
SLOW_RUN = {"epochs": 80.0, "patience": 80.0, "batch_size": 16.0}
"""Long enough that several heartbeats, three a lease, tell of its last fifth."""


def a_crowd(first_version: FirstVersion) -> Visitors:
    """New visitors, days after everyone before them, so that their windows hold only them."""
    seed = next(SEEDS)
    shared = first_version.visitors
    shared.at += shared.every * 5_000
    return Visitors(seed=seed, at=shared.at, users=50)


def assert_exact(platform: Platform, load: Load) -> None:
    """Features equal an independent recomputation from what was accepted."""
    at = load.visits[-1].data["at"]
    expected = recomputed(load.visits, at)
    users = sorted(expected)

    def same() -> bool:
        return served(platform, users, at) == expected

    try:
        eventually(same, "exact features", 60.0)
    except AssertionError:
        found = served(platform, users, at)
        wrong = {u: (found[u], expected[u]) for u in users if found[u] != expected[u]}
        raise AssertionError(f"(served, expected) of {len(wrong)} users: {wrong}") from None


@pytest.mark.parametrize("part", ["features-worker", "ingestion", "kafka"])
def test_a_killed_part_loses_nothing_and_counts_nothing_twice(
    first_version: FirstVersion, part: str
) -> None:
    platform, crowd = first_version.platform, a_crowd(first_version)
    with Load(platform, crowd) as load:
        for _ in range(2):
            load.wait_for(100)
            platform.stack.kill(part)
            load.wait_for(100, 120.0)
        first_version.visitors.at = crowd.at
    assert_exact(platform, load)


def test_an_edge_that_starts_while_the_registry_is_away_rejects_nothing(
    first_version: FirstVersion,
) -> None:
    """It knows no stream yet, and says that this is for later: a rejection would be final."""
    platform, crowd = first_version.platform, a_crowd(first_version)
    with Load(platform, crowd) as load:
        load.wait_for(100)
        platform.stack.kill_and_hold("registry")
        try:
            platform.stack.kill_and_hold("ingestion")
            platform.stack.start_process("ingestion")
            platform.stack.wait_until("ingestion", {ProcessState.UP}, 60.0)
            waiting = len(load.visits)
            time.sleep(2.0)
            assert len(load.visits) == waiting
        finally:
            platform.stack.start_process("registry")
        load.wait_for(100, 120.0)
        first_version.visitors.at = crowd.at
    assert_exact(platform, load)


@pytest.mark.parametrize("part", ["serving", "triton"])
def test_predictions_come_back_after_a_kill(first_version: FirstVersion, part: str) -> None:
    platform, crowd = first_version.platform, a_crowd(first_version)
    with Load(platform, crowd, predicting=True, pause_s=0.1) as load:
        load.wait_for(50)
        assert load.answered
        platform.stack.kill(part)
        killed = time.monotonic()
        before = load.answered
        eventually(lambda: load.answered > before + 3, f"answers after {part} was killed", 60.0)
        assert time.monotonic() - killed < 60.0
        first_version.visitors.at = crowd.at
    assert not [error for error in load.errors if not error.startswith(("Unavail", "Deadline"))]


def test_a_worker_killed_at_80_percent_of_a_run_leads_to_one_version(
    first_version: FirstVersion,
) -> None:
    platform = first_version.platform
    run = platform.client.submit_run(MODEL, reason="a long run", overrides=SLOW_RUN)

    def far() -> bool:
        now = platform.client.run(run.run_id)
        return now.state == training_pb.RUN_STATE_RUNNING and now.progress >= 0.8

    eventually(far, "a run at 80 %", 180.0)
    platform.stack.kill("training-worker")

    def ended() -> training_pb.Run | None:
        now = platform.client.run(run.run_id)
        open_states = (training_pb.RUN_STATE_QUEUED, training_pb.RUN_STATE_RUNNING)
        return None if now.state in open_states else now

    last = eventually(ended, "the end of the run", 180.0)
    assert last.state == training_pb.RUN_STATE_SUCCEEDED, last.error
    assert last.attempt >= 2
    versions = platform.client.versions(MODEL, limit=100)
    assert [v.number for v in versions if v.lineage.run_id == run.run_id] == [last.version]
