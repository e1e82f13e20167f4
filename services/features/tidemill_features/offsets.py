"""When the group's offset goes along with a flush: pure.

The logs' positions say what is decided; opening takes the greatest of them and of the offset. The
offset is for what has no position (late and dead rows, a stream without views, a generation whose
views are all new) and for people who look at the group.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from tidemill_features.flushing import Counts

if TYPE_CHECKING:
    from tidemill_features.flushing import Flush

OFFSET_SECONDS: Final = 5.0


class OffsetPace:
    """When the group's offset goes along with a flush."""

    def __init__(self) -> None:
        """Begin with an offset that nobody has committed yet."""
        self._position = -1
        self._at = -math.inf

    def is_behind(self, position: int) -> bool:
        """Say whether the group's offset is not this position."""
        return self._position != position

    def is_due(self, flush: Flush, now: float) -> bool:
        """Say whether this flush carries the offset.

        Late and dead rows always do: the view logs that know their position may go with their
        generation, and rows must not leave twice. So does a flush of a stream without views, and
        one after which nothing waits for long.
        """
        if not self.is_behind(flush.position):
            return False
        needed = not flush.log or flush.late or flush.dead or flush.counts == Counts()
        return bool(needed) or now - self._at >= OFFSET_SECONDS

    def committed(self, position: int, now: float) -> None:
        """Note that the group's offset is `position` since `now`."""
        self._position, self._at = position, now

    def hurry(self) -> None:
        """Let the next flush carry the offset."""
        self._at = -math.inf
