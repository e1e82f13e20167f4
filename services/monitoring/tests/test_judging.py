"""Counts of windows, the findings they give, and what alerts say of it on the wire."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tidemill.monitoring.v1 import monitoring_service_pb2 as pb
from tidemill.project.load import load
from tidemill.project.normalise import normalise
from tidemill_common.reference import PREDICTIONS, Reference, categorical_bins, numeric_bins
from tidemill_monitoring import codec, convert, drift, findings, reportrows
from tidemill_monitoring.alerts import (
    Alert,
    Cause,
    FirstBad,
    Judgement,
    Kind,
    Machine,
    State,
    Subject,
)
from tidemill_monitoring.definitions import ModelDefinition, watch_of
from tidemill_monitoring.driftcount import Layout, WindowCounts, layout
from tidemill_monitoring.judging import is_over, window_of
from tidemill_monitoring.quality import Cohort

FLIGHTS = Path(__file__).parents[3] / "examples" / "flights" / "tidemill.yaml"
DAY_US = drift.DAY_US


@pytest.fixture(scope="module")
def model() -> ModelDefinition:
    return watch_of(normalise(load(FLIGHTS)), "g").models["late_arrival"]


def a_layout() -> Layout:
    generator = np.random.default_rng(1)
    return layout(
        Reference(
            model="m",
            inputs=(
                numeric_bins("a", generator.normal(size=5_000)),
                categorical_bins("c", ["x"] * 600 + ["y"] * 400),
                numeric_bins("b", generator.normal(size=5_000)),
            ),
            prediction=numeric_bins(PREDICTIONS, generator.beta(2, 5, 5_000)),
            importances={"a": 0.1, "b": 1.0},
        )
    )


def live(
    n: int, seed: int, shift_b: float = 0.0
) -> tuple[np.ndarray, np.ndarray, dict[str, list[str | None]]]:
    generator = np.random.default_rng(seed)
    vectors = np.stack([generator.normal(size=n), generator.normal(shift_b, size=n)], axis=1)
    return generator.beta(2, 5, n), vectors, {"c": ["x", "x", "x", "y", "y"] * (n // 5)}


def test_counts_of_batches_add_up_to_those_of_the_window() -> None:
    places = a_layout()
    scores, vectors, texts = live(1_000, 2)
    whole = places.count(scores, vectors, texts)
    window = WindowCounts(np.zeros(places.size, dtype=np.int64))
    for part in (slice(0, 300), slice(300, 1_000)):
        counted = places.count(scores[part], vectors[part], {"c": texts["c"][part]})
        window = window.plus(counted, np.arange(1_000)[part], 1)
    assert (window.counts == whole).all()
    assert (window.predictions, window.first_us, window.last_us) == (1_000, 0, 999)


def test_a_version_that_answered_for_part_of_a_window_is_not_compared_by_it() -> None:
    window = WindowCounts(np.zeros(1, dtype=np.int64))
    ones = np.ones(1, dtype=np.int64)
    old, new = window.plus(ones, np.arange(500), 1), window.plus(ones, np.arange(100, 1_000), 1)
    assert new.covers([old, new])
    assert not old.covers([old, new])
    assert old.covers([old])


def test_vectors_are_read_in_the_order_of_the_versions_numeric_inputs() -> None:
    places = a_layout()
    assert places.numeric == ("a", "b")
    scores, vectors, texts = live(1_000, 2, shift_b=1.0)
    found = {one.subject: one for one in places.drifts(places.count(scores, vectors, texts), 500)}
    assert found["b"].effect > 0.3
    assert found["a"].effect < 0.1
    assert found[PREDICTIONS].rows == 1_000


def test_vectors_of_another_length_are_left_out() -> None:
    sampled = pl.DataFrame({"vector": [[1.0, 2.0], [1.0], [3.0, None]], "request": ["{}"] * 3})
    fitting, vectors = a_layout().vectors(sampled)
    assert fitting.height == 2
    assert np.isnan(vectors[1, 1])


def test_a_subject_with_too_few_rows_is_not_judged() -> None:
    places = a_layout()
    scores, vectors, texts = live(1_000, 2)
    counts = places.count(scores, vectors[:10], {"c": texts["c"][:10]})
    assert [one.subject for one in places.drifts(counts, 500)] == [PREDICTIONS]


def test_causes_of_moved_predictions_are_ranked_by_effect_and_importance() -> None:
    places = a_layout()
    generator = np.random.default_rng(3)
    vectors = np.stack([generator.normal(2, size=1_000), generator.normal(1, size=1_000)], axis=1)
    counts = places.count(generator.beta(5, 2, 1_000), vectors, {"c": ["x", "y"] * 500})
    judged = drift.judge(places.drifts(counts, 500), alpha=1 / 30, floor=0.1)
    told = findings.drift_findings("m", 3, judged, places.reference)
    predictions = next(one for one in told if one.subject.kind is Kind.PREDICTION_DRIFT)
    assert predictions.severity == 2
    assert [cause.subject for cause in predictions.causes[:2]] == ["b", "a"]
    assert all(one.severity == 3 for one in told if one.subject.kind is Kind.FEATURE_DRIFT)


def a_cohort(**facts: object) -> Cohort:
    base: dict[str, object] = {
        "model": "late_arrival",
        "version": 1,
        "from_us": 0,
        "to_us": DAY_US,
        "predictions": 1_000,
        "labelled": 950,
        "metrics": {"log_loss": 0.6},
        "mature": True,
        "final": False,
        "error": 0.01,
    }
    return Cohort(**{**base, **facts})  # type: ignore[arg-type]


def test_worse_quality_is_the_worst_alert_and_carries_the_drop(model: ModelDefinition) -> None:
    finding = findings.quality_finding(model, a_cohort(), 0.5, 2_000)
    assert finding is not None
    assert (finding.judgement, finding.severity) == (Judgement.BAD, 1)
    assert finding.effect == pytest.approx(0.1)
    assert finding.bad_from_us is None


def test_a_cohort_with_few_labels_says_nothing(model: ModelDefinition) -> None:
    assert findings.quality_finding(model, a_cohort(labelled=40), 0.5, 2_000) is None


def test_a_window_is_over_a_little_after_its_end(model: ModelDefinition) -> None:
    start = window_of(5 * model.window_us + 17, model.window_us)
    end = start + model.window_us
    assert start == 5 * model.window_us
    assert not is_over(start, model, end)
    assert is_over(start, model, end + model.window_us // 24)


def an_alert(state: State = State.FIRING) -> Alert:
    return Alert(
        alert_id="id",
        subject=Subject(Kind.DATA, "m", 0, "s.f"),
        machine=Machine(state, (True, True), 0),
        severity=1,
        effect=0.6,
        p_value=1e-12,
        opened_us=5,
        changed_us=6,
        changed_wall_us=7,
        summary="text",
        causes=(Cause("s.f", "scale", 1.0, {"carrier": "UA"}, "times 60"),),
        first_bad=FirstBad("events.s", 1, 42, 3, 4, "600"),
        bad_from_us=4,
        bad_to_us=9,
    )


def test_an_alert_on_the_wire_names_field_segment_shape_and_first_record() -> None:
    message = convert.to_changed(an_alert(), State.SUSPECT)
    alert = pb.AlertChanged.FromString(message.SerializeToString()).alert
    assert (alert.kind, alert.state) == (pb.ALERT_KIND_DATA, pb.ALERT_STATE_FIRING)
    assert alert.causes[0].segment == {"carrier": "UA"}
    assert (alert.first_bad.topic, alert.first_bad.offset, alert.first_bad.row) == (
        "events.s",
        42,
        3,
    )
    assert alert.bad_from.ToMicroseconds() == 4


def test_a_bad_span_has_no_end_while_the_alert_is_open() -> None:
    assert not convert.to_alert(an_alert()).HasField("bad_to")
    assert convert.to_alert(an_alert(State.OK)).bad_to.ToMicroseconds() == 10


def test_an_alert_survives_its_row() -> None:
    alert = an_alert()
    columns = dict(
        zip(
            [
                "alert_id",
                "kind",
                "model",
                "version",
                "subject",
                "state",
                "severity",
                "effect",
                "p_value",
                "opened_us",
                "changed_us",
                "changed_wall_us",
                "resolved_us",
                "bad_from_us",
                "bad_to_us",
                "summary",
                "details",
                "traceparent",
            ],
            codec.alert_columns(alert),
            strict=True,
        )
    )
    assert codec.alert({**columns, "report_path": "", "acknowledged_by": ""}) == alert


def test_reference_rows_for_a_report_follow_the_bins() -> None:
    places = a_layout()
    drawn = reportrows.reference_rows(places, ["a", "c"], 4_000)
    assert drawn.columns == ["a", "c"]
    counts = places.subjects[1].count(drawn["a"].to_numpy())  # type: ignore[arg-type]
    assert drift.ks(places.subjects[1].vector()[:-1], counts[:-1])[0] < 0.05
    assert drawn["c"].value_counts().sort("count")["c"].to_list() == ["y", "x"]
