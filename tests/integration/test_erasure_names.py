"""An entity is erased from a stream that calls it otherwise, also if that is said afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.conftest import StartStack
from tests.integration.driver import PROJECT, Platform, addresses, eventually
from tests.integration.erased_places import files_with, records_with
from tests.integration.erasing import QUICK, SERVICES, completed, found, refused
from tidemill import Event
from tidemill.client import connect
from tidemill.definitions.v1 import project_pb2
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.project import loads
from tidemill.registry.v1 import erasure_service_pb2 as pb

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

STREAMS = """streams:
  call:
    key: [ticket]
    replay: true
    fields:
      ticket: {type: string, required: true}
      customer: {type: string, required: true}
      user: {type: string}
  invoice:
    key: [customer]
    replay: true
    fields:
      customer: {type: string, required: true}
"""
CONTACTS = """views:
  user_contacts:
    entity: [user]
    sources:
      - stream: visit
      - {stream: call, columns: {user: customer}}
    aggregations:
      - {function: count, windows: [lifetime]}
"""
EARLIER, GONE, CLERK = "mary-somerville-1780", "ada-lovelace-1815", "clerk-1"
OTHERS = [f"user-{number}" for number in range(8)]
EVERYBODY = [EARLIER, GONE, *OTHERS]
VISITS, CALLED = 3, 2
"""Of everybody."""
START = datetime.now(UTC) - timedelta(hours=3)


def shop(*, contacts: bool) -> project_pb2.Project:
    """The shop with calls, which call a user a customer where a view of contacts says so."""
    text = PROJECT.read_text().replace("streams:\n", STREAMS, 1)
    if contacts:
        text = text.replace("views:\n", CONTACTS, 1)
    loaded = loads(text)
    assert not loaded.problems
    for stream in loaded.project.streams:
        stream.dedupe.FromSeconds(1)
    return loaded.project


def visit(user: str, number: int) -> Event:
    at = START + timedelta(minutes=number)
    data = {
        "visit_id": f"v-{EVERYBODY.index(user)}-{number}",
        "user": user,
        "at": at,
        "amount": 1.0 + number,
        "country": "NL",
    }
    return Event("visit", data, source="shop", available=at)


def call(customer: str, number: int, *, clerk: str = CLERK, days: int = 0) -> Event:
    """A call; the `user` of a call is the clerk who took it."""
    at = START + timedelta(minutes=number, days=-days)
    data = {"ticket": f"t-{customer}-{number}-{days}", "customer": customer, "user": clerk}
    return Event("call", data, source="desk", time=at, available=at)


def invoice(customer: str, number: int = 0) -> Event:
    at = START + timedelta(minutes=number)
    return Event("invoice", {"customer": customer}, source="till", time=at, available=at)


def contacts(platform: Platform, users: Sequence[str]) -> list[float]:
    reply = platform.client.get_features("user_contacts", [{"user": one} for one in users])
    assert all(
        set(one.statuses) <= {features_pb.VALUE_STATUS_PRESENT, features_pb.VALUE_STATUS_STALE}
        for one in reply.entities
    )
    return [one.values[0] for one in reply.entities]


def is_nobody(platform: Platform, user: str) -> bool:
    reply = platform.client.get_features("user_contacts", [{"user": user}])
    return set(reply.entities[0].statuses) == {features_pb.VALUE_STATUS_NOT_FOUND}


def topics_with(platform: Platform, key: str) -> set[str]:
    return set(asyncio.run(records_with(platform.stack.address("kafka"), key.encode())))


def archives_with(platform: Platform, key: str) -> set[str]:
    return {name.partition("/")[0] for name in files_with(platform.stack.data / "archive", key)}


def erase(platform: Platform, user: str) -> pb.Erasure:
    return completed(platform, platform.client.erase({"user": user}).erasure_id)


def applied(platform: Platform, project: project_pb2.Project) -> None:
    eventually(lambda: platform.client.apply(project), "apply")
    platform.wait_for_views()


def test_an_entity_is_gone_from_a_stream_that_calls_it_otherwise_and_stays_in_one_that_does_not(
    start_stack: StartStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    stack = start_stack(SERVICES)
    with connect(addresses(stack), author="dpo") as client:
        platform = Platform(stack, client)
        applied(platform, shop(contacts=False))
        platform.publish([visit(user, number) for user in EVERYBODY for number in range(VISITS)])
        platform.publish([call(user, number) for user in EVERYBODY for number in range(CALLED)])
        platform.publish([call(user, 0, days=400) for user in (EARLIER, GONE)])
        platform.publish([invoice(user) for user in EVERYBODY])

        # a call is no contact yet: it names nobody's user but the clerk
        before = erase(platform, EARLIER)
        assert topics_with(platform, EARLIER) >= {"events.call", "events.call.late"}
        assert archives_with(platform, EARLIER) == {"call", "invoice"}
        assert not refused(platform, call(EARLIER, 10))

        # now it is: what is complete begins again
        plan = client.apply(shop(contacts=True), plan_only=True)
        assert "user is customer in call" in str(plan.changes)
        applied(platform, shop(contacts=True))
        again = completed(platform, before.erasure_id)
        assert again.HasField("reopened_time")
        assert topics_with(platform, EARLIER) == {"events.invoice"}
        assert archives_with(platform, EARLIER) == {"invoice"}
        assert refused(platform, call(EARLIER, 11)).startswith("ERASED")
        assert is_nobody(platform, EARLIER)
        assert contacts(platform, [GONE, *OTHERS]) == [VISITS + CALLED] * (1 + len(OTHERS))

        # and whoever is erased from now on is gone at once
        platform.publish([call(GONE, 20), call(GONE, 20, days=400)])
        places = found(client.plan_erasure({"user": GONE}))
        assert places["call"] >= CALLED
        assert {"user_contacts", "visit", "events.call"} <= set(places)
        assert "invoice" not in places
        done = erase(platform, GONE)
        assert not done.HasField("reopened_time")
        assert topics_with(platform, GONE) == {"events.invoice"}
        assert archives_with(platform, GONE) == {"invoice"}
        assert refused(platform, call(GONE, 21)).startswith("ERASED")
        assert refused(platform, call(OTHERS[0], 21, clerk=GONE)).startswith("ERASED")
        assert not refused(platform, invoice(GONE, 1))
        assert is_nobody(platform, GONE)
        assert contacts(platform, OTHERS) == [VISITS + CALLED] * len(OTHERS)
        assert found(client.plan_erasure({"user": GONE})) == {}
