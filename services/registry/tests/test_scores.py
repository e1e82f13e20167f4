"""Metrics agree with their oracles, plain and weighted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from tidemill_registry import scores


def sample(rows: int = 400, seed: int = 0) -> tuple[scores.Column, scores.Column]:
    rng = np.random.default_rng(seed)
    label = (rng.random(rows) < 0.3).astype(np.float64)
    score = np.clip(0.3 + 0.3 * (label - 0.3) + rng.normal(0, 0.2, rows), 0.01, 0.99)
    return label, np.round(score, 2)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("auc", oracle.roc_auc_score),
        ("log_loss", oracle.log_loss),
        ("brier", oracle.brier_score_loss),
        ("rmse", lambda y, s: np.sqrt(oracle.mean_squared_error(y, s))),
        ("mae", oracle.mean_absolute_error),
    ],
)
def test_a_metric_agrees_with_scikit_learn(metric: str, expected: object) -> None:
    label, score = sample()
    assert callable(expected)
    assert scores.value(metric, label, score) == pytest.approx(expected(label, score))


@given(st.integers(min_value=0, max_value=10_000))
def test_a_weighted_auc_is_the_auc_of_repeated_rows(seed: int) -> None:
    label, score = sample(60, seed)
    if not 0 < label.sum() < len(label):
        return
    counts = np.random.default_rng(seed).integers(1, 4, size=60)
    weighted = scores.auc(label, score, counts[None, :].astype(np.float64))[0]
    repeated = oracle.roc_auc_score(np.repeat(label, counts), np.repeat(score, counts))
    assert weighted == pytest.approx(repeated)


def test_a_calibrated_score_has_a_small_calibration_error_and_a_shifted_one_has_not() -> None:
    rng = np.random.default_rng(3)
    score = rng.random(50_000)
    label = (rng.random(50_000) < score).astype(np.float64)
    assert scores.value("ece", label, score) < 0.02
    assert scores.value("ece", label, np.clip(score + 0.2, 0, 1)) > 0.1


def test_one_class_alone_has_no_auc() -> None:
    assert np.isnan(scores.value("auc", np.ones(5), np.linspace(0, 1, 5)))


def test_the_bootstrap_is_the_same_for_the_same_seed_and_covers_the_truth() -> None:
    label, score = sample(2000)
    noisy = np.clip(score + np.random.default_rng(1).normal(0, 0.2, 2000), 0.001, 0.999)
    drawn = [
        scores.paired_bootstrap("log_loss", label, noisy, score, resamples=500, seed=seed)
        for seed in (7, 7, 8)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    difference = scores.value("log_loss", label, noisy) - scores.value("log_loss", label, score)
    assert np.quantile(drawn[0], 0.01) < difference < np.quantile(drawn[0], 0.99)
    assert len(drawn[0]) == 500


def test_a_higher_auc_is_better_and_a_lower_loss_is_better() -> None:
    good, bad = np.array([0.9]), np.array([0.6])
    assert scores.worse_by("auc", bad, good)[0] == pytest.approx(0.3)
    assert scores.worse_by("log_loss", good, bad)[0] == pytest.approx(0.3)
