"""Promises of the verdict on when to train."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import Misconfigured
from tidemill_training import signals, trigger
from tidemill_training.signals import SIGNALS, State
from tidemill_training.trigger import Decided, Traffic, Verdict, policy

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = 400 * DAY
FIRE = "labelled_rows >= 100 OR quality_drop > 0.05"


def ask(
    state: State,
    *,
    fire: str = FIRE,
    hold: str = "data_alerts > 0",
    traffic: Traffic | None = None,
    tick: bool = True,
    alerts: tuple[signals.Alert, ...] = (),
    **guard: int,
) -> Decided:
    asked = policy("m", fire=fire, hold=hold, **guard)
    found = trigger.conditions(asked, signals.signals(state, alerts))
    return trigger.decide(asked, found, state, traffic or Traffic(), tick=tick)


def a_state(**facts: object) -> State:
    return replace(State(stream_us=NOW, labelled_total=100), **facts)  # type: ignore[arg-type]


def a_data_alert(state: signals.AlertState = signals.AlertState.FIRING) -> signals.Alert:
    return signals.Alert("a", "m", signals.Kind.DATA, state, "arrived.delay")


def test_enough_labelled_rows_fire() -> None:
    assert ask(a_state()).verdict is Verdict.FIRE
    assert ask(a_state(labelled_total=99)).verdict is Verdict.WAIT


def test_what_is_unknown_does_not_fire() -> None:
    decided = ask(a_state(labelled_total=0))
    assert (decided.verdict, decided.reason) == (Verdict.WAIT, "fire_unknown")


def test_what_is_unknown_does_not_hold() -> None:
    assert ask(a_state(), hold="age_s < 10").verdict is Verdict.FIRE


def test_true_or_unknown_is_true_and_false_and_unknown_is_false() -> None:
    assert ask(a_state(), fire="labelled_rows >= 100 OR age_s > 1").verdict is Verdict.FIRE
    decided = ask(a_state(), fire="labelled_rows > 100 AND age_s > 1")
    assert decided.reason == "fire_false"


def test_a_hold_wins_over_a_fire() -> None:
    decided = ask(a_state(), alerts=(a_data_alert(),))
    assert (decided.verdict, decided.reason) == (Verdict.HOLD, "held")


@pytest.mark.parametrize(
    ("state", "verdict"),
    [("suspect", "hold"), ("firing", "hold"), ("recovering", "hold"), ("ok", "fire")],
)
def test_data_are_bad_until_their_alert_is_over(state: str, verdict: str) -> None:
    alert = a_data_alert(signals.AlertState(state))
    assert ask(a_state(), alerts=(alert,)).verdict.value == verdict


def test_a_condition_must_hold_for_the_debounce_before_it_fires() -> None:
    first = ask(a_state(), debounce_us=HOUR)
    assert (first.verdict, first.reason) == (Verdict.WAIT, "debouncing")
    later = a_state(stream_us=NOW + HOUR, fire_since_us=first.fire_since_us)
    assert ask(later, debounce_us=HOUR).verdict is Verdict.FIRE


def test_a_condition_that_was_false_in_between_starts_its_debounce_again() -> None:
    broken = ask(a_state(labelled_total=0, fire_since_us=NOW - HOUR), debounce_us=HOUR)
    assert broken.fire_since_us is None


def test_two_runs_are_a_cooldown_apart() -> None:
    assert ask(a_state(last_run_us=NOW - HOUR), cooldown_us=DAY).reason == "cooling_down"
    assert ask(a_state(last_run_us=NOW - DAY), cooldown_us=DAY).verdict is Verdict.FIRE


def test_the_cooldown_doubles_with_each_refusal_until_there_is_new_evidence() -> None:
    state = signals.refused(signals.refused(a_state(last_run_us=NOW - 3 * DAY)))
    assert ask(state, cooldown_us=DAY).reason == "cooling_down"
    alert = signals.Alert("a", "m", signals.Kind.PREDICTION_DRIFT, signals.AlertState.FIRING)
    assert ask(signals.alerted(state, alert), cooldown_us=DAY).verdict is Verdict.FIRE
    assert ask(signals.validated(state), cooldown_us=DAY).verdict is Verdict.FIRE


def test_a_first_version_that_was_refused_is_tried_again_without_as_many_rows_again() -> None:
    state = a_state(labelled_total=120, labelled_base=101, last_run_us=NOW - 2 * DAY)
    state = signals.refused(state)
    by_all = "NOT has_champion AND labelled_rows_total >= 100"
    assert ask(state, fire=by_all, cooldown_us=DAY).verdict is Verdict.FIRE
    assert ask(state, fire=by_all, cooldown_us=DAY + 1).reason == "cooling_down"
    since_the_run = "NOT has_champion AND labelled_rows >= 100"
    assert ask(state, fire=since_the_run, cooldown_us=DAY).verdict is Verdict.WAIT


def test_a_day_has_a_budget_of_runs() -> None:
    decided = ask(a_state(), traffic=Traffic(runs_today=4), max_runs_per_day=4)
    assert (decided.verdict, decided.reason) == (Verdict.HOLD, "budget")


def test_an_alert_joins_an_open_run_and_a_tick_does_not() -> None:
    open_run = Traffic(run_open=True)
    assert ask(a_state(), traffic=open_run, tick=False).reason == "joins"
    assert ask(a_state(), traffic=open_run, tick=True).verdict is Verdict.WAIT


def test_a_model_without_a_fire_condition_is_trained_by_hand_only() -> None:
    assert ask(a_state(), fire="").verdict is Verdict.WAIT


def test_an_expression_over_an_unknown_signal_is_refused() -> None:
    with pytest.raises(Misconfigured, match="rows_of_gold"):
        policy("m", fire="rows_of_gold > 1")


def test_a_condition_that_is_no_truth_is_refused() -> None:
    with pytest.raises(Misconfigured):
        policy("m", fire="labelled_rows + 1")


def test_a_policy_is_named_by_what_it_says() -> None:
    assert policy("m", fire=FIRE).digest == policy("m", fire=FIRE).digest
    assert policy("m", fire=FIRE).digest != policy("m", fire=FIRE, cooldown_us=1).digest
    assert policy("m", fire=FIRE).digest != policy("n", fire=FIRE).digest


def test_only_news_get_a_row() -> None:
    waiting = ask(a_state(labelled_total=0))
    told = a_state(last_verdict="wait", last_reason=waiting.reason)
    assert trigger.is_news(waiting, a_state(), tick=True)
    assert not trigger.is_news(waiting, told, tick=True)
    held = ask(a_state(), alerts=(a_data_alert(),))
    told = a_state(last_verdict="hold", last_reason="held")
    assert not trigger.is_news(held, told, tick=True)
    assert trigger.is_news(held, told, tick=False)
    assert trigger.is_news(ask(a_state()), a_state(last_verdict="fire"), tick=True)


NUMBERS = st.integers(0, 10**9)


@given(
    st.builds(
        State,
        stream_us=NUMBERS,
        labelled_total=NUMBERS,
        champion=st.integers(0, 3),
        quality_drop=st.none() | st.floats(0, 1),
        failed_runs=st.integers(0, 9),
        doublings=st.integers(0, signals.MAX_DOUBLINGS),
        last_run_us=st.none() | NUMBERS,
    ),
    st.booleans(),
)
def test_a_verdict_is_total_and_the_same_for_the_same_facts(state: State, tick: bool) -> None:
    fire = " OR ".join(f"{n} > 3" for n in SIGNALS if n != "has_champion")
    first = ask(state, fire=fire, tick=tick, cooldown_us=HOUR)
    assert first == ask(state, fire=fire, tick=tick, cooldown_us=HOUR)
    assert first.text
