"""What became of every attempt to publish an event, kept outside of the system under test."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """What a publisher was told. Unknown may take effect once or not at all, never twice."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Ledger:
    """Attempts by event id. An id is ok if any attempt was, else unknown if any was, else fail."""

    _told: dict[str, set[Outcome]] = field(default_factory=lambda: defaultdict(set))
    attempts: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))

    def note(self, event_id: str, outcome: Outcome) -> None:
        """Add one attempt."""
        self._told[event_id].add(outcome)
        self.attempts[outcome] += 1

    def ids(self, outcome: Outcome) -> set[str]:
        """Return the events of which, all attempts taken together, this is known."""
        return {one for one, told in self._told.items() if _verdict(told) is outcome}


def _verdict(told: set[Outcome]) -> Outcome:
    if Outcome.OK in told:
        return Outcome.OK
    return Outcome.UNKNOWN if Outcome.UNKNOWN in told else Outcome.FAIL
