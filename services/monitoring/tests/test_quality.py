"""Quality metrics against scikit-learn, and when a cohort may be judged."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from tidemill_monitoring import quality
from tidemill_monitoring.quality import Task


def rows(seed: int, n: int = 500) -> tuple[quality.Floats, quality.Floats]:
    generator = np.random.default_rng(seed)
    score = np.round(generator.beta(2, 5, n), 2)
    return (generator.random(n) < score).astype(np.float64), score


@given(st.integers(0, 2**32 - 1))
def test_binary_metrics_are_scikit_learns(seed: int) -> None:
    label, score = rows(seed)
    found = quality.metrics(Task.BINARY, label, score)
    clipped = np.clip(score, quality.EPSILON, 1 - quality.EPSILON)
    assert found["auc"] == pytest.approx(oracle.roc_auc_score(label, score))
    assert found["log_loss"] == pytest.approx(oracle.log_loss(label, clipped))
    assert found["brier"] == pytest.approx(oracle.brier_score_loss(label, score))


def test_regression_metrics_are_scikit_learns() -> None:
    generator = np.random.default_rng(1)
    label, score = generator.normal(size=100), generator.normal(size=100)
    found = quality.metrics(Task.REGRESSION, label, score)
    assert found["rmse"] == pytest.approx(oracle.root_mean_squared_error(label, score))
    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(label, score))


def test_calibrated_scores_have_a_small_calibration_error_and_shifted_ones_their_shift() -> None:
    label, score = rows(1, 50_000)
    assert quality.expected_calibration_error(label, score) < 0.01
    assert quality.expected_calibration_error(label, score + 0.2) == pytest.approx(0.2, abs=0.02)


def test_auc_needs_both_classes() -> None:
    assert quality.auc(np.ones(5), np.linspace(0, 1, 5)) is None
    assert "auc" not in quality.metrics(Task.BINARY, np.ones(5), np.linspace(0.1, 0.9, 5))


def test_no_rows_have_no_metrics() -> None:
    assert quality.metrics(Task.BINARY, np.empty(0), np.empty(0)) == {}


@pytest.mark.parametrize("metric", ["auc", "log_loss", "brier", "rmse", "mae"])
def test_the_standard_error_is_that_of_repeated_samples(metric: str) -> None:
    task = Task.REGRESSION if metric in {"rmse", "mae"} else Task.BINARY
    values = [quality.metrics(task, *rows(seed, 400))[metric] for seed in range(300)]
    errors = [quality.standard_error(metric, *rows(seed, 400)) for seed in range(30)]
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25)


def test_worse_is_positive_for_every_metric() -> None:
    assert quality.drop("auc", 0.8, 0.7) == pytest.approx(0.1)
    assert quality.drop("log_loss", 0.5, 0.6) == pytest.approx(0.1)


def test_the_chance_of_a_drop_falls_with_its_size() -> None:
    assert quality.chance(0.0, 0.01) == pytest.approx(0.5)
    assert quality.chance(0.03, 0.01) < 0.01
    assert quality.chance(0.1, math.inf) == 1.0


def test_a_cohort_is_mature_with_most_of_the_usual_labels_or_when_no_more_will_come() -> None:
    assert quality.is_mature(0.87, 0.96, delay_passed=False)
    assert not quality.is_mature(0.87, 1.0, delay_passed=False)
    assert quality.is_mature(0.3, 1.0, delay_passed=True)


def test_the_usual_coverage_is_that_of_earlier_cohorts() -> None:
    assert quality.expected_coverage([]) == 1.0
    assert quality.expected_coverage([0.96, 0.5, 0.97]) == pytest.approx(0.96)
