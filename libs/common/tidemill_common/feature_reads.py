"""What a replica says: values of entities with how much they know, and the state of a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Values of n entities, f features each, and how much they know.

    `values` is NaN unless the status is PRESENT or STALE. `event_time` is NO_TIME where there is
    none. `at_us` is the time of each row's answer. `newest_available_us` is the newest available
    time that any log of the view has applied (NO_TIME before any event), `state_newer` says, row by
    row, that it lies after `at_us`: the answer may then hold what was not known at that time.
    `freshness_us` is how long ago the log that was silent longest was written.
    """

    features: tuple[str, ...]
    version: str
    values: npt.NDArray[np.float64]
    status: npt.NDArray[np.uint8]
    event_time: npt.NDArray[np.int64]
    at_us: npt.NDArray[np.int64]
    newest_available_us: int
    state_newer: npt.NDArray[np.bool_]
    freshness_us: int


@dataclass(frozen=True, slots=True)
class LogState:
    """One partition of one log, for people and metrics; -1 is a span that is not known."""

    view: str
    version: str
    stream: str
    partition: int
    position: int
    ready: bool
    tiles: int
    entities: int
    watermark_us: int
    newest_available_us: int
    since_last_record_us: int
    state_bytes: int
    snapshot_us: int
    snapshot_took_us: int
    snapshot_open_us: int
    snapshot_age_us: int
