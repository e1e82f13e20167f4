"""Counts of one version's predictions and inputs over one window, all subjects in one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tidemill_common.reference import Bins, NumericBins, Reference
from tidemill_monitoring.drift import Drift, compare

Counts = npt.NDArray[np.int64]
COVERED = 0.75


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each subject's cells lie: the predictions first, then the inputs in their order."""

    reference: Reference
    subjects: tuple[Bins, ...]
    starts: tuple[int, ...]

    @property
    def size(self) -> int:
        """Cells of all subjects."""
        return self.starts[-1]

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the numeric inputs: the columns of a logged vector, in order."""
        return tuple(b.name for b in self.reference.inputs if isinstance(b, NumericBins))

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the categorical inputs."""
        return tuple(b.name for b in self.reference.inputs if not isinstance(b, NumericBins))

    def vectors(self, sampled: pl.DataFrame) -> tuple[pl.DataFrame, npt.NDArray[np.float64]]:
        """Give the sampled rows whose vector has this version's length, and their vectors."""
        width = len(self.numeric)
        fitting = sampled.filter(pl.col("vector").list.len() == width)
        if not fitting.height or not width:
            return fitting, np.empty((fitting.height, width))
        values = fitting["vector"].explode().fill_null(np.nan).to_numpy()
        return fitting, values.astype(np.float64).reshape(fitting.height, width)

    def count(
        self,
        scores: npt.NDArray[np.float64],
        vectors: npt.NDArray[np.float64],
        categories: Mapping[str, Sequence[str | None]],
    ) -> Counts:
        """Count a batch; counts of batches add up to those of the window."""
        counts = np.zeros(self.size, dtype=np.int64)
        places = {name: place for place, name in enumerate(self.numeric)}
        for index, bins in enumerate(self.subjects):
            cells = slice(self.starts[index], self.starts[index + 1])
            if index == 0 and isinstance(bins, NumericBins):
                counts[cells] = bins.count(scores)
            elif isinstance(bins, NumericBins):
                counts[cells] = bins.count(vectors[:, places[bins.name]])
            elif bins.name in categories:
                counts[cells] = bins.count(categories[bins.name])
        return counts

    def drifts(self, counts: Counts, min_rows: int) -> list[Drift]:
        """Compare every subject that has enough rows with its reference."""
        parts = [
            (bins, counts[self.starts[i] : self.starts[i + 1]])
            for i, bins in enumerate(self.subjects)
        ]
        return [compare(bins, part) for bins, part in parts if part.sum() >= min_rows]


def layout(reference: Reference) -> Layout:
    """Lay the subjects of a reference out one after the other (one cell more each: missing)."""
    subjects = (reference.prediction, *reference.inputs)
    sizes = [len(bins.vector()) for bins in subjects]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    return Layout(reference, subjects, tuple(int(start) for start in starts))


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """What was counted of one version in one window so far, and the times of its first and last."""

    counts: Counts
    predictions: int = 0
    vectors: int = 0
    first_us: int = 0
    last_us: int = 0

    def plus(self, counts: Counts, times_us: npt.NDArray[np.int64], vectors: int) -> WindowCounts:
        """Add a batch of predictions with their times."""
        first, last = int(times_us.min()), int(times_us.max())
        return WindowCounts(
            self.counts + counts,
            self.predictions + times_us.size,
            self.vectors + vectors,
            min(first, self.first_us) if self.predictions else first,
            max(last, self.last_us),
        )

    def covers(self, all_versions: Sequence[WindowCounts]) -> bool:
        """Say whether the version answered through most of the window: days differ, hours too.

        `all_versions` are those of the same window; together they say when there was traffic.
        """
        first = min(window.first_us for window in all_versions)
        last = max(window.last_us for window in all_versions)
        return self.last_us - self.first_us >= COVERED * (last - first)
