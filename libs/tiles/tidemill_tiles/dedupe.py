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
COUNTED_ROWS: Final = 2**32
"""Rows that 32 bits can count before they are counted from a later one."""
_ROWS, _NEWEST, _HELD, _BASE, _FIRST_MARK, _END_MARK = range(6)


class IdWindow:
    """Ids of the last rows of a raw partition, with their append times.

    A row is a duplicate if an equal id came before it within the window of append time and within
    the last `capacity` rows, whether that earlier row was applied or itself a duplicate. Append
    time is the partition's running maximum, so a broker's clock that steps back changes nothing:
    what is within the window are all rows from one on, and so an id needs its last row only. A
    place of the table is 12 bytes, and 1.5 to 4 are there for an id; each different append time
    within the window takes 16 more.
    """

    def __init__(self, window_us: int, capacity: int = DEFAULT_CAPACITY) -> None:
        """Begin empty; to rebuild, check the raw rows of the window and ignore the answer."""
        self.window_us = window_us
        self.capacity = capacity
        self._ids, self._rows = _empty(FIRST_PLACES)
        self._mark_rows = np.empty(FIRST_PLACES, dtype=np.int64)
        self._mark_times = np.empty(FIRST_PLACES, dtype=np.int64)
        self._counters = np.array([0, NO_TIME, 0, -1, 0, 0], dtype=np.int64)

    @property
    def rows(self) -> int:
        """Return how many ids are held."""
        return int(self._counters[_HELD])

    def check_and_add(
        self, ids: npt.NDArray[np.uint64], append_us: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Return True for duplicates, also inside the batch, and remember every row."""
        duplicate = np.empty(len(ids), dtype=np.bool_)
        append = np.ascontiguousarray(append_us, dtype=np.int64)
        self._make_room(len(ids))
        self._make_room_for_marks(append)
        columns.check_ids(
            self._ids,
            self._rows,
            self._mark_rows,
            self._mark_times,
            self._counters,
            np.ascontiguousarray(ids, dtype=np.uint64),
            append,
            self.window_us,
            self.capacity,
            duplicate,
        )
        return duplicate

    def _make_room(self, more: int) -> None:
        """Forget ids that can no longer matter; grow only if that does not free enough."""
        places = len(self._ids)
        number, base = int(self._counters[_ROWS]), int(self._counters[_BASE])
        if 3 * (self.rows + more) <= 2 * places and number + more - base < COUNTED_ROWS:
            return
        oldest = self._oldest(number)
        held = int(columns.count_ids(self._rows, base, oldest))
        while 2 * (held + more) > places:
            places *= 2
        fresh, new_base = _empty(places), number - self.capacity - 1
        self._counters[_HELD] = columns.keep_ids(
            self._ids, self._rows, base, oldest, *fresh, new_base
        )
        self._counters[_BASE] = new_base
        self._ids, self._rows = fresh

    def _oldest(self, number: int) -> int:
        """Return the first row that can still make row `number` a duplicate."""
        first, end = int(self._counters[_FIRST_MARK]), int(self._counters[_END_MARK])
        begin = int(self._mark_rows[first]) if first < end else 0
        return max(begin, number - self.capacity)

    def _make_room_for_marks(self, append: npt.NDArray[np.int64]) -> None:
        """Forget append times that have left the window, and let those of a batch fit."""
        first, end = int(self._counters[_FIRST_MARK]), int(self._counters[_END_MARK])
        more = 1 + int(np.count_nonzero(append[1:] != append[:-1]))
        size, held = len(self._mark_rows), end - first
        if end + more <= size:
            return
        while 2 * (held + more) > size:
            size *= 2
        rows, times = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
        rows[:held], times[:held] = self._mark_rows[first:end], self._mark_times[first:end]
        self._mark_rows, self._mark_times = rows, times
        self._counters[[_FIRST_MARK, _END_MARK]] = 0, held


def _empty(places: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    return np.empty(places, dtype=np.uint64), np.zeros(places, dtype=np.uint32)
