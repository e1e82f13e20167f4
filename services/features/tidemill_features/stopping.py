"""When a partition stops: nothing but records that cannot be decoded, so a person must look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tidemill_common.kafka import Record
    from tidemill_features.decoding import Dead

IN_A_ROW: Final = 100
"""So many records that were dead as a whole, and none between them that was not."""


@dataclass(slots=True)
class BadRun:
    """Counts across flushes; made anew when a partition is opened.

    What lies below `since`, the topic's end at that moment, does not count: a restart says that
    somebody has looked, so it goes on behind all that is there by then.
    """

    since: int = 0
    count: int = 0

    @property
    def is_too_long(self) -> bool:
        """Say whether going on would only empty the topic."""
        return self.count >= IN_A_ROW

    def note(self, records: Sequence[Record], dead: Collection[Dead]) -> None:
        """Take note of a flush: what ends in good records is over."""
        bad = {one.record.offset for one in dead if one.row is None}
        for record in records:
            counts = record.offset in bad and record.offset >= self.since
            self.count = self.count + 1 if counts else 0
