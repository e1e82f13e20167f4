"""A worker that holds as much state as it may: it waits, lives and alarms, and loses nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.integration.conftest import StartStack
from tests.integration.driver import Platform, addresses, eventually
from tidemill import Event, merge
from tidemill.cli.exposition import Samples, fetch
from tidemill.client import Client, connect
from tidemill.errors import DeadlineExceeded
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.ingestion.v1.ingestion_service_pb2 import PositionToken
from tidemill.project import loads
from tidemill_local.library import LocalStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(200)]

SERVICES = ("registry", "ingestion", "features-worker", "features-server")
WORKER = "features-worker"
VIEW = "visitors"
PROJECT = """
project: crowded
streams:
  visits:
    key: [user]
    partitions: 2
    fields:
      user: {type: string, required: true}
views:
  visitors:
    stream: visits
    entity: [user]
    aggregations:
      - {function: count, windows: [lifetime]}
"""
LIMIT, ROOM = 1 << 20, 1 << 30
FRIENDS = [f"friend-{number}" for number in range(20)]
LONG = "x" * 500
CROWD = [f"user-{number}-{LONG}" for number in range(2_500)]
"""So many that their keys alone take what a worker may hold."""
NEWCOMERS = [f"new-{number}" for number in range(200)]
WAITING_SECONDS = 3


def published(platform: Platform, users: Sequence[str], name: str) -> PositionToken:
    """Let each user visit once; the name tells these visits from others."""
    return platform.publish(
        [
            Event("visits", {"user": user}, id=f"{name}-{number}", source="test")
            for number, user in enumerate(users)
        ]
    )


def counts(
    client: Client, users: Sequence[str], token: PositionToken | None = None, timeout: float = 30.0
) -> dict[str, tuple[float, int]]:
    """Return count and status of each user."""
    found: dict[str, tuple[float, int]] = {}
    for start in range(0, len(users), 1_000):
        some = users[start : start + 1_000]
        entities = [{"user": user} for user in some]
        reply = client.get_features(VIEW, entities, token=token, timeout=timeout)
        pairs = zip(some, reply.entities, strict=True)
        found |= {user: (one.values[0], one.statuses[0]) for user, one in pairs}
    return found


def said(stack: LocalStack) -> Samples:
    """Return the worker's metrics."""
    return fetch([one.metrics for one in stack.view.processes if one.name == WORKER])


def is_full(stack: LocalStack) -> bool:
    """Tell what the alert StateFull tells."""
    samples = said(stack)
    held, limit = (samples.total(f"tidemill_feature_state_{one}bytes") for one in ("", "limit_"))
    return held is not None and limit == LIMIT and held >= limit


def waiting(client: Client) -> list[pb.ViewState]:
    """Return the logs behind which records wait for some time."""
    states = client.describe_views(lag_times=True).views
    return [one for one in states if one.lag.ToSeconds() >= WAITING_SECONDS]


def test_a_full_worker_waits_and_lives_and_goes_on_where_it_was_when_there_is_room(
    start_stack: StartStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_FEATURES_STATE_BYTES", str(LIMIT))
    stack = start_stack(SERVICES)
    with connect(addresses(stack), author="test") as client:
        platform = Platform(stack, client)
        eventually(lambda: client.apply(loads(PROJECT).project), "apply")
        platform.wait_for_views()
        worker = stack.pid(WORKER)
        token = published(platform, FRIENDS, "friends")
        present = pb.VALUE_STATUS_PRESENT
        assert counts(client, FRIENDS, token) == dict.fromkeys(FRIENDS, (1.0, present))
        assert not is_full(stack)

        token = merge([token, published(platform, CROWD, "crowd")])
        eventually(lambda: is_full(stack), "the worker is full", 30.0)
        token = merge([token, published(platform, [*FRIENDS, *NEWCOMERS], "waiting")])
        for log in eventually(lambda: waiting(client), "records wait", 30.0):
            assert log.since_last_record.ToSeconds() < WAITING_SECONDS  # it is not silent
        assert counts(client, FRIENDS) == dict.fromkeys(FRIENDS, (1.0, present))
        assert {status for _, status in counts(client, NEWCOMERS).values()} == {
            pb.VALUE_STATUS_NOT_FOUND
        }
        with pytest.raises(DeadlineExceeded):
            counts(client, NEWCOMERS, token, timeout=1.0)
        assert stack.pid(WORKER) == worker
        assert '"state.full"' in stack.log(WORKER).read_text()

        monkeypatch.setenv("TIDEMILL_FEATURES_STATE_BYTES", str(ROOM))
        stack.restart(WORKER)
        everybody = dict.fromkeys([*CROWD, *NEWCOMERS], (1.0, present))
        everybody |= dict.fromkeys(FRIENDS, (2.0, present))
        assert counts(client, list(everybody), token, timeout=60.0) == everybody
        assert not waiting(client)
