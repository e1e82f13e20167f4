"""A changed view is built beside the served one, compared, and taken up when a person says so."""

from __future__ import annotations

import contextlib
import math
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.integration.conftest import StartStack
from tests.integration.driver import Platform, addresses, eventually
from tests.integration.shell import Shell
from tidemill import Event
from tidemill.client import Client, connect
from tidemill.errors import FailedPrecondition, NotFound
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.ingestion.v1.ingestion_service_pb2 import PositionToken
from tidemill.project import loads

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

SERVICES = ("registry", "ingestion", "features-worker", "features-server")
VIEW = "clickers"
PROJECT = """
project: clicking
streams:
  clicks:
    key: [user]
    partitions: 2
    fields:
      user: {type: string, required: true}
      amount: {type: float64, required: true, resolution: 0.01}
views:
  clickers:
    stream: clicks
    entity: [user]
    aggregations:
      - {function: count, windows: [lifetime]}
      - {function: sum, field: amount, windows: [lifetime]}
"""
CHANGED = (
    PROJECT.replace("    entity: [user]\n", "    entity: [user]\n    filter: amount > 10\n")
    + "      - {function: max, field: amount, windows: [lifetime]}\n"
)
ANOTHER = CHANGED.replace("amount > 10", "amount > 15")
USERS = 30
EACH = 10
"""Events of a user in one round."""
CHEAP, DEAR = 5.0, 20.0


@dataclass
class Clicking:
    """What was published, by user."""

    platform: Platform
    cheap: Counter[str] = field(default_factory=Counter)
    dear: Counter[str] = field(default_factory=Counter)
    erased: set[str] = field(default_factory=set)
    rounds: int = 0

    def publish(self) -> PositionToken:
        """Let every user click: the first of three cheaply, the second half and half."""
        self.rounds += 1
        events = []
        for user in (user for user in range(USERS) if f"u{user}" not in self.erased):
            for number in range(EACH):
                is_dear = user % 3 == 2 or (user % 3 == 1 and number % 2 == 1)
                (self.dear if is_dear else self.cheap)[f"u{user}"] += 1
                data = {"user": f"u{user}", "amount": DEAR if is_dear else CHEAP}
                identity = f"{self.rounds}-{user}-{number}"
                events.append(Event("clicks", data, id=identity, source="test"))
        return self.platform.publish(events)

    def forget(self, user: str) -> None:
        """Count and publish nothing of a user any more."""
        self.erased.add(user)
        for counts in (self.cheap, self.dear):
            del counts[user]

    def counts(self, token: PositionToken, version: str = "") -> dict[str, float]:
        """Return the count of every user that has one."""
        names = sorted(self.cheap | self.dear)
        reply = self.platform.client.get_features(
            VIEW, [{"user": name} for name in names], token=token, version=version, timeout=60.0
        )
        place = list(reply.features).index("count_lifetime")
        values = [one.values[place] for one in reply.entities]
        return {
            name: value for name, value in zip(names, values, strict=True) if not math.isnan(value)
        }

    def assert_both_count(self, token: PositionToken, served: str, coming: str) -> None:
        assert self.counts(token, served) == self.counts(token) == self.cheap + self.dear
        assert self.counts(token, coming) == self.dear


@dataclass
class Watcher:
    """Reads a user all the time, and remembers each version with what it said."""

    client: Client
    seen: list[tuple[str, float]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.wait(0.01):
            reply = self.client.get_features(VIEW, [{"user": "u2"}])
            self.seen.append((reply.view_version, reply.entities[0].values[0]))


@contextlib.contextmanager
def watching(client: Client) -> Iterator[Watcher]:
    watcher = Watcher(client)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        yield watcher
    finally:
        watcher.ended.set()
        thread.join()


def held(client: Client) -> pb.NextGeneration:
    """Wait until what is held is built."""

    def look() -> pb.NextGeneration | None:
        reply = client.describe_views()
        built = reply.HasField("next") and reply.next.state == pb.NEXT_STATE_HELD
        return reply.next if built else None

    return eventually(look, "what is held is built", 90.0)


def is_gone(client: Client, user: str, version: str) -> bool:
    reply = client.get_features(VIEW, [{"user": user}], version=version)
    return set(reply.entities[0].statuses) == {pb.VALUE_STATUS_NOT_FOUND}


def test_a_changed_view_is_held_compared_and_switched_to_or_given_up(
    start_stack: StartStack, tmp_path: Path
) -> None:
    stack = start_stack(SERVICES)
    shell = Shell(tmp_path, {"TIDEMILL_STACK": str(tmp_path / "stack0" / "stack.json")})
    (tmp_path / "changed.yaml").write_text(CHANGED)
    with connect(addresses(stack), author="test") as client:
        clicking = Clicking(Platform(stack, client))
        eventually(lambda: client.apply(loads(PROJECT).project), "apply")
        clicking.platform.wait_for_views()
        clicking.publish()
        served = client.describe_view(VIEW).version
        with pytest.raises(FailedPrecondition, match="no other version of 'clickers'"):
            client.diff_features(VIEW)

        assert "held: generation" in shell.run("apply", "changed.yaml", "--hold-switch").out
        coming = held(client).views[0].version
        clicking.assert_both_count(clicking.publish(), served, coming)
        assert_described(client, served, coming)
        assert_compared(client)
        with pytest.raises(NotFound, match="no version 'f00'") as unknown:
            client.get_features(VIEW, [{"user": "u2"}], version="f00")
        assert unknown.value.hint == f"there is {served} and {coming}"
        with pytest.raises(FailedPrecondition, match="is held beside the current one"):
            client.apply(loads(ANOTHER).project)

        stack.kill("features-worker")
        clicking.assert_both_count(clicking.publish(), served, coming)
        client.erase({"user": "u1"})
        clicking.forget("u1")
        for version in (served, coming):
            eventually(partial(is_gone, client, "u1", version), "u1 is gone")

        with watching(client) as watcher:
            token = clicking.publish()
            assert "switched: generation" in shell.run("features", "switch").out
            eventually(lambda: client.describe_view(VIEW).version == coming, "the switch", 30.0)
            token = clicking.publish()
            assert clicking.counts(token) == clicking.dear
        assert_no_gap(watcher, [served, coming])
        with pytest.raises(NotFound, match=f"no version '{served}'"):
            client.get_features(VIEW, [{"user": "u2"}], version=served)

        client.hold(loads(ANOTHER).project)
        dropped = held(client).views[0].version
        assert client.abort().generation
        eventually(lambda: not client.describe_views().HasField("next"), "nothing is held")
        with pytest.raises(NotFound, match=f"no version '{dropped}'"):
            client.get_features(VIEW, [{"user": "u2"}], version=dropped)
        assert clicking.counts(clicking.publish()) == clicking.dear
        assert not client.abort().generation


def assert_described(client: Client, served: str, coming: str) -> None:
    described = client.describe_view(VIEW)
    assert (described.version, described.next.held) == (served, True)
    assert {one.version for one in described.next.views} == {coming}
    assert list(described.added_features) == ["max_amount_lifetime"]
    progress = client.describe_views().next
    assert progress.records == progress.records_total > 0
    assert all(one.ready for one in progress.views)


def assert_compared(client: Client) -> None:
    """A third of the users has no dear event, a third has some, a third has no other."""
    reply = client.diff_features(VIEW, sample=USERS, worst=USERS)
    assert (reply.entities, reply.entities_total, reply.entities_different) == (30, 30, 20)
    assert (reply.records_apart, list(reply.added_features)) == (0, ["max_amount_lifetime"])
    (count,) = [one for one in reply.features if one.feature == "count_lifetime"]
    assert (count.equal, count.changed, count.appeared, count.gone) == (10, 10, 0, 10)
    assert (count.max_difference, count.max_relative) == (EACH, 0.5)
    assert count.mean_relative == pytest.approx(0.25)
    worst = [one.entity.fields["user"] for one in reply.worst]
    assert {int(name[1:]) % 3 for name in worst[:10]} == {0}
    assert {int(name[1:]) % 3 for name in worst[10:]} == {1}


def assert_no_gap(watcher: Watcher, versions: list[str]) -> None:
    """Every read was answered, by the old version and then by the new one; none went back."""
    assert list(dict.fromkeys(version for version, _ in watcher.seen)) == versions
    counts = [count for _, count in watcher.seen]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
