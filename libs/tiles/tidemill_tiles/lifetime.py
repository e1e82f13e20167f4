"""Views over the whole past: an entity has one tile, so there is nothing to merge or to forget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tidemill_tiles.kernels import layout
from tidemill_tiles.primitives import RAGGED

if TYPE_CHECKING:
    import numpy.typing as npt

    from tidemill_tiles.plan import Plan


def outputs_of_tile(plan: Plan) -> npt.NDArray[np.int64] | None:
    """Return the outputs as a tile has them, with its columns for places of what is merged.

    None if a read merges tiles, or blocks of the pool.
    """
    operations = plan.operations
    if plan.levels[:, layout.LEVEL_HOP].any():
        return None
    if np.isin(operations[:, layout.OP_PRIMITIVE], sorted(RAGGED)).any():
        return None
    columns = np.zeros(len(plan.accumulator) + 1, dtype=np.int64)
    columns[-1] = -1  # what is not there stays so
    columns[operations[:, layout.OP_PLACE]] = operations[:, layout.OP_COLUMN]
    found = plan.outputs.copy()
    own = found[:, layout.OUT_GROUP] >= 0  # ratios and differences name features
    for word in (layout.OUT_N, layout.OUT_A, layout.OUT_B):
        found[own, word] = columns[found[own, word]]
    return found
