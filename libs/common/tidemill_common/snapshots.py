"""When the snapshots of a feature log were written, as a reader of the log sees it: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tidemill_tiles.codec import Kind
from tidemill_tiles.fieldtypes import NO_TIME

NONE: Final = -1


@dataclass(slots=True)
class Snapshots:
    """The newest complete snapshot and the one under way, by the broker's stamps."""

    first_us: int = NO_TIME
    began_us: int = NO_TIME
    ended_us: int = NO_TIME
    took_us: int = NONE

    def saw(self, kind: Kind, at_us: int) -> None:
        """Note a record of the log; an end without its begin counts for nothing."""
        if self.first_us == NO_TIME:
            self.first_us = at_us
        if kind is Kind.SNAPSHOT_BEGIN:
            self.began_us = at_us
        elif kind is Kind.SNAPSHOT_END and self.began_us != NO_TIME:
            self.ended_us, self.took_us = at_us, at_us - self.began_us
            self.began_us = NO_TIME

    def open_us(self, now_us: int) -> int:
        """Return for how long a snapshot has been under way, or NONE."""
        return NONE if self.began_us == NO_TIME else max(0, now_us - self.began_us)

    def age_us(self, now_us: int) -> int:
        """Return the age of the newest complete snapshot, else that of the log; NONE if empty."""
        since = self.first_us if self.ended_us == NO_TIME else self.ended_us
        return NONE if since == NO_TIME else max(0, now_us - since)
