"""An erased entity is gone from everywhere, stays away, and nobody else notices."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.conftest import StartStack
from tests.integration.driver import MODEL, PROJECT, Platform, addresses, eventually
from tests.integration.erased_places import files_with, records_with
from tidemill import Event
from tidemill.client import connect
from tidemill.definitions.v1 import project_pb2
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.ingestion.v1 import ingestion_service_pb2 as ingestion_pb
from tidemill.project import load
from tidemill.registry.v1 import erasure_service_pb2 as pb

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

SERVICES = ("registry", "ingestion", "features-worker", "features-server", "monitoring")
QUICK = {
    "ERASE_SECONDS": "0.5",
    "ERASE_RAW_SECONDS": "0",
    "ERASE_LOG_SECONDS": "1",
    "ARCHIVE_SECONDS": "1",
    "SNAPSHOT_BYTES": "1048576",
}
GONE = "ada-lovelace-1815"
OTHERS = [f"user-{number}" for number in range(20)]
VIEWS = ("user_visits", "user_habits")
START = datetime.now(UTC) - timedelta(hours=3)


def shop() -> project_pb2.Project:
    """The shop, whose visits are recognised as duplicates for a second only."""
    project = load(PROJECT)
    for stream in project.streams:
        stream.dedupe.FromSeconds(1)
    return project


def visits(first: int, users: Sequence[str], rounds: int = 3) -> list[Event]:
    """Visits of every user, some minutes apart."""
    found = []
    for number, user in enumerate([*users] * rounds, start=first):
        at = START + timedelta(minutes=number % 150)
        data = {
            "visit_id": f"v{number}",
            "user": user,
            "at": at,
            "amount": 1.0 + number % 90,
            "country": "NL" if number % 3 else "DE",
        }
        found.append(Event("visit", data, source="shop", available=at))
    return found


def outcomes(of: Sequence[Event]) -> list[Event]:
    """What became of them, ten minutes later."""
    found = []
    for visit in of:
        at = visit.data["at"] + timedelta(minutes=10)
        name = visit.data["visit_id"]
        data = {"outcome_id": f"o{name}", "visit_id": name, "at": at, "bought": len(name) % 2 == 0}
        found.append(Event("outcome", data, source="shop", available=at))
    return found


def read(platform: Platform, users: Sequence[str]) -> bytes:
    """Values and statuses of users in every view, bit for bit, at one time."""
    at = START + timedelta(hours=3)
    read = b""
    for view in VIEWS:
        reply = platform.client.get_features(view, [{"user": one} for one in users], at=at)
        read += b"".join(one.SerializeToString(deterministic=True) for one in reply.entities)
    return read


def statuses(platform: Platform, user: str) -> set[int]:
    """How the features of one user are."""
    reply = platform.client.get_features("user_visits", [{"user": user}])
    return set(reply.entities[0].statuses)


def found(plan: features_pb.PlanErasureResponse) -> dict[str, int]:
    """What was found, by name, where something was."""
    return {one.name: one.found for one in plan.places if one.found}


def refused(platform: Platform, event: Event) -> str:
    """Why an event is refused; empty if it is not."""
    (result,) = platform.client.publish([event]).results
    rejected = result.outcome == ingestion_pb.OUTCOME_REJECTED
    return str(result.reason) if rejected else ""


def test_an_erased_user_is_gone_from_everywhere_and_stays_away(
    start_stack: StartStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(f"TIDEMILL_FEATURES_{name}", value)
    stack = start_stack(SERVICES)
    with connect(addresses(stack), author="dpo") as client:
        platform = Platform(stack, client)
        eventually(lambda: client.apply(shop()), "apply")
        platform.wait_for_views()
        kafka, folder = stack.address("kafka"), stack.data

        # 1 published, too late for every window, archived, and in two training sets
        hers = visits(0, [GONE], rounds=5)
        theirs = visits(1_000, OTHERS)
        platform.publish([*hers, *theirs])
        late = Event(
            "visit",
            {**hers[0].data, "visit_id": "late", "at": START - timedelta(days=400)},
            source="shop",
        )
        token = platform.publish([late, *outcomes([*hers, *theirs])])
        client.get_features("user_visits", [{"user": GONE}], token=token, timeout=30.0)
        before = read(platform, OTHERS)
        request = features_pb.BuildTrainingSetRequest(model=MODEL)
        held = client.build_training_set(request)
        assert held.rows == 65
        request.to.FromDatetime(START + timedelta(minutes=1))
        plan = client.plan_erasure({"user": GONE})
        counts = found(plan)
        assert counts["user_visits"] == 1
        assert counts["visit"] == 6
        assert counts["events.visit.late"] == 1
        assert counts["events.visit"] >= 1
        assert list(plan.training_sets) == [held.digest]
        assert files_with(folder / "archive", GONE)
        topics = asyncio.run(records_with(kafka, GONE.encode()))
        assert {"events.visit", "events.visit.late"} < set(topics)
        assert any(name.startswith("features.user_visits.") for name in topics)

        # 2 asked for, twice; refused within seconds; the worker dies in the middle
        erasure = client.erase({"user": GONE}, reason="asked by letter")
        assert client.erase({"user": GONE}).erasure_id == erasure.erasure_id
        stack.kill("features-worker")
        asked = time.monotonic()
        late_one = visits(5_000, [GONE], rounds=1)[0]
        reason = eventually(lambda: refused(platform, late_one), "refused", 20.0)
        assert time.monotonic() - asked < 5.0
        assert reason.startswith("ERASED")
        assert not refused(platform, visits(6_000, ["user-3"], rounds=1)[0])

        # 3 complete: and no eye finds it
        def complete() -> pb.Erasure | None:
            now = client.erasure(erasure.erasure_id)
            return now if now.state == pb.ERASURE_STATE_COMPLETE else None

        try:
            done = eventually(complete, "complete", 120.0)
        except AssertionError as error:
            raise AssertionError(str(client.erasure(erasure.erasure_id))) from error
        assert asyncio.run(records_with(kafka, GONE.encode())) == {}
        assert files_with(folder / "archive", GONE) == []
        assert files_with(folder / "artifacts", GONE) == []
        assert files_with(folder / "run", GONE) == []
        assert statuses(platform, GONE) == {features_pb.VALUE_STATUS_NOT_FOUND}
        assert found(client.plan_erasure({"user": GONE})) == {}
        (report,) = [one for one in done.reports if one.service == "features"]
        assert [one.digest for one in report.training_sets] == [held.digest]
        removed = {one.name: one.removed for one in report.places if one.removed}
        assert removed["visit"] == 6
        assert removed["events.visit.late"] == 1
        assert not re.search(GONE, str(client.audit(limit=1_000)))
        actions = [one.action for one in client.audit(limit=1_000)]
        assert {"erasure.requested", "erasure.completed"} <= set(actions)
        assert client.verify_audit().intact

        # 4 others are as they were, and the loop goes on without it
        third = visits(6_000, ["user-3"], rounds=1)
        others = [one for one in OTHERS if one != "user-3"]
        assert read(platform, others) == eventually(lambda: read(platform, others), "read")
        again = client.build_training_set(features_pb.BuildTrainingSetRequest(model=MODEL))
        assert again.rows == 61
        assert files_with(folder / "artifacts", GONE) == []
        assert third
        assert before
