"""Pure: quality metrics over columns, for any number of weightings of the rows at once.

A weighting is one row of a matrix [r, n]; the bootstrap makes a thousand of them, the plain value
is the one with all weights 1. Each metric returns r values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64]
Metric = Callable[[Column, Column, Weights], Column]

ECE_BINS: Final = 15
CLIP: Final = 1e-7
CELLS: Final = 2_000_000
HIGHER_IS_BETTER: Final = frozenset({"auc"})


def auc(label: Column, score: Column, weights: Weights) -> Column:
    """Area under the ROC curve; ties count half. NaN where one class has no weight."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    positive = np.add.reduceat(weights[:, order] * label[order], starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * (1.0 - label[order]), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Column = (positive * below).sum(axis=1) / pairs
    return area


def log_loss(label: Column, score: Column, weights: Weights) -> Column:
    """Mean negative log likelihood, scores kept off 0 and 1."""
    p = np.clip(score, CLIP, 1.0 - CLIP)
    return _mean(-(label * np.log(p) + (1.0 - label) * np.log1p(-p)), weights)


def brier(label: Column, score: Column, weights: Weights) -> Column:
    """Mean squared error of a probability."""
    return _mean((label - score) ** 2, weights)


def ece(label: Column, score: Column, weights: Weights) -> Column:
    """Expected calibration error over equal-width bins."""
    bins = np.clip((score * ECE_BINS).astype(np.int64), 0, ECE_BINS - 1)
    order = np.argsort(bins, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(bins[order]) > 0])
    gaps = np.add.reduceat(weights[:, order] * (label - score)[order], starts, axis=1)
    error: Column = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return error


def rmse(label: Column, score: Column, weights: Weights) -> Column:
    """Root of the mean squared error."""
    return np.sqrt(_mean((label - score) ** 2, weights))


def mae(label: Column, score: Column, weights: Weights) -> Column:
    """Mean absolute error."""
    return _mean(np.abs(label - score), weights)


METRICS: Final[Mapping[str, Metric]] = {
    "auc": auc,
    "log_loss": log_loss,
    "brier": brier,
    "ece": ece,
    "rmse": rmse,
    "mae": mae,
}


def value(metric: str, label: Column, score: Column) -> float:
    """Return a metric over all rows."""
    return float(METRICS[metric](label, score, np.ones((1, len(label))))[0])


def worse_by(metric: str, candidate: Column, champion: Column) -> Column:
    """Return by how much the candidate's values are worse than the champion's."""
    return champion - candidate if metric in HIGHER_IS_BETTER else candidate - champion


def paired_bootstrap(
    metric: str, label: Column, candidate: Column, champion: Column, *, resamples: int, seed: int
) -> Column:
    """Return by how much the candidate is worse in each resample of the same rows."""
    rng = np.random.default_rng(seed)
    rows = len(label)
    chunk = max(1, CELLS // rows)
    measure = METRICS[metric]
    found = []
    for start in range(0, resamples, chunk):
        weights = _resampled(rng, min(chunk, resamples - start), rows)
        ours, theirs = measure(label, candidate, weights), measure(label, champion, weights)
        found.append(worse_by(metric, ours, theirs))
    return np.concatenate(found)


def _resampled(rng: np.random.Generator, times: int, rows: int) -> Weights:
    """Return how often each row is drawn in each of some draws with replacement."""
    drawn = rng.integers(0, rows, size=(times, rows))
    drawn += np.arange(times)[:, None] * rows
    counts = np.bincount(drawn.ravel(), minlength=times * rows)
    return counts.reshape(times, rows).astype(np.float64)


def _mean(losses: Column, weights: Weights) -> Column:
    average: Column = weights @ losses / weights.sum(axis=1)
    return average
