"""Counts over fixed cells that grow by a quarter octave on both sides of zero.

The cells need no reference, so counts of any two spans can be added and compared; and a change of
unit (values times 60) is the same counts moved by a number of cells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PER_OCTAVE = 4
LOWEST, HIGHEST = -20, 60  # octaves: cells reach from 2**-20 to 2**60
_STEPS = (HIGHEST - LOWEST) * PER_OCTAVE + 1
_POSITIVE = 2.0 ** (LOWEST + np.arange(_STEPS) / PER_OCTAVE)
EDGES = np.concatenate((-_POSITIVE[::-1], _POSITIVE))
CELLS = EDGES.size + 1
ZERO = _STEPS  # the cell around 0
MAX_SHIFT = 64  # cells: a factor of 2**16

Floats = npt.NDArray[np.float64]


def count(values: Floats) -> Floats:
    """Count finite `values`; all others are left out."""
    cells = np.searchsorted(EDGES, values[np.isfinite(values)], side="left")
    return np.bincount(cells, minlength=CELLS).astype(np.float64)


def quantile(counts: Floats, level: float) -> float:
    """Estimate a quantile, to within the cell it lies in."""
    total = counts.sum()
    if total <= 0:
        return 0.0
    cumulated = np.cumsum(counts)
    cell = int(np.searchsorted(cumulated, level * total, side="left"))
    cell = min(cell, CELLS - 1)
    before = cumulated[cell] - counts[cell]
    inside = (level * total - before) / counts[cell] if counts[cell] > 0 else 0.5
    low = EDGES[max(cell - 1, 0)]
    high = EDGES[min(cell, EDGES.size - 1)]
    return float(low + (high - low) * min(max(inside, 0.0), 1.0)) if cell != ZERO else 0.0


def magnitudes(counts: Floats) -> Floats:
    """Fold the negative side onto the positive one: counts of absolute values."""
    folded = counts.copy()
    folded[ZERO + 1 :] += counts[:ZERO][::-1]
    folded[:ZERO] = 0.0
    return folded


def shifted(counts: Floats, cells: int) -> Floats:
    """Multiply all values by 2 ** (cells / PER_OCTAVE); what leaves the range stays at its end."""
    if cells == 0:
        return counts
    moved = np.zeros_like(counts)
    moved[ZERO] = counts[ZERO]
    positive, negative = counts[ZERO + 1 :], counts[:ZERO][::-1]
    moved[ZERO + 1 :] = _slide(positive, cells)
    moved[:ZERO] = _slide(negative, cells)[::-1]
    return moved


def _slide(side: Floats, cells: int) -> Floats:
    slid = np.zeros_like(side)
    if cells > 0:
        slid[cells:] = side[:-cells]
        slid[-1] += side[-cells:].sum()
    else:
        slid[:cells] = side[-cells:]
        slid[0] += side[:-cells].sum()
    return slid


def distance(one: Floats, other: Floats) -> float:
    """Give the Kolmogorov-Smirnov distance of two counts (0 when one is empty)."""
    n, m = one.sum(), other.sum()
    if n <= 0 or m <= 0:
        return 0.0
    return float(np.abs(np.cumsum(one) / n - np.cumsum(other) / m).max())


def best_scale(reference: Floats, current: Floats) -> tuple[float, float, float]:
    """Give the factor by which `reference` looks most like `current`, and the distances.

    The distances are the one without a factor and the one that is left with it.
    """
    shifts = range(-MAX_SHIFT, MAX_SHIFT + 1)
    distances = [distance(shifted(reference, cells), current) for cells in shifts]
    best = int(np.argmin(distances))
    factor = 2.0 ** (shifts[best] / PER_OCTAVE)
    return factor, distances[MAX_SHIFT], distances[best]
