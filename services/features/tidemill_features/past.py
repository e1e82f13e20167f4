"""Archived rows of one partition, to be applied up to any position: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidemill_features.spine import micros
from tidemill_tiles.columns import EventBatch, event_batch, window_time
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.keys import event_id_hashes
from tidemill_tiles.verdict import SKEW_US, Verdict

if TYPE_CHECKING:
    import numpy.typing as npt

    from tidemill_common.feature_views import ViewSpec
    from tidemill_tiles.table import TileTable


@dataclass(frozen=True, slots=True)
class PartitionPast:
    """Every row of a partition in log order, as one view sees it."""

    batch: EventBatch
    applied: npt.NDArray[np.bool_]
    offset: npt.NDArray[np.int64]
    watermark_us: npt.NDArray[np.int64]

    def apply(self, table: TileTable, begin: int, end: int) -> None:
        """Apply the rows with begin <= offset < end, and evict as the owner did at `end`."""
        first, last = (int(one) for one in np.searchsorted(self.offset, [begin, end]))
        if first < last:
            table.apply(self.batch.rows(first, last), self.applied[first:last])
        if last:
            table.evict(int(self.watermark_us[last - 1]))


def partition_pasts(view: ViewSpec, stream: str, table: pa.Table) -> list[PartitionPast]:
    """Split a stream's archived rows (all verdicts, in log order) by their partitions."""
    partition = np.asarray(table["_partition"])
    return [
        _past(view, stream, table.filter(pa.array(partition == number)).combine_chunks())
        for number in range(view.partitions_of(stream))
    ]


def _past(view: ViewSpec, stream: str, table: pa.Table) -> PartitionPast:
    time = window_time(micros(table, "_time"), micros(table, "_available"))
    ids = event_id_hashes(table["_source"], table["_id"], table["_replay_of"])
    clamped = np.minimum(time, micros(table, "_append") + SKEW_US)
    return PartitionPast(
        event_batch(view.plan, table, time_us=time, tie=ids, stream=stream),
        np.asarray(table["_verdict"]) == Verdict.APPLIED,
        np.asarray(table["_offset"], dtype=np.int64),
        np.maximum.accumulate(clamped) if len(clamped) else np.full(0, NO_TIME),
    )
