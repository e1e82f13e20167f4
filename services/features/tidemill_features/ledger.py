"""When a feature log gets a snapshot, and up to where it may be trimmed: pure."""

from __future__ import annotations

from dataclasses import dataclass

OUTGROWN = 2
"""A log of more than so many times the state's bytes gets a snapshot."""
RENEWED = 2
"""Snapshots after which nothing of before the first of them is left."""


@dataclass(slots=True)
class LogLedger:
    """What was written to one partition of one log since its last snapshot began.

    `floor_bytes` keeps a tiny state from being written again and again.
    """

    floor_bytes: int
    every_seconds: float
    since: float
    written: int = 0
    begin: int | None = None
    complete: int | None = None
    wanted: int = 0

    def renew(self) -> None:
        """Ask for snapshots until the log may be trimmed below what is in it now.

        That is two: it is trimmed to the begin of the last complete one but one.
        """
        self.wanted = RENEWED

    def wrote(self, size: int) -> None:
        """Count bytes of the log."""
        self.written += size

    def is_due(self, state_bytes: int, now: float) -> bool:
        """Say whether a snapshot should begin; not while one is being written."""
        if self.begin is not None:
            return False
        if self.wanted:
            return True
        outgrown = self.written > max(OUTGROWN * state_bytes, self.floor_bytes)
        return outgrown or (self.written > 0 and now - self.since >= self.every_seconds)

    def began(self, offset: int, now: float) -> None:
        """Note where a snapshot begins in the log."""
        self.begin = offset
        self.wanted = max(0, self.wanted - 1)
        self.written = 0
        self.since = now

    def ended(self) -> int | None:
        """Note that it is complete; return the offset below which the log may be trimmed.

        That is the begin of the complete snapshot before it, so that a reader of that one is not
        cut off; None while there is none.
        """
        before, self.complete, self.begin = self.complete, self.begin, None
        return before
