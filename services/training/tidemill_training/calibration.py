"""Make scores mean probabilities: two numbers from the validation rows, baked into the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_STEPS: Final = 50
_CLOSE: Final = 1e-10
_PRIOR: Final = 300.0
"""Weight, in rows' worth of curvature, of the belief that a network is calibrated already: a day or
two of validation rows should not talk it out of that."""
_SCALE: Final = (0.2, 3.0)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Platt:
    """probability = sigmoid(scale * logit + shift)."""

    scale: float = 1.0
    shift: float = 0.0


IDENTITY: Final = Platt()


def fit_platt(logit: Floats, label: Floats, *, shift: bool = True) -> Platt:
    """Fit by Newton's method, held near the identity by a prior; always converges.

    Without `shift` only the temperature is fitted: right when the rate of positives of the
    validation rows says little about that of the days to come.
    """
    columns = np.stack([logit, np.ones_like(logit)] if shift else [logit])
    start = np.array([1.0, 0.0])[: columns.shape[0]]
    beta = start.copy()
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(beta @ columns, -40, 40)))
        gradient = columns @ (p - label) + _PRIOR * (beta - start)
        curvature = (columns * (p * (1 - p))) @ columns.T + _PRIOR * np.eye(beta.size)
        step = np.linalg.solve(curvature, gradient)
        beta -= np.clip(step, -1.0, 1.0)
        if float(np.abs(step).max()) < _CLOSE:
            break
    scale = float(np.clip(beta[0], *_SCALE))
    return Platt(scale, float(beta[1]) if shift else 0.0)
