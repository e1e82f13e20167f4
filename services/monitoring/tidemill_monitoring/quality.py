"""Quality of predictions against labels, per cohort, and how far it fell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
EPSILON = 1e-7
ECE_BINS = 15
HIGHER_IS_BETTER = frozenset({"auc"})
MATURE_COVERAGE = 0.9


class Task(Enum):
    """What kind of value is predicted."""

    BINARY = "binary"
    REGRESSION = "regression"


def metrics(task: Task, label: Floats, score: Floats) -> dict[str, float]:
    """Give every metric that these rows allow (auc needs both classes)."""
    if label.size == 0:
        return {}
    if task is Task.REGRESSION:
        error = score - label
        return {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error)))}
    found = {
        "log_loss": float(np.mean(_losses("log_loss", label, score))),
        "brier": float(np.mean(_losses("brier", label, score))),
        "ece": expected_calibration_error(label, score),
    }
    area = auc(label, score)
    return found if area is None else {"auc": area, **found}


def auc(label: Floats, score: Floats) -> float | None:
    """Give the area under the ROC curve (ties count half), or None with one class only."""
    positive = label > 0.5
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    upper = np.cumsum(counts)
    ranks = (upper - (counts - 1) / 2.0)[inverse]
    return float((ranks[positive].sum() - ones * (ones + 1) / 2.0) / (ones * zeros))


def expected_calibration_error(label: Floats, score: Floats, bins: int = ECE_BINS) -> float:
    """Give the mean distance of score and rate over equally wide bins of score."""
    cell = np.clip((score * bins).astype(np.int64), 0, bins - 1)
    scores = np.bincount(cell, weights=score, minlength=bins)
    labels = np.bincount(cell, weights=label, minlength=bins)
    return float(np.abs(scores - labels).sum() / label.size)


def _losses(metric: str, label: Floats, score: Floats) -> Floats:
    """Give the loss of each row, for the metrics that are a mean over rows."""
    if metric == "log_loss":
        p = np.clip(score, EPSILON, 1.0 - EPSILON)
        return -(label * np.log(p) + (1.0 - label) * np.log1p(-p))
    if metric == "brier":
        return np.square(score - label)
    return np.abs(score - label)


def standard_error(metric: str, label: Floats, score: Floats) -> float:
    """Give the standard error of a metric on these rows (Hanley and McNeil's for auc)."""
    n = label.size
    if n < 2:
        return math.inf
    if metric == "auc":
        area = auc(label, score)
        return math.inf if area is None else _auc_error(area, label)
    if metric == "rmse":
        squares = np.square(score - label)
        root = math.sqrt(float(squares.mean()))
        return float(squares.std(ddof=1)) / math.sqrt(n) / (2 * root) if root > 0 else 0.0
    return float(_losses(metric, label, score).std(ddof=1)) / math.sqrt(n)


def _auc_error(area: float, label: Floats) -> float:
    ones = float((label > 0.5).sum())
    zeros = label.size - ones
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (ones - 1) * (q1 - area**2) + (zeros - 1) * (q2 - area**2)
    return math.sqrt(max(variance, 0.0) / (ones * zeros))


def drop(metric: str, reference: float, value: float) -> float:
    """Give how much worse `value` is than `reference`, in the metric's unit; negative: better."""
    return reference - value if metric in HIGHER_IS_BETTER else value - reference


def chance(drop_: float, error: float, reference_error: float = 0.0) -> float:
    """Give the chance of so large a drop if quality were what the reference says."""
    spread = math.hypot(error, reference_error)
    if not math.isfinite(spread) or spread <= 0:
        return 1.0 if drop_ <= 0 or not math.isfinite(spread) else 0.0
    return 0.5 * math.erfc(drop_ / spread / math.sqrt(2.0))


@dataclass(frozen=True, slots=True)
class Cohort:
    """Predictions of one version whose time lies in one window, and what became of them."""

    model: str
    version: int
    from_us: int
    to_us: int
    predictions: int
    labelled: int
    metrics: Mapping[str, float]
    mature: bool
    final: bool
    error: float = math.inf
    revision: int = 0

    @property
    def coverage(self) -> float:
        """The share of the predictions whose label is known."""
        return self.labelled / self.predictions if self.predictions else 0.0


def is_mature(coverage: float, expected: float, *, delay_passed: bool) -> bool:
    """Say whether a cohort may be judged: the usual labels are there, or no more will come."""
    return delay_passed or coverage >= MATURE_COVERAGE * expected


def expected_coverage(finals: list[float]) -> float:
    """Give the coverage to expect from the final cohorts before; 1 while there is none."""
    return float(np.median(finals)) if finals else 1.0
