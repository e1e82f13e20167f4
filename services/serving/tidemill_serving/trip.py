"""Decide when one replica alone must stop routing to a challenger: pure, no clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

IN_A_ROW = 5
WINDOW = 100
LEAST = 20
RATE = 0.2


@dataclass(slots=True)
class TripWire:
    """The recent answers of one challenger under one table version.

    Trips after 5 failures in a row, or when at least 20 % of at least 20 recent answers failed.
    """

    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    failures: int = 0
    in_a_row: int = 0

    def record(self, *, failed: bool) -> str:
        """Take one answer in; the reason to trip, or an empty text."""
        if len(self.recent) == WINDOW:
            self.failures -= self.recent[0]
        self.recent.append(failed)
        self.failures += failed
        self.in_a_row = self.in_a_row + 1 if failed else 0
        if self.in_a_row >= IN_A_ROW:
            return f"{self.in_a_row} failures in a row"
        if len(self.recent) >= LEAST and self.failures >= RATE * len(self.recent):
            return f"{self.failures} of {len(self.recent)} answers failed"
        return ""
