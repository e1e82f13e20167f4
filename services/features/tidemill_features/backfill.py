"""A view's past from the archive, for the part of its stream that the raw topic no longer has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from tidemill_common.erasures import NOTHING_ERASED, Erased
from tidemill_features import archive
from tidemill_features.past import PartitionPast, partition_pasts
from tidemill_features.spine import micros

if TYPE_CHECKING:
    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.definitions import StreamWork
    from tidemill_tiles.owner import Owner

CHUNK_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Archived:
    """What the archive has of one partition below `position`, as one view sees it."""

    past: PartitionPast
    newest_us: np.ndarray[tuple[int], np.dtype[np.int64]]
    position: int

    def replay(self, owner: Owner, target: int, *, rows: int = CHUNK_ROWS) -> Iterator[list[bytes]]:
        """Apply it in pieces of about so many rows; give the log records of each.

        What lies at `target` or behind it is left to whoever reads the topic from there.
        """
        offset = self.past.offset
        first, end = (int(one) for one in np.searchsorted(offset, [max(owner.position, 0), target]))
        while first < end:
            last = self._end(first, end, rows)
            owner.apply(self.past.batch.rows(first, last), self.past.applied[first:last])
            yield self._flush(owner, last, int(offset[last - 1]) + 1)
            first = last
        if end:
            yield self._flush(owner, end, min(self.position, target))

    def _end(self, first: int, end: int, rows: int) -> int:
        """Return the end of a piece, where a record ends."""
        offset = self.past.offset
        if first + rows >= end:
            return end
        return int(np.searchsorted(offset, offset[first + rows - 1], side="right"))

    def _flush(self, owner: Owner, last: int, position: int) -> list[bytes]:
        return owner.flush(
            position=position,
            watermark_us=int(self.past.watermark_us[last - 1]),
            newest_available_us=int(self.newest_us[last - 1]),
        )


async def archived(
    root: str, work: StreamWork, view: ViewSpec, partition: int, erased: Erased = NOTHING_ERASED
) -> Archived | None:
    """Read what the archive has of a partition; None if there is no archive of the stream.

    Erased entities are left out, also where they are not yet gone from it.
    """
    return await asyncio.to_thread(_read, root, work, view, partition, erased)


def _read(
    root: str, work: StreamWork, view: ViewSpec, partition: int, erased: Erased
) -> Archived | None:
    url = f"{root.rstrip('/')}/{work.name}"
    if not DeltaTable.is_deltatable(url):
        return None
    table = DeltaTable(url)
    position = table.transaction_version(str(partition))
    if position is None:
        return None
    rows = archive.read(root, work.name, int(table.version()), {partition: int(position)})
    kept = (np.asarray(rows["_partition"]) == partition) & ~erased.of_stream(work.name).rows(rows)
    mine = rows.filter(pa.array(kept)).combine_chunks()
    past = partition_pasts(view, work.name, mine)[partition]
    available = np.where(past.applied, micros(mine, "_available"), np.iinfo(np.int64).min)
    newest = np.maximum.accumulate(available) if available.size else available
    return Archived(past, newest, int(position))
