"""What becomes of each row of a raw partition: applied, duplicate or late; pure in the log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.kernels import columns

if TYPE_CHECKING:
    import numpy.typing as npt

SKEW_US: Final = 300_000_000
"""How far an event's time may move the watermark ahead of the broker's clock."""


class Verdict(IntEnum):
    """The fate of a row."""

    APPLIED = 0
    DUPLICATE = 1
    LATE = 2
    ERASED = 3
    """Given by the caller: the row's entity was erased."""


def late_rows(
    watermark_us: int,
    time_us: npt.NDArray[np.int64],
    append_us: npt.NDArray[np.int64],
    lateness_us: int,
) -> tuple[npt.NDArray[np.bool_], int]:
    """Return which rows lie before (watermark of the rows before them) - lateness, and the next.

    The watermark is the running maximum of min(window time, append time + 5 min) over all rows.
    """
    late = np.empty(len(time_us), dtype=np.bool_)
    times = np.ascontiguousarray(time_us, dtype=np.int64)
    append = np.ascontiguousarray(append_us, dtype=np.int64)
    after = columns.late_rows(watermark_us, times, append, lateness_us, SKEW_US, late)
    return late, int(after)


@dataclass(slots=True)
class PartitionVerdict:
    """Decides the rows of one input partition in offset order."""

    ids: IdWindow
    lateness_us: int
    watermark_us: int = NO_TIME

    def decide(
        self,
        ids: npt.NDArray[np.uint64],
        time_us: npt.NDArray[np.int64],
        append_us: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint8]:
        """Return a Verdict a row; late wins over duplicate, and every id is remembered."""
        duplicate = self.ids.check_and_add(ids, append_us)
        late, self.watermark_us = late_rows(self.watermark_us, time_us, append_us, self.lateness_us)
        verdict = np.where(duplicate, np.uint8(Verdict.DUPLICATE), np.uint8(Verdict.APPLIED))
        verdict[late] = Verdict.LATE
        return verdict
