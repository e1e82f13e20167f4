"""The life of a version."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tidemill.errors import IllegalTransition
from tidemill_registry.versions import (
    GateResult,
    Stage,
    Verdict,
    Version,
    check_promotable,
    sources,
)


def a_version(stage: Stage = Stage.CANDIDATE, reason: str = "") -> Version:
    at = datetime(2013, 1, 1, tzinfo=UTC)
    return Version("late", 3, "d" * 64, "run", (), b"", {}, at, stage=stage, reason=reason)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Stage.CANDIDATE, Stage.VALIDATED),
        (Stage.CANDIDATE, Stage.REJECTED),
        (Stage.VALIDATED, Stage.ARCHIVED),
        (Stage.ARCHIVED, Stage.VALIDATED),
    ],
)
def test_a_version_moves_along_its_life(before: Stage, after: Stage) -> None:
    assert before in sources(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Stage.CANDIDATE, Stage.ARCHIVED),
        (Stage.REJECTED, Stage.VALIDATED),
        (Stage.REJECTED, Stage.CANDIDATE),
        (Stage.VALIDATED, Stage.REJECTED),
        (Stage.VALIDATED, Stage.CANDIDATE),
    ],
)
def test_a_version_never_moves_back(before: Stage, after: Stage) -> None:
    assert before not in sources(after)


def test_a_rejected_version_cannot_be_promoted_and_the_error_says_why() -> None:
    with pytest.raises(IllegalTransition, match=r"late/3 is rejected .*: auc is too low"):
        check_promotable(a_version(Stage.REJECTED, "auc is too low"))
    check_promotable(a_version(Stage.VALIDATED))
    check_promotable(a_version(Stage.ARCHIVED))


def test_a_repeated_gate_result_agrees_whatever_its_time() -> None:
    first = GateResult("floor", Verdict.PASS, value=0.7, threshold=0.6)
    again = replace(first, time=datetime(2020, 1, 1, tzinfo=UTC))
    assert first.says_the_same(again)
    assert not first.says_the_same(replace(first, value=0.8))
