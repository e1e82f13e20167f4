"""Drift of one window against the reference: effects, p-values, and which of many are real.

Everything works on counts over the reference's own cells (`tidemill_common.reference`), so a
window costs the same whether it holds a thousand rows or a hundred million.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

from tidemill_common.reference import Bins, NumericBins

if TYPE_CHECKING:
    from collections.abc import Sequence

Counts = npt.NDArray[np.int64]
MIN_EXPECTED = 5.0
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Drift:
    """How one subject of one window differs from its reference."""

    subject: str
    rows: int
    effect: float
    p_value: float
    shape: str
    text: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A drift with the verdict over all subjects of its window."""

    drift: Drift
    drifted: bool
    rank: int


def ks(reference: Counts, current: Counts) -> tuple[float, float]:
    """Give distance and p-value of two samples known by their counts over the same cells.

    The distance is taken at cell edges, so it is at most the exact one, and the test never
    rejects more often than the exact one does.
    """
    n, m = int(reference.sum()), int(current.sum())
    if n == 0 or m == 0:
        return 0.0, 1.0
    gaps = np.abs(np.cumsum(reference) / n - np.cumsum(current) / m)
    distance = float(gaps.max())
    return distance, float(special.kolmogorov(distance * math.sqrt(n * m / (n + m))))


def chi_square(reference: Counts, current: Counts) -> tuple[float, float]:
    """Give Cramer's V and the p-value of homogeneity; rare cells are taken together."""
    n, m = int(reference.sum()), int(current.sum())
    if n == 0 or m == 0:
        return 0.0, 1.0
    table = _merge_rare(np.stack([reference, current]).astype(np.float64), n, m)
    if table.shape[1] < 2:
        return 0.0, 1.0
    total = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    freedom = table.shape[1] - 1
    return math.sqrt(statistic / total), float(special.chdtrc(freedom, statistic))


def _merge_rare(table: npt.NDArray[np.float64], n: int, m: int) -> npt.NDArray[np.float64]:
    """Add up the columns whose smaller expected count is below five, and drop empty ones."""
    pooled = table.sum(axis=0)
    rare = pooled * min(n, m) / (n + m) < MIN_EXPECTED
    merged = np.concatenate([table[:, ~rare], table[:, rare].sum(axis=1, keepdims=True)], axis=1)
    return merged[:, merged.sum(axis=0) > 0]


def compare(bins: Bins, current: Counts) -> Drift:
    """Compare one column's counts of a window (`bins.count` summed) with its reference.

    For a numeric column the values and the share of missing ones are tested apart; the larger
    effect speaks, and the smaller p-value counts double.
    """
    reference = bins.vector()
    rows = int(current.sum())
    if not isinstance(bins, NumericBins):
        effect, p_value = chi_square(reference, current)
        return Drift(bins.name, rows, effect, p_value, "category", _category_text(bins, current))
    effect, p_value = ks(reference[:-1], current[:-1])
    gone, gone_p = _missing(reference, current)
    together = min(1.0, 2.0 * min(p_value, gone_p))
    if gone > effect:
        text = f"missing {_share(reference)} -> {_share(current)}"
        return Drift(bins.name, rows, gone, together, "missing", text)
    shape, text = _numeric_shape(bins, current)
    return Drift(bins.name, rows, effect, together, shape, text)


def _missing(reference: Counts, current: Counts) -> tuple[float, float]:
    table = [np.asarray([c[:-1].sum(), c[-1]], dtype=np.int64) for c in (reference, current)]
    _, p_value = chi_square(*table)
    shares = [c[1] / max(1, c.sum()) for c in table]
    return abs(float(shares[0] - shares[1])), p_value


def _share(counts: Counts) -> str:
    return f"{counts[-1] / max(1, counts.sum()):.1%}"


def _numeric_shape(bins: NumericBins, current: Counts) -> tuple[str, str]:
    """Say whether values moved, spread, or left the range that the reference knows."""
    values = current[:-1]
    n = max(1, int(values.sum()))
    beyond = (values[0] + values[-1]) / n
    ours = quantiles(bins, np.asarray(bins.counts), (0.1, 0.5, 0.9))
    theirs = quantiles(bins, values, (0.1, 0.5, 0.9))
    text = f"median {ours[1]:.4g} -> {theirs[1]:.4g}"
    if beyond > 0.05:
        return "spike", f"{text}, {beyond:.0%} outside the reference's range"
    spread, before = theirs[2] - theirs[0], ours[2] - ours[0]
    moved = abs(theirs[1] - ours[1])
    if (
        before > 0
        and spread > 0
        and abs(math.log(spread / before)) > math.log(1.5) > moved / before
    ):
        return "scale", f"{text}, spread x {spread / before:.2g}"
    return "shift", text


def quantiles(bins: NumericBins, counts: Counts, levels: Sequence[float]) -> list[float]:
    """Estimate quantiles from counts, by interpolation inside a cell."""
    if not bins.edges or counts.sum() == 0:
        return [0.0 for _ in levels]
    edges = np.asarray([bins.edges[0], *bins.edges, bins.edges[-1]])
    right = np.cumsum(counts) / counts.sum()
    at = np.concatenate(([0.0], right))
    return [float(np.interp(level, at, edges)) for level in levels]


def _category_text(bins: Bins, current: Counts) -> str:
    reference = bins.vector()
    before = reference / max(1, reference.sum())
    after = current / max(1, current.sum())
    most = int(np.argmax(np.abs(after - before)))
    names = [*getattr(bins, "values", ()), "other values", "missing"]
    return f"{names[most]}: {before[most]:.1%} -> {after[most]:.1%}"


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Reject so that the chance of any false rejection stays below `alpha`."""
    order = np.argsort(p_values, kind="stable")
    rejected = [False] * len(p_values)
    for position, index in enumerate(order):
        if p_values[index] > alpha / (len(p_values) - position):
            break
        rejected[index] = True
    return rejected


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Give adjusted p-values that control the share of false discoveries: for ranking."""
    order = np.argsort(p_values, kind="stable")[::-1]
    adjusted = [1.0] * len(p_values)
    smallest = 1.0
    for position, index in enumerate(order):
        rank = len(p_values) - position
        smallest = min(smallest, p_values[index] * len(p_values) / rank)
        adjusted[index] = smallest
    return adjusted


def alpha_of(window_us: int, days_between_false_pages: float) -> float:
    """Give the chance of a false page that one window may have."""
    return min(0.5, window_us / DAY_US / max(days_between_false_pages, 1e-9))


def judge(drifts: Sequence[Drift], *, alpha: float, floor: float) -> list[Judged]:
    """Say which subjects drifted: significant over the whole family, and large enough to matter.

    Ranks (1 is the worst) go by adjusted p-value, then by effect.
    """
    rejected = holm([drift.p_value for drift in drifts], alpha)
    adjusted = benjamini_hochberg([drift.p_value for drift in drifts])
    order = sorted(range(len(drifts)), key=lambda i: (adjusted[i], -drifts[i].effect))
    rank = {index: position + 1 for position, index in enumerate(order)}
    return [
        Judged(drift, rejected[i] and drift.effect >= floor, rank[i])
        for i, drift in enumerate(drifts)
    ]
