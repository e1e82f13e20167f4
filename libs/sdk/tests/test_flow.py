"""The figures of views and bridges: partitions and processes added up, what is not known left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidemill.cli import flow
from tidemill.cli.exposition import Samples, added
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.project import loads

NOTHING = Samples(0.0)
WORKER = """\
tidemill_events_applied_total{{stream="visits"}} {events}
tidemill_duplicates_total{{stream="visits"}} 3
tidemill_flush_duration_seconds_bucket{{le="0.01",stream="visits"}} {flushes}
tidemill_flush_duration_seconds_bucket{{le="+Inf",stream="visits"}} {flushes}
"""
BRIDGE = """\
tidemill_bridge_stopped{stream="orders"} 0.0
tidemill_bridge_records_total{outcome="appended",stream="orders"} 40
tidemill_bridge_records_total{outcome="dead",stream="orders"} 2
tidemill_consumer_lag_records{group="tidemill-bridge.orders",topic="shop.orders"} 7
"""
PROJECT = """
project: shop
streams:
  orders:
    key: [user]
    fields:
      user: {type: string, required: true}
    source: {topic: shop.orders, format: json}
"""


def a_state(partition: int = 0, **facts: Any) -> features_pb.ViewState:
    known = {"position": 90, "source_end": 100, "rows": 5, "entities": 2, "state_bytes": 1_500}
    state = features_pb.ViewState(view="users", version="1", stream="visits", partition=partition)
    for name, value in {**known, "ready": True, **facts}.items():
        setattr(state, name, value)
    return state


def a_row(*states: features_pb.ViewState, streams: list[dict[str, Any]] | None = None) -> Any:
    (row,) = flow.by_view(map(flow.partition_row, states), streams or [])
    return row


def test_partitions_of_a_view_are_added_up_and_the_worst_is_shown() -> None:
    slow, fast = a_state(0), a_state(1)
    slow.lag.FromMilliseconds(2_500)
    slow.since_last_record.FromMilliseconds(900)
    fast.since_last_record.FromMilliseconds(20)
    row = a_row(slow, fast)
    assert (row["lag"], row["behind"], row["fresh"]) == (20, "2.5 s", "900 ms")
    assert (row["entities"], row["rows"], row["size"]) == (4, 10, "3.0 kB")


def test_without_lag_nothing_is_behind_and_what_is_not_known_is_a_dash() -> None:
    row = a_row(a_state(position=100))
    assert (row["lag"], row["behind"]) == (0, "0 s")
    assert (row["events/s"], row["flush p50/p99"], row["fresh"]) == ("-", "- / -", "-")
    assert a_row(a_state())["behind"] == "-"


def test_a_view_that_is_not_ready_says_so() -> None:
    assert a_row(a_state(), a_state(1, ready=False))["lag"] == "20, not ready"


def test_a_view_is_as_safe_as_its_oldest_snapshot() -> None:
    states = [a_state(0), a_state(1)]
    now = datetime.now(UTC)
    assert a_row(*states)["snapshot"] == "none yet"
    states[0].last_snapshot.FromDatetime(now - timedelta(hours=3))
    states[0].snapshot_took.FromMilliseconds(1_200)
    assert a_row(*states)["snapshot"] == "none yet"
    states[1].last_snapshot.FromDatetime(now - timedelta(minutes=3))
    states[1].snapshot_took.FromMilliseconds(300)
    assert a_row(*states)["snapshot"] == "3.0 h ago, took 1.2 s"
    states[1].snapshot_open.FromSeconds(40)
    assert a_row(*states)["snapshot"] == "for 40 s under way"


def test_rates_and_flush_times_of_a_stream_come_from_its_workers() -> None:
    before = added(0.0, [WORKER.format(events=10, flushes=4), WORKER.format(events=10, flushes=4)])
    after = added(2.0, [WORKER.format(events=30, flushes=8), WORKER.format(events=10, flushes=8)])
    row = flow.stream_row("visits", before, after)
    assert (row["events_per_second"], row["duplicates"]) == (10.0, 6.0)
    assert row["flush_p99_seconds"] == pytest.approx(0.0099)
    shown = a_row(a_state(), streams=[row])
    assert (shown["events/s"], shown["flush p50/p99"]) == ("10", "5.0 ms / 9.9 ms")
    assert flow.stream_row("others", before, after)["events_per_second"] is None


def test_a_bridge_shows_what_became_of_the_records_of_its_topic() -> None:
    (source,) = flow.sources(loads(PROJECT).project)
    assert source == {"stream": "orders", "topic": "shop.orders", "format": "json"}
    row = flow.bridge_row(source, NOTHING, added(4.0, [BRIDGE]))
    assert (row["state"], row["appended"], row["dead"], row["lag"]) == ("running", 40, 2, 7)
    assert flow.shown(row)["events/s"] == "10"
    assert flow.shown(row)["left out"] == "0"
    stopped = added(4.0, [BRIDGE.replace("} 0.0", "} 1.0")])
    assert flow.bridge_row(source, NOTHING, stopped)["state"] == "stopped"


def test_a_bridge_whose_topic_is_not_there_does_not_look_as_if_it_ran() -> None:
    (source,) = flow.sources(loads(PROJECT).project)
    waiting = added(4.0, [BRIDGE + 'tidemill_bridge_waiting{stream="orders"} 1.0\n'])
    assert flow.bridge_row(source, NOTHING, waiting)["state"] == "no such topic"


def test_records_that_a_bridge_leaves_out_are_counted_in_whole_numbers() -> None:
    (source,) = flow.sources(loads(PROJECT).project)
    left = 'tidemill_bridge_records_total{outcome="left_out",stream="orders"} 2\n'
    row = flow.shown(flow.bridge_row(source, NOTHING, added(4.0, [BRIDGE + left])))
    assert row["left out"] == "2"


def test_a_bridge_that_nobody_hears_of_is_unknown() -> None:
    (source,) = flow.sources(loads(PROJECT).project)
    row = flow.shown(flow.bridge_row(source, NOTHING, NOTHING))
    assert (row["state"], row["appended"], row["left out"], row["lag"]) == (
        "unknown",
        "-",
        "-",
        "-",
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0, "0 ms"), (0.0042, "4.2 ms"), (59.0, "59 s"), (7_200.0, "2.0 h")],
)
def test_a_span_is_shown_by_its_largest_unit(seconds: float | None, text: str) -> None:
    assert flow.span(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (12_345_678, "12 MB")])
def test_bytes_are_shown_by_their_largest_unit(count: int, text: str) -> None:
    assert flow.size(count) == text


def test_a_view_that_is_built_beside_shows_how_much_of_its_streams_it_has_decided() -> None:
    coming = features_pb.NextGeneration(
        generation="0123456789abcdef", state=features_pb.NEXT_STATE_BUILDING
    )
    coming.remaining.FromSeconds(90)
    for position, end in ((50, 200), (-1, 100), (300, 300)):
        coming.views.add(view="v", version="w", position=position, source_end=end)
    coming.views.add(view="empty", version="x", position=0, source_end=0)
    first, second = flow.next_rows(coming)
    assert (first["records"], first["records_total"]) == (350, 600)
    assert flow.shown_next(first) == {
        **first,
        "generation": "0123456789ab",
        "state": "building",
        "built": "58 %",
        "lag": 250,
        "left": "1.5 min",
    }
    assert flow.shown_next(second)["built"] == "100 %"
    coming.state = features_pb.NEXT_STATE_TAKING_OVER
    assert flow.next_rows(coming)[0]["state"] == "taking over"
