"""An entity is erased from a stream that calls it otherwise, also if that is said afterwards.

By another column, or by an expression over its columns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from tests.integration.conftest import StartStack
from tests.integration.driver import PROJECT, Platform, eventually
from tests.integration.erased_places import files_with, records_with
from tests.integration.erasing import applied, completed, found, quick_platform, refused
from tidemill import Event
from tidemill.definitions.v1 import project_pb2
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.project import loads
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_common import events as wire
from tidemill_common.feature_views import stream_spec
from tidemill_common.kafka import Broker, producing

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(420)]

STREAMS = """streams:
  call:
    key: [ticket]
    replay: true
    fields:
      ticket: {type: string, required: true}
      customer: {type: string, required: true}
      user: {type: string}
      waited: {type: float64}
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
      - {stream: call, columns: {user: MAPPED}}
    aggregations:
      - {function: count, windows: [lifetime]}
"""
EARLIER, GONE, CLERK = "mary-somerville-1780", "ada-lovelace-1815", "clerk-1"
OTHERS = [f"user-{number}" for number in range(8)]
EVERYBODY = [EARLIER, GONE, *OTHERS]
VISITS, CALLED = 3, 2
"""Of everybody."""
BEYOND = 2.0**60
"""A number that features cannot hold: what has it is set aside."""
START = datetime.now(UTC) - timedelta(hours=3)


def shop(mapped: str = "") -> project_pb2.Project:
    """The shop with calls, and with a view of contacts that maps users from them."""
    text = PROJECT.read_text().replace("streams:\n", STREAMS, 1)
    if mapped:
        text = text.replace("views:\n", CONTACTS.replace("MAPPED", mapped), 1)
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


def append(platform: Platform, events: Sequence[Event], *, waited: float = 1.0) -> None:
    """Append calls to their topic, past the edge; nobody can hold it if one `waited` too long."""
    spec = stream_spec(platform.client.project().project, "call")
    rows = [
        {"_id": one.id, "_source": one.source, "_time": one.time, "_available": one.time}
        | {**one.data, "waited": waited}
        for one in events
    ]
    batch = pa.RecordBatch.from_pylist(rows, schema=wire.event_schema(spec.columns))

    async def send() -> None:
        async with producing(Broker(platform.stack.address("kafka"), "test")) as producer:
            await producer.send(spec.topic.name, wire.encode(batch), partition=0)

    asyncio.run(send())


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


def topics_with(platform: Platform, *keys: str) -> set[str]:
    words = [key.encode() for key in keys]
    return set(asyncio.run(records_with(platform.stack.address("kafka"), *words)))


def archives_with(platform: Platform, *keys: str) -> set[str]:
    folder = platform.stack.data / "archive"
    return {name.partition("/")[0] for key in keys for name in files_with(folder, key)}


def erase(platform: Platform, user: str) -> pb.Erasure:
    return completed(platform, platform.client.erase({"user": user}).erasure_id)


@dataclass(frozen=True, slots=True)
class Desk:
    """A platform whose calls name users as `mapped` wants it."""

    platform: Platform
    mapped: str

    def known_as(self, user: str) -> str:
        """Whom a call names as its customer."""
        return user if self.mapped == "customer" else user.upper()

    def calls(self, users: Sequence[str], number: int, *, days: int = 0) -> list[Event]:
        return [call(self.known_as(user), number, days=days) for user in users]

    def everywhere(self, user: str) -> tuple[set[str], set[str]]:
        """Topics and archives that hold a user."""
        words = {user, self.known_as(user)}
        return topics_with(self.platform, *words), archives_with(self.platform, *words)

    def is_dead(self, user: str) -> bool:
        """Whether a dead letter is about a user."""
        letters = self.platform.client.dead_letters("call", limit=100).dead_letters
        return any(self.known_as(user).encode() in one.value for one in letters)

    def fill(self) -> None:
        """Let everybody visit, call and pay; some call late, and some calls are set aside."""
        visits = [visit(user, number) for user in EVERYBODY for number in range(VISITS)]
        self.platform.publish(visits)
        for number in range(CALLED):
            self.platform.publish(self.calls(EVERYBODY, number))
        self.platform.publish(self.calls([EARLIER, GONE], 0, days=400))
        self.platform.publish([invoice(user) for user in EVERYBODY])
        for user in (EARLIER, GONE, OTHERS[0]):
            append(self.platform, self.calls([user], 5), waited=BEYOND)
        eventually(lambda: self.is_dead(OTHERS[0]), "set aside")

    def assert_nothing_comes_of(self, user: str, other: str) -> None:
        """What is appended past the edge is in no place but the topic itself."""
        append(self.platform, self.calls([user, other], 30))
        append(self.platform, self.calls([user, other], 31), waited=BEYOND)
        eventually(lambda: self.is_dead(other), "set aside")
        ticket = self.calls([other], 30)[0].data["ticket"]
        eventually(lambda: archives_with(self.platform, ticket), "archived")
        assert not self.is_dead(user)
        assert self.everywhere(user) == ({"events.invoice", "events.call"}, {"invoice"})
        assert is_nobody(self.platform, user)


@pytest.mark.parametrize("mapped", ["customer", "lower(customer)"])
def test_an_entity_is_gone_from_a_stream_that_calls_it_otherwise_and_stays_in_one_that_does_not(
    mapped: str, start_stack: StartStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick_platform(start_stack, monkeypatch, shop()) as platform:
        client, desk = platform.client, Desk(platform, mapped)
        desk.fill()

        # a call is no contact yet: it names nobody's user but the clerk
        before = erase(platform, EARLIER)
        topics, archives = desk.everywhere(EARLIER)
        assert topics >= {"events.call", "events.call.late", "events.call.dlq"}
        assert archives == {"call", "invoice"}
        assert not refused(platform, *desk.calls([EARLIER], 10))

        # now it is: what is complete begins again
        plan = client.apply(shop(mapped), plan_only=True)
        assert f"user is {mapped} in call" in str(plan.changes)
        applied(platform, shop(mapped))
        again = completed(platform, before.erasure_id)
        assert again.HasField("reopened_time")
        assert desk.everywhere(EARLIER) == ({"events.invoice"}, {"invoice"})
        assert refused(platform, *desk.calls([EARLIER], 11)).startswith("ERASED")
        assert is_nobody(platform, EARLIER)
        assert contacts(platform, [GONE, *OTHERS]) == [VISITS + CALLED] * (1 + len(OTHERS))
        assert desk.is_dead(GONE)

        # and whoever is erased from now on is gone at once
        platform.publish([*desk.calls([GONE], 20), *desk.calls([GONE], 20, days=400)])
        platform.publish(desk.calls([OTHERS[0]], 20, days=400))
        places = found(client.plan_erasure({"user": GONE}))
        assert places["call"] >= CALLED
        assert {"user_contacts", "visit", "events.call", "events.call.dlq"} <= set(places)
        assert "invoice" not in places
        done = erase(platform, GONE)
        assert not done.HasField("reopened_time")
        assert desk.everywhere(GONE) == ({"events.invoice"}, {"invoice"})
        assert refused(platform, *desk.calls([GONE], 21)).startswith("ERASED")
        assert refused(platform, call(OTHERS[0], 21, clerk=GONE)).startswith("ERASED")
        assert not refused(platform, invoice(GONE, 1))
        assert is_nobody(platform, GONE)
        assert contacts(platform, OTHERS) == [VISITS + CALLED] * len(OTHERS)
        assert found(client.plan_erasure({"user": GONE})) == {}
        topics, archives = desk.everywhere(OTHERS[0])
        assert topics >= {"events.call.late", "events.call.dlq"}
        assert archives == {"call", "invoice", "visit"}
        desk.assert_nothing_comes_of(GONE, OTHERS[1])
