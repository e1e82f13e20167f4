"""Which versions take traffic, and how that moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import FailedPrecondition
from tidemill_registry import rollouts
from tidemill_registry.rollouts import Rollout

NONE = Rollout("late")
STABLE = Rollout("late", champion=3, previous_champion=2, table_version=5)
CANARY = Rollout("late", champion=3, challenger=4, previous_champion=2, share=0.2, salt="s")


def test_the_first_version_is_champion_at_once() -> None:
    moved = rollouts.open_rollout(NONE, 1, 0.2, "passed")
    assert (moved.rollout.champion, moved.rollout.challenger, moved.archived) == (1, 0, ())


def test_a_later_version_is_a_challenger_with_its_share() -> None:
    moved = rollouts.open_rollout(STABLE, 4, 0.2, "passed")
    assert (moved.rollout.champion, moved.rollout.challenger) == (3, 4)
    assert moved.rollout.share == 0.2
    assert moved.rollout.previous_champion == 2
    assert moved.archived == ()


def test_without_a_canary_a_later_version_is_promoted_at_once() -> None:
    moved = rollouts.open_rollout(STABLE, 4, 0.0, "passed")
    assert (moved.rollout.champion, moved.rollout.previous_champion) == (4, 3)
    assert moved.archived == (2,)


def test_a_newer_version_replaces_a_running_challenger() -> None:
    moved = rollouts.open_rollout(CANARY, 5, 0.2, "passed")
    assert (moved.rollout.challenger, moved.archived) == (5, (4,))
    assert moved.rollout.salt != CANARY.salt


def test_only_a_newer_version_opens_a_rollout() -> None:
    assert rollouts.supersedes(CANARY, 5)
    assert not rollouts.supersedes(CANARY, 4)
    assert not rollouts.supersedes(STABLE, 2)


def test_a_good_canary_makes_the_challenger_champion() -> None:
    moved = rollouts.promote_challenger(CANARY, "shown to be good")
    row = moved.rollout
    assert (row.champion, row.challenger, row.previous_champion, row.share) == (4, 0, 3, 0.0)
    assert moved.archived == (2,)


def test_a_bad_canary_leaves_the_champion_alone() -> None:
    moved = rollouts.abort(CANARY, "errors")
    row = moved.rollout
    assert (row.champion, row.challenger, row.previous_champion) == (3, 0, 2)
    assert moved.archived == (4,)


def test_a_rollback_returns_to_the_previous_champion_and_drops_the_challenger() -> None:
    moved = rollouts.roll_back(CANARY, "bad")
    assert (moved.rollout.champion, moved.rollout.previous_champion) == (2, 0)
    assert moved.archived == (3, 4)


def test_a_rollback_without_a_previous_champion_is_refused() -> None:
    with pytest.raises(FailedPrecondition, match="no previous champion"):
        rollouts.roll_back(Rollout("late", champion=1), "bad")


def test_moves_of_a_challenger_that_is_not_there_are_refused() -> None:
    with pytest.raises(FailedPrecondition, match="has no challenger"):
        rollouts.abort(STABLE, "x")
    with pytest.raises(FailedPrecondition, match="has no challenger"):
        rollouts.promote_challenger(STABLE, "x")
    with pytest.raises(FailedPrecondition, match="champion already"):
        rollouts.promote(STABLE, 3, "x")


@given(st.lists(st.sampled_from(["open", "open at once", "promote", "abort", "back"])))
def test_whatever_happens_nothing_that_takes_traffic_is_archived(moves: list[str]) -> None:
    row, newest, archived = NONE, 0, set[int]()
    for move in moves:
        try:
            match move:
                case "open" | "open at once":
                    newest += 1
                    moved = rollouts.open_rollout(row, newest, 0.1 * (move == "open"), move)
                case "promote":
                    moved = rollouts.promote_challenger(row, move)
                case "abort":
                    moved = rollouts.abort(row, move)
                case _:
                    moved = rollouts.roll_back(row, move)
        except FailedPrecondition:
            continue
        row = moved.rollout
        archived |= set(moved.archived)
        named = {row.champion, row.challenger, row.previous_champion} - {0}
        assert row.champion
        assert not named & archived
        assert len(named) == sum(map(bool, (row.champion, row.challenger, row.previous_champion)))
        assert named | archived == set(range(1, newest + 1))
