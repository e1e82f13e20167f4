"""What a replay keeps of the windows of its entities, so that it need not merge them at each row.

Counts, sums and extremes move along with their windows; blocks of the pool (sketches, distinct and
last values) are merged at every read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tidemill_tiles.kernels import layout
from tidemill_tiles.primitives import RAGGED

if TYPE_CHECKING:
    import numpy.typing as npt

    from tidemill_tiles.plan import Plan

    Part = tuple[npt.NDArray[np.int64], ...]


class Windows:
    """The merged integers of entities, a row for each slot."""

    def __init__(self, plan: Plan) -> None:
        """Keep nothing yet."""
        ragged = np.isin(plan.operations[:, layout.OP_PRIMITIVE], sorted(RAGGED))
        self._slides, self._merged = _part(plan, ~ragged), _part(plan, ragged)
        words = layout.KEPT_GROUPS + layout.KEPT_WORDS * len(plan.groups)
        words += len(plan.accumulator) + int(np.count_nonzero(~ragged))
        self._kept = np.zeros((0, words), dtype=np.int64)

    def arrays(self, slots: int) -> tuple[Part, Part, npt.NDArray[np.int64]]:
        """Return what kernels take, with a row for each of so many slots."""
        if len(self._kept) < slots:
            grown = np.zeros((slots, self._kept.shape[1]), dtype=np.int64)
            grown[: len(self._kept)] = self._kept
            self._kept = grown
        return self._slides, self._merged, self._kept


def _part(plan: Plan, some: npt.NDArray[np.bool_]) -> Part:
    """Return the arrays of a merge of some operations; levels without one have no group."""
    before = np.concatenate(([0], np.cumsum(some)))
    levels, groups = plan.levels.copy(), plan.groups.copy()
    spans = [layout.GROUP_START, layout.GROUP_END]
    groups[:, spans] = before[groups[:, spans]]
    for level in levels:
        mine = groups[level[layout.LEVEL_GROUPS] : level[layout.LEVEL_GROUPS_END]]
        if not np.any(mine[:, layout.GROUP_START] < mine[:, layout.GROUP_END]):
            level[layout.LEVEL_GROUPS_END] = level[layout.LEVEL_GROUPS]
    return levels, groups, np.ascontiguousarray(plan.operations[some]), plan.accumulator
