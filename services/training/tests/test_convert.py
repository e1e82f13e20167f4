"""Promises of what is read from messages and written into them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tidemill.monitoring.v1 import monitoring_service_pb2 as monitoring_pb2
from tidemill.training.v1 import training_service_pb2 as pb
from tidemill_training.convert import STATES, from_alert, to_decision, to_exclusion, to_run
from tidemill_training.selection import Span
from tidemill_training.signals import AlertState, Kind

AT = datetime(2013, 2, 3, 4, 5, 6, 789, tzinfo=UTC)


def a_row(**facts: Any) -> dict[str, Any]:
    spec = pb.RunSpec(model="late", max_rows=5)
    return {
        "run_id": "r",
        "spec": spec.SerializeToString(),
        "state": "queued",
        "causes": ["d1"],
        "attempt": 0,
        "fence": 0,
        "worker": "",
        "stage": "",
        "progress": 0.0,
        "metrics": {"auc": 0.7},
        "error": "",
        "version": 0,
        "checkpoint_digest": "",
        "training_set_hash": "",
        "traceparent": "",
        "created_at": AT,
        "started_at": None,
        "finished_at": None,
        "stream_us": 1_000_001,
        **facts,
    }


def test_every_state_of_a_run_has_its_message() -> None:
    for name, state in STATES.items():
        assert to_run(a_row(state=name)).state == state
    assert set(STATES.values()) == set(pb.RunState.values()) - {pb.RUN_STATE_UNSPECIFIED}


def test_a_run_keeps_what_it_was_asked_to_do_and_when() -> None:
    run = to_run(a_row())
    assert (run.spec.model, run.spec.max_rows, dict(run.metrics)) == ("late", 5, {"auc": 0.7})
    assert run.created_time.ToDatetime(UTC) == AT
    assert not run.HasField("started_time")
    assert run.stream_time.ToMicroseconds() == 1_000_001


def test_a_signal_that_was_unknown_is_left_out_of_a_decision() -> None:
    row = {
        "decision_id": "d",
        "model": "m",
        "verdict": "fire",
        "reason": "r",
        "signals": {"age_s": None, "has_champion": True, "labelled_rows": 12.0},
        "run_id": "",
        "cause": "c",
        "policy_digest": "p",
        "stream_us": 0,
        "decided_at": AT,
    }
    assert dict(to_decision(row).signals) == {"has_champion": 1.0, "labelled_rows": 12.0}


def test_an_alert_is_read_with_its_span() -> None:
    alert = monitoring_pb2.Alert(
        alert_id="a",
        model="m",
        kind=monitoring_pb2.ALERT_KIND_DATA,
        state=monitoring_pb2.ALERT_STATE_RECOVERING,
        subject="flight_arrived.arr_delay",
    )
    alert.bad_from.FromMicroseconds(17)
    read = from_alert(alert)
    assert read is not None
    assert (read.kind, read.state) == (Kind.DATA, AlertState.RECOVERING)
    assert (read.stream, read.field) == ("flight_arrived", "arr_delay")
    assert (read.bad_from_us, read.bad_to_us) == (17, None)


def test_an_alert_of_a_kind_of_a_later_release_is_passed_over() -> None:
    assert from_alert(monitoring_pb2.Alert(alert_id="a")) is None


def test_an_exclusion_is_exact_to_the_microsecond() -> None:
    exclusion = to_exclusion(Span(1, 1_356_998_400_000_003, "why"))
    assert getattr(exclusion, "from").ToMicroseconds() == 1
    assert exclusion.to.ToMicroseconds() == 1_356_998_400_000_003
