"""What a person sees of features: what made a value, how it went over time, how a view is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.driver import (
    COUNTRIES,
    PROJECT,
    START,
    Platform,
    Visitors,
    addresses,
    eventually,
)
from tests.integration.foreign import make_topics, write
from tests.integration.shell import Shell
from tidemill import Event, merge
from tidemill.client import Client, connect
from tidemill.definitions.v1.project_pb2 import FUNCTION_QUANTILE
from tidemill.errors import Invalid, NotFound
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.project import loads, normalise
from tidemill_local.library import LocalStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

VIEW = "user_visits"
SERVICES = ("registry", "ingestion", "ingestion-bridge", "features-worker", "features-server")
USER = "u0"
FOREIGN = """\
streams:
  ride:
    key: [rider]
    fields:
      rider: {type: string, required: true}
    source: {topic: rides.raw, format: json}
"""
PAIRS = """\
views:
  user_countries:
    stream: visit
    entity: [user, country]
    ttl: 200m
    aggregations:
      - {function: count, windows: [10s, 90d, lifetime]}
      - {function: sum, field: amount, windows: [90d], default: -1}
"""
LATENESS = "  visit:\n    lateness: 7d\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """A stack in which users came, some visits twice, one of them too late to count."""

    platform: Platform
    stack_file: Path
    visits: list[Event]
    at: datetime

    @property
    def client(self) -> Client:
        return self.platform.client

    def counting(self, window: timedelta, hop: timedelta, at: datetime) -> set[str]:
        """Return the visits of the user whose tile lies in the window at a time."""
        head = -(-(at - START) // hop)
        return {
            str(one.data["visit_id"])
            for one in self.visits
            if one.data["user"] == USER
            and head - window // hop < -(-(one.data["at"] - START) // hop) <= head
        }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("seen")
    text = PROJECT.read_text().replace("streams:\n", FOREIGN, 1).replace("views:\n", PAIRS, 1)
    shop = loads(text.replace("  visit:\n", LATENESS, 1))
    assert not shop.problems
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TIDEMILL_FEATURES_SNAPSHOT_SECONDS", "3")
        with (
            LocalStack(folder, services=SERVICES, parts=("postgres", "kafka")) as stack,
            connect(addresses(stack), author="test") as client,
        ):
            kafka = stack.address("kafka")
            asyncio.run(make_topics(kafka, ["rides"]))
            asyncio.run(write(kafka, "rides", [b'{"rider": "r1"}', b'{"rider": "r2"}', b"{"]))
            eventually(lambda: client.apply(normalise(shop.project)), "apply")
            yield visited(Platform(stack, client), folder / "stack.json")


def visited(platform: Platform, stack_file: Path) -> Seen:
    """Let users come; four visits are published twice, one is nine days late."""
    platform.wait_for_views()
    crowd = Visitors(seed=5, users=3, every=timedelta(minutes=11))
    visits, _ = crowd.come(1_200)
    token = platform.publish(visits)
    again = [replace(one) for one in visits if one.data["user"] == USER][-4:]
    old = {**again[0].data, "visit_id": "too-late", "at": again[0].data["at"] - timedelta(9)}
    late = Event("visit", old, source="shop", available=visits[-1].data["at"])
    token = merge([token, platform.publish(again), platform.publish([late])])
    at = visits[-1].data["at"] + timedelta(minutes=5)
    platform.client.get_features(VIEW, [{"user": USER}], at=at, token=token, timeout=60.0)
    return Seen(platform, stack_file, visits, at)


def served(seen: Seen, view: str, at: datetime) -> dict[str, float]:
    reply = seen.client.get_features(view, [{"user": USER}], at=at)
    return dict(zip(reply.features, reply.entities[0].values, strict=True))


@pytest.mark.parametrize("view", [VIEW, "user_habits"])
def test_every_value_is_explained_by_tiles_that_add_up_to_it(seen: Seen, view: str) -> None:
    reply = seen.client.explain_features(view, {"user": USER}, at=seen.at, max_events=1_000)
    values = served(seen, view, seen.at)
    assert reply.agrees
    assert [one.feature for one in reply.features] == list(values)
    for one in reply.features:
        assert one.agrees, one.feature
        assert one.served == values[one.feature] == one.recomputed
        assert sum(tile.events for tile in one.tiles) == one.events_total
        if one.feature.startswith(("count", "sum", "dear_1d", "rate")):
            assert math.isclose(math.fsum(tile.value for tile in one.tiles), one.served)


def test_the_events_of_a_value_are_those_that_count_and_each_other_one_has_its_reason(
    seen: Seen,
) -> None:
    reply = seen.client.explain_features(
        VIEW, {"user": USER}, features=["sum_amount_1d"], at=seen.at, max_events=1_000
    )
    (one,) = reply.features
    wanted = seen.counting(timedelta(days=1), timedelta(minutes=5), seen.at)
    assert {event.id for event in one.events} == wanted
    assert math.isclose(math.fsum(event.value for event in one.events), one.served)
    mine = sum(visit.data["user"] == USER for visit in seen.visits)
    assert dict(one.left_out) == {"duplicate": 4, "late": 1, "outside_window": mine - len(wanted)}
    cut = seen.client.explain_features(
        VIEW, {"user": USER}, features=["sum_amount_1d"], at=seen.at, max_events=2
    ).features[0]
    assert (len(cut.events), cut.events_total) == (2, len(wanted))
    assert list(cut.events) == list(one.events)[-2:]


def test_an_entity_of_two_fields_is_counted_explained_and_expires_by_the_pair(seen: Seen) -> None:
    pairs = [(USER, country) for country in COUNTRIES]
    entities = [{"country": country, "user": user} for user, country in pairs]
    reply = seen.client.get_features("user_countries", entities, at=seen.at)
    expired = 0
    for (user, country), one in zip(pairs, reply.entities, strict=True):
        mine = [
            visit.data
            for visit in seen.visits
            if (visit.data["user"], visit.data["country"]) == (user, country)
        ]
        if mine[-1]["at"] < seen.at - timedelta(minutes=200):
            expired += 1
            assert list(one.statuses) == [*[pb.VALUE_STATUS_EXPIRED] * 3, pb.VALUE_STATUS_PRESENT]
            assert one.values[-1] == -1.0
        else:
            cents = sum(round(data["amount"] * 100) for data in mine)
            assert list(one.values) == [0.0, len(mine), len(mine), cents * 0.01]
        entity = {"user": user, "country": country}
        explained = seen.client.explain_features("user_countries", entity, at=seen.at)
        assert explained.agrees
        behind = {row.feature: row.events_total for row in explained.features}
        assert behind["count_lifetime"] == len(mine)
    assert 0 < expired < len(pairs)


def test_a_ratio_is_explained_by_its_two_features(seen: Seen) -> None:
    reply = seen.client.explain_features(
        "user_habits", {"user": USER}, features=["dear_share_1d"], at=seen.at
    )
    share, dear, count = reply.features
    assert list(share.operands) == [dear.feature, count.feature] == ["dear_1d", "count_1d"]
    assert share.served == dear.served / count.served


def test_a_history_ends_with_what_is_served_and_its_rows_are_what_reads_would_have_said(
    seen: Seen,
) -> None:
    reply = seen.client.feature_history(
        VIEW, {"user": USER}, until=seen.at, limit=5_000, max_events=4_000
    )
    last = dict(zip(reply.features, reply.rows[-1].values, strict=True))
    assert last == served(seen, VIEW, seen.at)
    assert not reply.rows_cut
    count = list(reply.features).index("count_1d")
    for row in reply.rows[:: len(reply.rows) // 40]:
        at = row.at.ToDatetime(tzinfo=UTC)
        wanted = seen.counting(timedelta(days=1), timedelta(minutes=5), at)
        known = [one for one in seen.visits if one.data["visit_id"] in wanted]
        assert row.values[count] == sum(one.data["at"] <= at for one in known)
    verdicts = [event.verdict for event in reply.events]
    assert verdicts.count(pb.VERDICT_DUPLICATE) == 4
    assert verdicts.count(pb.VERDICT_LATE) == 1
    assert len(verdicts) == reply.events_total


def test_a_history_is_given_in_part_and_says_so(seen: Seen) -> None:
    ask = seen.client.feature_history
    since, every = seen.at - timedelta(hours=12), timedelta(hours=3)
    part = ask(
        VIEW, {"user": USER}, features=["sum_amount_1h"], since=since, until=seen.at, every=every
    )
    times = {row.at.ToDatetime(tzinfo=UTC) for row in part.rows}
    assert {since + every * step for step in range(5)} <= times
    assert min(times) == since
    newest = ask(VIEW, {"user": USER}, features=["sum_amount_1h"], until=seen.at, limit=3)
    assert newest.rows_cut
    assert len(newest.rows) == 3
    assert newest.rows[-1] == part.rows[-1]
    with pytest.raises(Invalid, match="behind the end"):
        ask(VIEW, {"user": USER}, since=seen.at + every, until=seen.at)


def test_what_does_not_exist_is_refused_with_the_nearest_name(seen: Seen) -> None:
    ask = seen.client.explain_features
    with pytest.raises(NotFound, match="user_visit") as view:
        ask("user_visit", {"user": USER})
    assert "did you mean 'user_visits'" in view.value.hint
    with pytest.raises(Invalid) as feature:
        ask(VIEW, {"user": USER}, features=["count_1x"])
    assert "did you mean 'count_1" in feature.value.hint
    with pytest.raises(NotFound, match="has never had an event of user=u00") as entity:
        ask(VIEW, {"user": "u00"})
    assert "did you mean 'user=u0'" in entity.value.hint
    with pytest.raises(Invalid, match="must have the fields user"):
        ask(VIEW, {"usr": USER})


def test_a_view_says_what_it_is(seen: Seen) -> None:
    reply = seen.client.describe_view("user_habits")
    assert [one.name for one in reply.entity] == ["user"]
    assert {one.name: one.expression for one in reply.fields}["tens"] == "amount / 10"
    features = {one.name: one for one in reply.features}
    assert features["count_1d"].hop.ToSeconds() == 300
    assert features["top_k_country_1_count_7d"].default == 0.0
    bounds = {one.error_bound for one in reply.features if one.function == FUNCTION_QUANTILE}
    assert bounds == {"1.562% of the value"}
    assert [(one.stream, one.partitions, list(one.key)) for one in reply.streams] == [
        ("visit", 2, ["user"])
    ]
    assert len(reply.logs) == 2
    assert all(one.ready for one in reply.logs)
    assert seen.client.describe_view(VIEW).models == ["purchase"]


def test_the_command_line_shows_it_all(seen: Seen, tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"TIDEMILL_STACK": str(seen.stack_file)})
    described = shell.run("features", "describe", VIEW).out
    assert "mean_amount_7d" in described
    assert "model purchase" in described
    at = seen.at.isoformat()
    whole = shell.run("features", "explain", VIEW, "user=u0", "--at", at).out
    assert "yes, bit for bit" in whole
    one = shell.run("features", "explain", VIEW, "user=u0", "count_1d", "--at", at).out
    assert "left out: 4 duplicate, 1 late" in one
    assert "value alone" in one
    words = ("--until", at, "--feature", "count_1d", "--limit", "4", "--events", "9")
    went = shell.run("features", "history", VIEW, "user=u0", *words).out
    assert "the newest 4; --limit or --since shows others" in went
    assert "duplicate" in went
    shown = f"{described}\n{whole}\n{one}\n{went}".splitlines()
    assert max(map(len, shown)) <= 80
    drawn = ("-o", "sum.png", "--until", at, "--json")
    picture = shell.run("features", "plot", VIEW, "user=u0", "sum_amount_1d", *drawn).json()
    assert (tmp_path / "sum.png").read_bytes().startswith(b"\x89PNG")
    assert picture["events"] == picture["events_total"] > 300
    moving = ("user_habits", "user=u0", "time_since_last_lifetime", "-o", "since.png")
    steps = shell.run("features", "plot", *moving, "--since", at, "--json").json()
    assert steps["rows"] > 500
    told = shell.run("features", "explain", VIEW, "user=u00", code=1).err
    assert "did you mean 'user=u0'" in told
    reply = shell.run("features", "explain", VIEW, "user=u0", "count_1d", "--json").json()
    assert set(pb.ExplainFeaturesResponse.DESCRIPTOR.fields_by_name) == set(reply)


def test_status_shows_the_figures_of_views_streams_and_bridges_and_how_old_what_lags_is(
    seen: Seen, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, {"TIDEMILL_STACK": str(seen.stack_file)})

    def settled() -> dict[str, Any] | None:
        answer: dict[str, Any] = shell.run("status", "--json", code=3).json()
        (bridge,) = answer["bridges"]
        snapshots = [row["last_snapshot"] for row in answer["views"]]
        return answer if bridge["dead"] and "-" not in snapshots else None

    answer = eventually(settled, "snapshots, and the foreign topic bridged")
    for row in answer["views"]:
        assert row["ready"]
        assert (row["lag"], row["lag_seconds"]) == (0, None)
        assert row["fresh_seconds"] < 5
        assert row["snapshot_seconds"] is not None
    mine = [row for row in answer["views"] if row["view"] == VIEW]
    assert sum(row["entities"] for row in mine) == 3
    assert sum(row["bytes"] for row in mine) > 10_000
    streams = {row["stream"]: row for row in answer["streams"]}
    assert (streams["visit"]["duplicates"], streams["visit"]["late"]) == (4, 1)
    assert 0 < streams["visit"]["flush_p50_seconds"] <= streams["visit"]["flush_p99_seconds"]
    assert streams["visit"]["events_per_second"] == 0
    (bridge,) = answer["bridges"]
    assert (bridge["stream"], bridge["topic"], bridge["state"]) == ("ride", "rides.raw", "running")
    assert (bridge["appended"], bridge["dead"], bridge["lag"]) == (2, 1, 0)
    table = shell.run("status", code=3).out
    assert max(map(len, table.splitlines())) <= 80
    assert "took" in table
    assert "running" in table
    assert_lag_is_told_in_seconds_while_no_worker_lives(seen)


def assert_lag_is_told_in_seconds_while_no_worker_lives(seen: Seen) -> None:
    stack = seen.platform.stack
    stack.kill_and_hold("features-worker")
    data = {**seen.visits[-1].data, "visit_id": "after", "user": "another"}
    seen.platform.publish([Event("visit", data, source="shop", available=data["at"])])

    def lagging() -> list[pb.ViewState]:
        states = seen.client.describe_views(lag_times=True).views
        return [one for one in states if one.HasField("lag") and one.lag.ToSeconds() >= 2]

    assert {one.stream for one in eventually(lagging, "lag in seconds")} == {"visit"}
    assert not [one for one in seen.client.describe_views().views if one.HasField("lag")]
    stack.start_process("features-worker")
    stack.wait_ready("features-worker")
