"""When a process that died is started again."""

from hypothesis import given
from hypothesis import strategies as st

from tidemill_local.restarts import GIVE_UP_AFTER, LONGEST_DELAY_S, Again, GiveUp, History


def test_the_first_death_is_answered_at_once_and_later_ones_ever_more_slowly() -> None:
    history, delays = History(), []
    for _ in range(4):
        history = history.died(lived_s=1.0, answered=True)
        decision = history.decide()
        assert isinstance(decision, Again)
        delays.append(decision.delay_s)
    assert delays == [0.2, 0.4, 0.8, 1.6]


def test_a_stable_life_starts_the_count_anew() -> None:
    history = History(quick=7)
    assert history.died(lived_s=60.0, answered=True).decide() == Again(0.2)


def test_a_process_that_never_answers_is_given_up_on() -> None:
    history = History()
    for _ in range(GIVE_UP_AFTER):
        history = history.died(lived_s=0.1, answered=False)
    assert history.decide() == GiveUp(GIVE_UP_AFTER)


@given(st.lists(st.floats(0, 1000), max_size=50))
def test_a_process_that_answers_is_never_given_up_on_and_never_waits_longer_than_the_limit(
    lives: list[float],
) -> None:
    history = History()
    for lived_s in lives:
        history = history.died(lived_s=lived_s, answered=True)
        decision = history.decide()
        assert isinstance(decision, Again)
        assert decision.delay_s <= LONGEST_DELAY_S
