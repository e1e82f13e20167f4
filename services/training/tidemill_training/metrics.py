"""How good predictions are against labels: exact, vectorised, and the same for every caller."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

CELLS: Final = 15
_TINY: Final = 1e-7

Floats = npt.NDArray[np.float64]


def auc(label: Floats, score: Floats) -> float:
    """Return the chance that a positive row scores above a negative one; ties count half."""
    positive = int(np.count_nonzero(label > 0.5))
    negative = label.size - positive
    if positive == 0 or negative == 0:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = float(ranks[label > 0.5].sum()) - positive * (positive + 1) / 2
    return above / (positive * negative)


def log_loss(label: Floats, score: Floats) -> float:
    """Return the mean negative log likelihood; scores are kept off 0 and 1."""
    safe = np.clip(score, _TINY, 1 - _TINY)
    return float(-np.mean(label * np.log(safe) + (1 - label) * np.log1p(-safe)))


def brier(label: Floats, score: Floats) -> float:
    """Return the mean squared difference between probability and outcome."""
    return float(np.mean((label - score) ** 2))


def ece(label: Floats, score: Floats, cells: int = CELLS) -> float:
    """Return the expected calibration error over cells of equal width, as the gates do."""
    cell = np.clip((score * cells).astype(np.int64), 0, cells - 1)
    gaps = np.bincount(cell, weights=label - score, minlength=cells)
    return float(np.abs(gaps).sum()) / label.size


def rmse(label: Floats, value: Floats) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean((label - value) ** 2)))


def mae(label: Floats, value: Floats) -> float:
    """Return the mean absolute error."""
    return float(np.mean(np.abs(label - value)))


def evaluate(task: str, label: Floats, score: Floats) -> dict[str, float]:
    """Return every metric of a task that these rows define."""
    if task == "regression":
        return {"rmse": rmse(label, score), "mae": mae(label, score)}
    values = {
        "auc": auc(label, score),
        "log_loss": log_loss(label, score),
        "brier": brier(label, score),
        "ece": ece(label, score),
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}
