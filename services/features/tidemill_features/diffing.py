"""How two versions of a view differ on the same entities at the same time: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tidemill_common.feature_reads import ReadResult
    from tidemill_tiles.table import EntityKeys

    Floats = npt.NDArray[np.float64]
    Truths = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sample:
    """Canonical keys of some entities, and how many there are in all."""

    keys: tuple[bytes, ...]
    total: int


def smallest(tables: Sequence[tuple[npt.NDArray[np.uint64], EntityKeys]], count: int) -> Sample:
    """Choose the entities with the smallest hashes among all tables, each of them once.

    The same tables give the same entities whatever their order, and more of them when asked.
    """
    hashes = np.concatenate([np.zeros(0, np.uint64), *(hashes[:, 0] for hashes, _ in tables)])
    starts = np.cumsum([0, *(len(hashes) for hashes, _ in tables)])
    unique, first = np.unique(hashes, return_index=True)
    keys = []
    for place in first[:count].tolist():
        table = int(np.searchsorted(starts, place, side="right")) - 1
        keys.append(tables[table][1].key(place - int(starts[table])))
    return Sample(tuple(keys), len(unique))


@dataclass(frozen=True, slots=True, eq=False)
class EntityDifference:
    """One entity that is not the same: its values by feature, where they differ."""

    score: float
    key: bytes
    values: tuple[tuple[str, float, float], ...]


class Differences:
    """Counts and sums over all entities that were compared, feature by feature."""

    def __init__(self, served: Sequence[str], coming: Sequence[str], worst: int) -> None:
        """Compare the features that both have, by name; remember the `worst` entities."""
        self.features = [name for name in coming if name in served]
        self.added = [name for name in coming if name not in served]
        self.removed = [name for name in served if name not in coming]
        self._served = [served.index(name) for name in self.features]
        self._coming = [coming.index(name) for name in self.features]
        self._limit = worst
        size = len(self.features)
        self.entities = self.different = 0
        self.equal, self.changed, self.appeared, self.gone = np.zeros((4, size), dtype=np.int64)
        self._both = np.zeros(size, dtype=np.int64)
        self._sums = np.zeros((2, size))
        self._most = np.zeros((2, size))
        self.worst: list[EntityDifference] = []

    def add(self, keys: Sequence[bytes], served: ReadResult, coming: ReadResult) -> None:
        """Add readings of the same entities at the same time."""
        old, new = served.values[:, self._served], coming.values[:, self._coming]
        had, has = ~np.isnan(old), ~np.isnan(new)
        changed = had & has & (old != new)
        differs = changed | (had != has)
        spans = _spans(old, new, changed)
        self.entities += len(keys)
        self.different += int(differs.any(axis=1).sum())
        self.equal += (~differs).sum(axis=0)
        self.changed += changed.sum(axis=0)
        self.appeared += (has & ~had).sum(axis=0)
        self.gone += (had & ~has).sum(axis=0)
        self._both += (had & has).sum(axis=0)
        if len(keys):
            self._sums += spans.sum(axis=1)
            self._most = np.maximum(self._most, spans.max(axis=1))
        self._remember(keys, old, new, differs, np.where(changed, spans[1], 1.0))

    @property
    def means(self) -> Floats:
        """Return mean and mean relative difference [2, f]; NaN where nothing had both values."""
        return np.where(self._both > 0, self._sums / np.maximum(self._both, 1), np.nan)

    @property
    def most(self) -> Floats:
        """Return the largest of both [2, f]; NaN where nothing had both values."""
        return np.where(self._both > 0, self._most, np.nan)

    def _remember(
        self, keys: Sequence[bytes], old: Floats, new: Floats, differs: Truths, relative: Floats
    ) -> None:
        """Keep the entities that differ most; of equals, those with the smaller keys."""
        score = np.where(differs, relative, -1.0).max(axis=1, initial=-1.0)
        for row in np.argsort(-score, kind="stable")[: self._limit].tolist():
            if score[row] < 0:
                break
            values = tuple(
                (self.features[place], float(old[row, place]), float(new[row, place]))
                for place in np.flatnonzero(differs[row]).tolist()
            )
            self.worst.append(EntityDifference(float(score[row]), keys[row], values))
        self.worst = sorted(self.worst, key=lambda one: (-one.score, one.key))[: self._limit]


def _spans(old: Floats, new: Floats, changed: Truths) -> Floats:
    """Return absolute and relative differences [2, n, f], 0 where nothing changed.

    A relative one is by the larger magnitude; to or from an infinity it is 1.
    """
    spans = np.zeros((2, *old.shape))
    before, after = old[changed], new[changed]
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(after - before)
        relative = apart / np.maximum(np.abs(before), np.abs(after))
    spans[0][changed] = apart
    spans[1][changed] = np.where(np.isfinite(apart), relative, 1.0)
    return spans
