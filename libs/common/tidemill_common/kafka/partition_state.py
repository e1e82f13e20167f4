"""What a consumer knows of one partition it was assigned; pure, so that the limits are testable."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill_common.kafka.broker import Record

IN_A_ROW: Final = 10
WINDOW: Final = 1000
IN_WINDOW: Final = 10


@dataclass(slots=True)
class PartitionState:
    """Made anew for each assignment, so that what an earlier one did cannot count."""

    parts: deque[Sequence[Record]] = field(default_factory=deque)
    attempt: int = 0
    due: float = 0.0
    next_offset: int | None = None
    kept: str = ""
    uncommitted: int = 0
    row: int = 0
    outcomes: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def note(self, records: int = 1, *, bad: bool) -> None:
        """Remember how records ended."""
        self.row = self.row + records if bad else 0
        self.outcomes.extend(repeat(bad, min(records, WINDOW)))

    def is_too_bad(self) -> bool:
        """Say whether so many records were bad that going on would only empty the topic."""
        return self.row >= IN_A_ROW or (
            len(self.outcomes) == WINDOW and sum(self.outcomes) > IN_WINDOW
        )
