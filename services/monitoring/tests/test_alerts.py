"""Laws of the alert's state machine, and what an alert tells."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill_monitoring.alerts import (
    Alert,
    Cause,
    Finding,
    FirstBad,
    Judgement,
    Kind,
    Machine,
    Moment,
    State,
    Subject,
    apply,
    dismiss,
    step,
)

CLEAN, BAD, CERTAIN = Judgement.CLEAN, Judgement.BAD, Judgement.CERTAIN
HISTORIES = st.lists(st.sampled_from(list(Judgement)), max_size=40)
SUBJECT = Subject(Kind.DATA, "m", 0, "s.f")


def run(history: list[Judgement]) -> list[State]:
    machine, states = Machine(), []
    for judgement in history:
        machine = step(machine, judgement)
        states.append(machine.state)
    return states


@given(HISTORIES)
def test_one_bad_window_alone_never_fires(history: list[Judgement]) -> None:
    if history.count(BAD) < 2 and CERTAIN not in history:
        assert State.FIRING not in run(history)


@given(HISTORIES)
def test_what_fires_needs_three_clean_windows_in_a_row_to_be_ok(history: list[Judgement]) -> None:
    states = run(history)
    for i in range(1, len(states)):
        if states[i] is State.OK and states[i - 1] in {State.FIRING, State.RECOVERING}:
            assert history[i - 2 : i + 1] == [CLEAN, CLEAN, CLEAN]


@given(HISTORIES)
def test_firing_needs_two_bad_windows_of_three_or_one_certain(history: list[Judgement]) -> None:
    states = run(history)
    for i, state in enumerate(states):
        before = states[i - 1] if i else State.OK
        if state is State.FIRING and before in {State.OK, State.SUSPECT}:
            last = history[max(0, i - 2) : i + 1]
            assert history[i] is CERTAIN or len(last) - last.count(CLEAN) >= 2


@given(HISTORIES)
def test_a_long_quiet_time_always_ends_in_ok(history: list[Judgement]) -> None:
    assert run([*history, CLEAN, CLEAN, CLEAN])[-1] is State.OK


@given(HISTORIES)
def test_bad_windows_without_end_keep_firing(history: list[Judgement]) -> None:
    assert run([*history, BAD, BAD])[-1] is State.FIRING


def test_a_relapse_while_recovering_fires_again_at_once() -> None:
    assert run([CERTAIN, CLEAN, BAD]) == [State.FIRING, State.RECOVERING, State.FIRING]


def test_after_ok_the_past_is_forgotten() -> None:
    assert run([BAD, BAD, CLEAN, CLEAN, CLEAN, BAD])[-1] is State.SUSPECT


def a_finding(judgement: Judgement, **facts: object) -> Finding:
    base = {"severity": 1, "effect": 0.5, "p_value": 1e-9}
    return Finding(subject=SUBJECT, judgement=judgement, **{**base, **facts})  # type: ignore[arg-type]


def told(findings: list[Finding]) -> list[Alert | None]:
    alert, seen = None, []
    for i, finding in enumerate(findings):
        change = apply(alert, finding, Moment(i, 10 * i), f"id{i}")
        alert = change.alert
        seen.append(alert)
        if alert is not None and not alert.machine.open:
            alert = None
    return seen


def test_a_clean_finding_without_an_alert_opens_nothing() -> None:
    change = apply(None, a_finding(CLEAN), Moment(1, 1), "id")
    assert change.alert is None
    assert not change.announced


def test_the_first_bad_record_of_an_alert_stays() -> None:
    first = FirstBad("t", 0, 5, 1, 100, "7")
    later = FirstBad("t", 0, 9, 1, 900, "8")
    seen = told(
        [
            a_finding(BAD, first_bad=first, bad_from_us=100, bad_to_us=100),
            a_finding(BAD, first_bad=later, bad_from_us=900, bad_to_us=950),
        ]
    )
    assert seen[1] is not None
    assert (seen[1].first_bad, seen[1].bad_from_us, seen[1].bad_to_us) == (first, 100, 950)
    assert seen[1].alert_id == "id0"


def test_a_later_look_without_words_keeps_what_the_first_explained() -> None:
    cause = Cause("s.f", "scale", 1.0, {"carrier": "UA"})
    seen = told([a_finding(BAD, summary="x60", causes=(cause,)), a_finding(BAD)])
    assert seen[1] is not None
    assert (seen[1].summary, seen[1].causes) == ("x60", (cause,))


def test_an_alert_that_is_over_says_when_it_ended() -> None:
    seen = told([a_finding(CERTAIN), *[a_finding(CLEAN, bad_to_us=7)] * 3])
    last = seen[-1]
    assert last is not None
    assert (last.machine.state, last.resolved_us, last.bad_to_us) == (State.OK, 3, 7)


def test_only_changes_of_state_are_announced() -> None:
    first = apply(None, a_finding(CERTAIN), Moment(1, 1), "a")
    again = apply(first.alert, a_finding(BAD), Moment(2, 2), "b")
    assert first.announced
    assert not again.announced
    assert again.alert is not None
    assert again.alert.changed_us == 1


def test_what_is_dismissed_is_over_and_announced_once() -> None:
    first = apply(None, a_finding(CERTAIN), Moment(1, 1), "a").alert
    assert first is not None
    change = dismiss(first, Moment(5, 6))
    assert change.announced
    assert change.alert is not None
    assert (change.alert.machine, change.alert.resolved_us) == (Machine(), 5)
