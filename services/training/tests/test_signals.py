"""Promises of what a policy remembers."""

from __future__ import annotations

from dataclasses import replace

from tidemill_training import signals
from tidemill_training.signals import Alert, AlertState, Kind, State

SECOND = 1_000_000


def a_quality_alert(state: AlertState = AlertState.FIRING, **facts: object) -> Alert:
    alert = Alert("q", "m", Kind.QUALITY, state, "log_loss", version=3, effect=0.08)
    return replace(alert, **facts)  # type: ignore[arg-type]


def test_before_any_champion_its_signals_are_unknown() -> None:
    known = signals.signals(State(), ())
    assert known["has_champion"] is False
    assert (known["age_s"], known["quality_drop"], known["quality_labels"]) == (None, None, None)


def test_labelled_rows_count_from_the_cut_of_the_last_run_that_ended_well() -> None:
    state = State(labelled_total=150)
    assert signals.signals(signals.succeeded(state, 120), ())["labelled_rows"] == 30
    assert signals.signals(signals.refused(state), ())["labelled_rows"] == 150


def test_an_older_cut_never_takes_rows_back() -> None:
    state = signals.succeeded(State(labelled_total=150), 120)
    assert signals.succeeded(state, 100).labelled_base == 120


def test_a_run_that_fails_raises_the_bar_only_so_far() -> None:
    state = State()
    for _ in range(20):
        state = signals.refused(state)
    assert (state.failed_runs, state.doublings) == (20, signals.MAX_DOUBLINGS)


def test_stream_time_never_goes_back_and_follows_no_forged_future() -> None:
    state = signals.advanced(State(stream_us=50 * SECOND), 10 * SECOND, 100 * SECOND)
    assert state.stream_us == 50 * SECOND
    state = signals.advanced(state, 10**18, 100 * SECOND)
    assert state.stream_us == 100 * SECOND + signals.MAX_SKEW_US


def test_age_is_the_stream_time_since_the_champions_data() -> None:
    state = signals.crowned(State(stream_us=100 * SECOND), 1, 40 * SECOND)
    assert signals.signals(state, ())["age_s"] == 60


def test_a_new_champion_starts_with_a_clean_sheet() -> None:
    state = signals.crowned(State(), 3, 0)
    state = signals.labelled(state, rows=10, of_champion=10, available_us=1, append_us=1)
    state = signals.alerted(state, a_quality_alert())
    assert state.quality_drop == 0.08
    assert signals.signals(state, ())["quality_labels"] == 10
    state = signals.crowned(state, 4, 0)
    assert (state.quality_drop, state.champion_labels) == (None, 0)


def test_quality_of_another_version_says_nothing() -> None:
    state = signals.crowned(State(), 4, 0)
    assert signals.alerted(state, a_quality_alert()).quality_drop is None


def test_a_quality_alert_that_is_over_leaves_no_drop() -> None:
    state = signals.alerted(signals.crowned(State(), 3, 0), a_quality_alert())
    assert signals.alerted(state, a_quality_alert(AlertState.OK)).quality_drop == 0.0


def test_only_firing_drift_counts_as_drift() -> None:
    drift = [
        Alert(str(i), "m", Kind.FEATURE_DRIFT, state)
        for i, state in enumerate((AlertState.FIRING, AlertState.SUSPECT, AlertState.RECOVERING))
    ]
    assert signals.signals(State(), drift)["drift_alerts"] == 1


def test_what_is_remembered_survives_storage_and_older_releases() -> None:
    state = State(stream_us=5, labelled_total=7, quality_drop=0.1, last_run_us=3)
    assert signals.from_dict(signals.to_dict(state)) == state
    assert signals.from_dict({}) == State()
    assert signals.from_dict({"stream_us": 9, "of_a_later_release": 1}).stream_us == 9
