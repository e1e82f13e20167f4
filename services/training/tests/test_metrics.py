"""Promises of the metrics and of the calibration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from tidemill_training import metrics
from tidemill_training.calibration import fit_platt


@given(st.integers(2, 60), st.integers(0, 10_000))
def test_the_metrics_agree_with_scikit_learn(rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, rows).astype(np.float64)
    label[:2] = (0.0, 1.0)
    score = random.integers(1, 9, rows) / 10
    assert metrics.auc(label, score) == pytest.approx(oracle.roc_auc_score(label, score))
    assert metrics.log_loss(label, score) == pytest.approx(oracle.log_loss(label, score))
    assert metrics.brier(label, score) == pytest.approx(oracle.brier_score_loss(label, score))


def test_auc_of_one_class_is_unknown_and_left_out() -> None:
    label, score = np.ones(5), np.linspace(0.1, 0.9, 5)
    assert math.isnan(metrics.auc(label, score))
    assert "auc" not in metrics.evaluate("binary", label, score)


def test_a_probability_that_comes_true_so_often_has_no_calibration_error() -> None:
    score = np.repeat([0.25, 0.75], 400)
    label = (
        np.tile([1.0, 0.0, 0.0, 0.0], 100).tolist() + np.tile([1.0, 1.0, 1.0, 0.0], 100).tolist()
    )
    assert metrics.ece(np.asarray(label), score) == pytest.approx(0.0, abs=1e-12)


def test_certain_scores_give_a_finite_loss() -> None:
    assert math.isfinite(metrics.log_loss(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_calibration_takes_back_overconfidence() -> None:
    random = np.random.default_rng(3)
    logit = random.normal(0, 1, 20_000)
    label = (random.random(20_000) < 1 / (1 + np.exp(-logit))).astype(np.float64)
    platt = fit_platt(3 * logit, label, shift=False)
    assert platt.scale == pytest.approx(1 / 3, rel=0.1)
    assert platt.shift == 0.0


def test_a_few_rows_do_not_talk_calibration_out_of_the_identity() -> None:
    platt = fit_platt(np.array([2.0, -2.0, 3.0]), np.array([0.0, 1.0, 0.0]))
    assert abs(platt.scale - 1) < 0.1
    assert abs(platt.shift) < 0.1
