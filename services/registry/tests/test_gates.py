"""Gates say pass, fail or not enough data, and why, in words."""

from __future__ import annotations

import numpy as np
import pytest

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill_registry import gates
from tidemill_registry.gates import Champion, Inputs, Measured, Rows
from tidemill_registry.scores import Column
from tidemill_registry.versions import GateResult, Stage, Verdict

DIGEST = "ab" * 32
FLOOR = pb.MetricFloor(metric="auc", bound=0.6, min_rows=500)
LIKE = pb.NonInferiority(
    metric="log_loss", margin=0.01, confidence=0.95, min_rows=500, resamples=400
)
INPUTS = Inputs(("a", "b"), ("c",), "binary")


def rows(
    count: int = 3000, *, skill: float = 0.3, champion_skill: float | None = 0.3, seed: int = 0
) -> Rows:
    """Two models that see the same noisy evidence, each with its own skill."""
    rng = np.random.default_rng(seed)
    label = (rng.random(count) < 0.3).astype(np.float64)
    noise = rng.normal(0, 0.12, count)

    def scored(strength: float) -> Column:
        jitter = rng.normal(0, 0.02, count)
        return np.clip(0.3 + strength * (label - 0.3) + noise + jitter, 0.01, 0.99)

    champion = None if champion_skill is None else scored(champion_skill)
    return Rows(label, scored(skill), champion)


def test_a_model_above_the_floor_passes_and_the_reason_has_the_numbers() -> None:
    result = gates.metric_floor("floor", FLOOR, rows())
    assert result.verdict is Verdict.PASS
    assert result.value > 0.6
    assert "on 3,000 test rows is above the floor 0.6" in result.reason


def test_a_model_of_corrupted_labels_fails_floor_and_comparison_with_readable_reasons() -> None:
    bad = rows(skill=-0.2)
    floor = gates.metric_floor("floor", FLOOR, bad)
    like = gates.non_inferiority("champion", LIKE, bad, DIGEST, Champion(4, 4))
    assert (floor.verdict, like.verdict) == (Verdict.FAIL, Verdict.FAIL)
    decision = gates.decide([floor, like])
    assert decision.stage is Stage.REJECTED
    assert "gate floor failed: auc 0." in decision.reason
    assert "of champion 4 on 3,000 fresh rows: worse by" in decision.reason
    assert "more than the margin 0.01" in decision.reason


def test_a_metric_that_should_be_low_has_a_ceiling() -> None:
    gate = pb.MetricFloor(metric="log_loss", bound=0.1, min_rows=10)
    result = gates.metric_floor("loss", gate, rows())
    assert result.verdict is Verdict.FAIL
    assert "is above the ceiling 0.1" in result.reason


def test_an_equal_model_is_not_inferior() -> None:
    result = gates.non_inferiority("champion", LIKE, rows(), DIGEST, Champion(1, 1))
    assert result.verdict is Verdict.PASS
    assert result.ci_low <= result.value <= result.ci_high <= 0.01
    assert result.evidence["champion_version"] == 1


def test_a_champion_that_has_a_successor_by_now_is_named_with_it() -> None:
    result = gates.non_inferiority("champion", LIKE, rows(), DIGEST, Champion(5, 4))
    assert "of champion 4 (5 is champion by now) on" in result.reason
    assert result.evidence["champion_version"] == 4


def test_without_a_champion_there_is_nothing_to_be_worse_than() -> None:
    result = gates.non_inferiority(
        "champion", LIKE, rows(champion_skill=None), DIGEST, Champion(0, 0)
    )
    assert (result.verdict, result.reason) == (Verdict.PASS, "there is no champion yet")


def test_rows_that_the_champion_has_not_scored_are_not_enough_data() -> None:
    result = gates.non_inferiority(
        "champion", LIKE, rows(champion_skill=None), DIGEST, Champion(3, 3)
    )
    assert result.verdict is Verdict.NOT_ENOUGH_DATA
    assert "champion 3 has not scored" in result.reason


def test_only_rows_that_both_have_scored_are_compared() -> None:
    both = rows(1000)
    assert both.champion is not None
    both.champion[600:] = np.nan
    result = gates.non_inferiority("champion", LIKE, both, DIGEST, Champion(1, 1))
    assert result.evidence["rows"] == 600
    both.champion[400:] = np.nan
    short = gates.non_inferiority("champion", LIKE, both, DIGEST, Champion(1, 1))
    assert short.verdict is Verdict.NOT_ENOUGH_DATA
    assert short.reason == "400 usable test rows, 500 are needed"


def test_too_few_rows_are_not_enough_data_and_do_not_promote() -> None:
    result = gates.metric_floor("floor", FLOOR, rows(100))
    assert result.verdict is Verdict.NOT_ENOUGH_DATA
    decision = gates.decide([result])
    assert decision.stage is Stage.REJECTED
    assert decision.reason.startswith("gate floor had not enough data: 100 usable test rows")


def test_one_class_alone_is_not_enough_data() -> None:
    one = Rows(np.zeros(600), np.linspace(0, 1, 600))
    assert gates.metric_floor("floor", FLOOR, one).verdict is Verdict.NOT_ENOUGH_DATA


def test_the_same_digest_always_gets_the_same_answer() -> None:
    first = gates.non_inferiority("champion", LIKE, rows(), DIGEST, Champion(1, 1))
    again = gates.non_inferiority("champion", LIKE, rows(), DIGEST, Champion(1, 1))
    other = gates.non_inferiority("champion", LIKE, rows(), "cd" * 32, Champion(1, 1))
    assert first == again
    assert first.ci_high != other.ci_high


def test_a_good_model_is_seldom_refused_and_a_bad_one_always() -> None:
    gate = pb.NonInferiority(
        metric="log_loss", margin=0.01, confidence=0.95, min_rows=500, resamples=200
    )
    good = [
        gates.non_inferiority("g", gate, rows(seed=i), DIGEST, Champion(1, 1)).verdict
        for i in range(20)
    ]
    bad = [
        gates.non_inferiority("g", gate, rows(seed=i, skill=0.15), DIGEST, Champion(1, 1)).verdict
        for i in range(20)
    ]
    assert good.count(Verdict.PASS) >= 18
    assert bad.count(Verdict.FAIL) == 20


def test_the_real_server_must_agree_and_be_quick() -> None:
    gate = pb.ServerGate(max_difference=1e-5, max_latency_p99_ms=50)
    fine = gates.server("server", gate, Measured(1e-7, 2.0, 9.0, 32, 200))
    assert fine.verdict is Verdict.PASS
    assert "latency p99 9.0 ms over 200 requests" in fine.reason
    bad = gates.server("server", gate, Measured(0.1, 2.0, 90.0, 32, 200))
    assert bad.verdict is Verdict.FAIL
    assert bad.reason == (
        "golden answers differ by 0.1, more than 1e-05; latency p99 90.0 ms, more than 50"
    )
    broken = gates.server("server", gate, Measured(float("nan"), 2.0, 9.0, 32, 200))
    assert broken.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("packaged", "said"),
    [
        (Inputs(("b", "a"), ("c",), "binary"), "numeric input 1 is b, expected a"),
        (Inputs(("a",), ("c",), "binary"), "numeric inputs missing: b"),
        (Inputs(("a", "b", "x"), ("c",), "binary"), "does not declare: x"),
        (Inputs(("a", "b"), (), "regression"), "the task is regression"),
    ],
)
def test_inputs_that_differ_from_the_definition_fail(packaged: Inputs, said: str) -> None:
    result = gates.schema("inputs", INPUTS, packaged, [])
    assert result.verdict is Verdict.FAIL
    assert said in result.reason


def test_inputs_as_declared_pass_unless_a_file_is_not_what_it_says() -> None:
    assert gates.schema("inputs", INPUTS, INPUTS, []).verdict is Verdict.PASS
    broken = gates.schema("inputs", INPUTS, INPUTS, ["model.onnx: changed"])
    assert (broken.verdict, broken.reason) == (Verdict.FAIL, "model.onnx: changed")


def test_a_version_is_validated_only_if_every_gate_passed() -> None:
    passed = GateResult("a", Verdict.PASS)
    assert gates.decide([passed]).reason == "passed a"
    assert gates.decide([]).stage is Stage.VALIDATED
    unsure = GateResult("b", Verdict.NOT_ENOUGH_DATA, reason="few")
    assert gates.decide([passed, unsure]).stage is Stage.REJECTED
