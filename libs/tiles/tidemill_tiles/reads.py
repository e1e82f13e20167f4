"""Feature values at a time: tables are merged as integers, then read as floats."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill_tiles.definitions import MAX_TILES_PER_WINDOW
from tidemill_tiles.kernels import merge
from tidemill_tiles.kernels import values as finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tidemill_tiles.plan import Plan
    from tidemill_tiles.table import TileTable


class Status(IntEnum):
    """What a value is worth; STALE is set by who knows how old a log is."""

    PRESENT = 0
    NULL = 1
    STALE = 2
    EXPIRED = 3
    NOT_FOUND = 4


@dataclass(slots=True, eq=False)
class Reading:
    """Values and statuses [n, f] and the newest window time [n] among the tiles read."""

    values: npt.NDArray[np.float64]
    status: npt.NDArray[np.uint8]
    event_time: npt.NDArray[np.int64]


def plan_arrays(plan: Plan) -> tuple[npt.NDArray[np.int64], ...]:
    """Return a plan's arrays in the order in which the merge kernels take them."""
    return plan.levels, plan.groups, plan.operations, plan.accumulator


def intermediate(plan: Plan, entities: int) -> tuple[npt.NDArray[Any], ...]:
    """Return room for the merged integers of that many entities."""
    return (
        np.empty((entities, len(plan.accumulator)), dtype=np.int64),
        np.empty((entities, plan.set_room), dtype=np.uint64),
        np.empty((entities, len(plan.groups)), dtype=np.uint8),
        np.empty(entities, dtype=np.int64),
        np.empty(MAX_TILES_PER_WINDOW, dtype=np.int64),
    )


def ttl_of(plan: Plan) -> int:
    """Return the time to live as kernels take it: negative is none."""
    return -1 if plan.definition.ttl_us is None else plan.definition.ttl_us


def read(
    plan: Plan,
    tables: Sequence[TileTable],
    entities: npt.NDArray[np.uint64],
    at_us: int | npt.NDArray[np.int64],
) -> Reading:
    """Read entities at a time, or each at its own; the order of tables never matters."""
    count = len(entities)
    entities = np.ascontiguousarray(entities, dtype=np.uint64)
    if isinstance(at_us, np.ndarray):
        times = np.ascontiguousarray(at_us, dtype=np.int64)
    else:
        times = np.full(count, at_us, dtype=np.int64)
    arrays, found = plan_arrays(plan), intermediate(plan, count)
    merge.begin_read(arrays, found, count)
    for table in tables:
        merge.read_table(
            table.store.arrays,
            arrays,
            found,
            entities,
            times,
            table.watermark_us,
            plan.definition.lateness_us,
        )
    values = np.empty((count, len(plan.outputs)), dtype=np.float64)
    status = np.empty((count, len(plan.outputs)), dtype=np.uint8)
    finish.finish_read(plan.outputs, plan.numbers, found, times, ttl_of(plan), values, status)
    return Reading(values, status, found[3])
