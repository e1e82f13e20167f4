"""Promises of the canary's decision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill_serving.rollout import Counts, Move, Rules, decide, e_value

RULES = Rules(min_requests=200, max_increase=0.02, alpha=0.01)


def test_enough_answers_without_harm_promote() -> None:
    decision = decide(Counts(800), Counts(200), RULES)
    assert decision.move is Move.PROMOTE
    assert decision.evidence["challenger_requests"] == 200


def test_too_few_answers_hold() -> None:
    assert decide(Counts(800), Counts(199), RULES).move is Move.HOLD
    assert decide(Counts(), Counts(), RULES).move is Move.HOLD


def test_a_trip_aborts_at_once_and_is_the_reason() -> None:
    decision = decide(Counts(8), Counts(5, errors=5), RULES, "5 failures in a row")
    assert decision.move is Move.ABORT
    assert "5 failures in a row" in decision.reason


def test_clear_harm_aborts_before_the_requests_are_full() -> None:
    assert decide(Counts(400), Counts(100, errors=30), RULES).move is Move.ABORT
    assert decide(Counts(400), Counts(100, slow=40), RULES).move is Move.ABORT


def test_an_outage_that_hits_both_alike_is_not_held_against_the_challenger() -> None:
    decision = decide(Counts(800, errors=240), Counts(200, errors=60), RULES)
    assert decision.move is Move.PROMOTE


def test_more_errors_than_accepted_that_are_not_shown_yet_hold_and_in_the_end_abort() -> None:
    assert decide(Counts(800), Counts(200, errors=6), RULES).move is Move.HOLD
    assert decide(Counts(4_000), Counts(1_000, errors=30), RULES).move is Move.ABORT


def test_errors_without_answers_of_the_champion_wait_for_some() -> None:
    assert decide(Counts(3), Counts(200, errors=2), RULES).move is Move.HOLD


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_the_evidence_is_a_finite_number_and_falls_with_the_champions_errors(
    n_old: int, bad_old: int, n_new: int, bad_new: int
) -> None:
    bad_old, bad_new = min(bad_old, n_old), min(bad_new, n_new)
    value = e_value(bad_old, n_old, bad_new, n_new, 0.02)
    assert 0 <= value < float("inf")


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.2])
def test_a_challenger_that_is_not_worse_is_seldom_aborted_however_often_one_looks(
    rate: float,
) -> None:
    """Looked at after every answer, at most alpha of the good challengers may be rolled back."""
    dice, aborted, runs = np.random.default_rng(11), 0, 100
    for _ in range(runs):
        champion = challenger = Counts()
        for _ in range(60):
            champion += Counts(4, errors=sum(dice.random() < rate for _ in range(4)))
            challenger += Counts(1, errors=int(dice.random() < rate))
            if (
                e_value(
                    champion.errors, champion.requests, challenger.errors, challenger.requests, 0.0
                )
                >= 100
            ):
                aborted += 1
                break
    assert aborted / runs <= 0.02


def test_a_much_worse_challenger_is_found_within_its_first_hundred_answers() -> None:
    dice, found = np.random.default_rng(5), 0
    for _ in range(50):
        challenger = Counts()
        for _ in range(100):
            challenger += Counts(1, errors=int(dice.random() < 0.3))
            if decide(Counts(400, errors=4), challenger, RULES).move is Move.ABORT:
                found += 1
                break
    assert found >= 49
