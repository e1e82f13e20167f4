"""An erased entity is gone from everywhere, stays away, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.conftest import StartStack
from tests.integration.driver import MODEL, PROJECT, Platform, Visitors, eventually
from tests.integration.erased_places import files_with, records_with, rows_with
from tests.integration.erasing import completed, found, quick_platform, refused
from tidemill import Event
from tidemill.definitions.v1 import project_pb2
from tidemill.errors import FailedPrecondition, NotFound
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.project import load
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_local.services import NAMES

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

GONE = "ada-lovelace-1815"
OTHERS = [f"user-{number}" for number in range(20)]
SEGMENT = re.compile(r"/kafka/log/[^/]+/[0-9]+\.log$")
"""What was trimmed is in the broker's files until they roll; no reader gets it."""
REFUSED_SECONDS = 5.0
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


def untold(platform: Platform) -> bool:
    """Whether neither her history nor an explanation of her features is told."""
    reasons = []
    for ask in (platform.client.feature_history, platform.client.explain_features):
        with contextlib.suppress(NotFound):
            try:
                ask("user_visits", {"user": GONE})
            except FailedPrecondition as error:
                reasons.append(error.message)
    return len(reasons) == 2 and all(one.startswith("ERASED") for one in reasons)


def fill(platform: Platform) -> features_pb.TrainingSet:
    """Publish hers and theirs, one of hers too late for every window; build a set of them."""
    hers, theirs = visits(0, [GONE], rounds=5), visits(1_000, OTHERS)
    platform.publish([*hers, *theirs])
    at = START - timedelta(days=400)
    late = Event("visit", {**hers[0].data, "visit_id": "late", "at": at}, source="shop")
    token = platform.publish([late, *outcomes([*hers, *theirs])])
    platform.client.get_features("user_visits", [{"user": GONE}], token=token, timeout=30.0)
    held = platform.client.build_training_set(request())
    assert held.rows == 65
    return held


def request() -> features_pb.BuildTrainingSetRequest:
    """Ask for a set of everything."""
    return features_pb.BuildTrainingSetRequest(model=MODEL)


def assert_held(platform: Platform, digest: str) -> None:
    """The plan finds her, and so does whoever looks for himself."""
    plan = platform.client.plan_erasure({"user": GONE})
    counts = found(plan)
    assert (counts["user_visits"], counts["visit"], counts["events.visit.late"]) == (1, 6, 1)
    assert counts["events.visit"] >= 1
    assert list(plan.training_sets) == [digest]
    assert files_with(platform.stack.data / "archive", GONE)
    assert files_with(platform.stack.data / "artifacts", GONE) == []  # by her visits only
    topics = asyncio.run(records_with(platform.stack.address("kafka"), GONE.encode()))
    assert {"events.visit", "events.visit.late"} < set(topics)
    assert any(name.startswith("features.user_visits.") for name in topics)


def assert_gone(platform: Platform) -> None:
    """No eye finds her."""
    assert asyncio.run(records_with(platform.stack.address("kafka"), GONE.encode())) == {}
    left = files_with(platform.stack.data, GONE)
    assert [name for name in left if not SEGMENT.search(name)] == []
    assert statuses(platform, GONE) == {features_pb.VALUE_STATUS_NOT_FOUND}
    assert found(platform.client.plan_erasure({"user": GONE})) == {}


def assert_told(platform: Platform, done: pb.Erasure, digest: str) -> None:
    """What was removed is counted, the set is named, and the audit says it without her key."""
    (report,) = [one for one in done.reports if one.service == "features"]
    assert [one.digest for one in report.training_sets] == [digest]
    removed = {one.name: one.removed for one in report.places if one.removed}
    assert removed["visit"] >= 6  # what was accepted within the second is removed as well
    assert removed["events.visit.late"] == 1
    entries = platform.client.audit(limit=1_000)
    assert GONE not in str(entries)
    assert {"erasure.requested", "erasure.completed"} <= {one.action for one in entries}
    assert platform.client.verify_audit().intact


def test_an_erased_user_is_gone_from_everywhere_and_stays_away(
    start_stack: StartStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick_platform(start_stack, monkeypatch, shop()) as platform:
        stack, client = platform.stack, platform.client
        held = fill(platform)
        others = read(platform, OTHERS)
        assert_held(platform, held.digest)
        assert not untold(platform)

        erasure = client.erase({"user": GONE}, reason="asked by letter")
        assert client.erase({"user": GONE}).erasure_id == erasure.erasure_id
        asked = time.monotonic()
        stack.kill("features-worker")
        another = visits(5_000, [GONE], rounds=1)[0]
        reason = eventually(lambda: refused(platform, another), "refused", 20.0)
        assert time.monotonic() - asked < REFUSED_SECONDS
        assert reason.startswith("ERASED")
        eventually(lambda: untold(platform), "untold", 20.0)
        stack.kill("features-server")

        done = completed(platform, erasure.erasure_id)
        assert_gone(platform)
        assert_told(platform, done, held.digest)
        assert read(platform, OTHERS) == others
        assert refused(platform, another)
        assert untold(platform)
        assert client.erase({"user": GONE}) == done
        assert not refused(platform, visits(6_000, ["user-3"], rounds=1)[0])
        assert client.build_training_set(request()).rows == 60


def test_versions_that_learned_from_her_are_named_and_predictions_about_her_are_let_go(
    start_stack: StartStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick_platform(start_stack, monkeypatch, shop(), NAMES) as platform:
        stack, client = platform.stack, platform.client
        visited, bought = Visitors(seed=5).come(2600)
        hers = [replace(one, data={**one.data, "user": GONE}) for one in visited[:20]]
        platform.publish([*hers, *visited[20:]])
        platform.publish(bought)
        number = platform.wait_for_champion(0, 200)
        platform.wait_for_answer(visited[-1])
        platform.predict(hers)

        def logged() -> bool:
            topics = asyncio.run(records_with(stack.address("kafka"), GONE.encode()))
            return f"predictions.{MODEL}" in topics

        eventually(logged, "her predictions are logged")
        done = completed(platform, client.erase({"user": GONE}).erasure_id)
        assert asyncio.run(records_with(stack.address("kafka"), GONE.encode())) == {}
        assert asyncio.run(rows_with(stack.address("postgres"), GONE)) == {}
        assert files_with(stack.data / "artifacts", GONE) == []
        assert files_with(stack.data / "archive", GONE) == []
        features, monitoring = sorted(done.reports, key=lambda one: one.service)
        (held,) = features.training_sets
        assert held.rows == len(hers)
        assert [(one.model, one.number) for one in held.versions] == [(MODEL, number)]
        removed = {one.name: one.removed for one in (*features.places, *monitoring.places)}
        assert removed[f"predictions.{MODEL}"] >= 1
        assert removed["raw rows"] == len(hers)
        assert removed["samples"] >= 1
        verified = client.verify_vectors(MODEL)
        assert verified.mismatches == 0
        assert client.version(MODEL, number).number == number
        assert platform.predict(visited[-1:])
