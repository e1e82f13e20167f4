"""Which rows repeat an event: a pure function of a partition's rows, live and rebuilt alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.kernels import columns

if TYPE_CHECKING:
    import numpy.typing as npt

DEFAULT_CAPACITY: Final = 5_000_000
FIRST_PLACES: Final = 1_024


class IdWindow:
    """Ids of the last rows of a raw partition, with their append times.

    A row is a duplicate if an equal id came before it within the window of append time and within
    the last `capacity` rows, whether that earlier row was applied or itself a duplicate. Append
    time is the partition's running maximum, so a broker's clock that steps back changes nothing.
    """

    def __init__(self, window_us: int, capacity: int = DEFAULT_CAPACITY) -> None:
        """Begin empty; to rebuild, check the raw rows of the window and ignore the answer."""
        self.window_us = window_us
        self.capacity = capacity
        self._ids, self._rows, self._times = _empty(FIRST_PLACES)
        self._counters = np.array([0, NO_TIME, 0], dtype=np.int64)

    @property
    def rows(self) -> int:
        """Return how many ids are held."""
        return int(self._counters[2])

    def check_and_add(
        self, ids: npt.NDArray[np.uint64], append_us: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Return True for duplicates, also inside the batch, and remember every row."""
        duplicate = np.empty(len(ids), dtype=np.bool_)
        self._make_room(len(ids))
        columns.check_ids(
            self._ids,
            self._rows,
            self._times,
            self._counters,
            np.ascontiguousarray(ids, dtype=np.uint64),
            np.ascontiguousarray(append_us, dtype=np.int64),
            self.window_us,
            self.capacity,
            duplicate,
        )
        return duplicate

    def _make_room(self, more: int) -> None:
        """Forget ids that can no longer matter; grow only if that does not free enough."""
        places = len(self._ids)
        if 3 * (self.rows + more) <= 2 * places:
            return
        held = int(
            columns.count_ids(
                self._rows, self._times, self._counters, self.window_us, self.capacity
            )
        )
        while 2 * (held + more) > places:
            places *= 2
        fresh = _empty(places)
        columns.keep_ids(
            self._ids,
            self._rows,
            self._times,
            self._counters,
            *fresh,
            self.window_us,
            self.capacity,
        )
        self._ids, self._rows, self._times = fresh


def _empty(
    places: int,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return (
        np.zeros(places, dtype=np.uint64),
        np.full(places, -1, dtype=np.int64),
        np.zeros(places, dtype=np.int64),
    )
