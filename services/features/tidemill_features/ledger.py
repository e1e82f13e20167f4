"""When a feature log gets a snapshot, and up to where it may be trimmed: pure."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill_tiles.codec import Kind

OUTGROWN = 2
"""A log of more than so many times the state's bytes gets a snapshot."""
RENEWED = 2
"""Snapshots after which nothing of before the first of them is left."""


_MS = 1_000


@dataclass(frozen=True, slots=True)
class Mark:
    """A record of a log: where it is, the broker's stamp, and the bytes before it."""

    offset: int
    at_ms: int
    written: int


@dataclass(slots=True)
class LogPast:
    """What a reader of one partition of a log has seen of its snapshots.

    `complete` is where the newest one that is began. Time is the broker's: its stamps alone.
    """

    written: int = 0
    newest_ms: int = 0
    first: Mark | None = None
    begun: Mark | None = None
    complete: Mark | None = None

    def saw(self, kind: Kind | None, offset: int, at_ms: int, size: int) -> None:
        """Note the next record (None: a fence); an end without its begin counts for nothing."""
        mark = Mark(offset, at_ms, self.written)
        self.newest_ms = at_ms
        self.written += size
        self.first = self.first or mark
        if kind is Kind.SNAPSHOT_BEGIN:
            self.begun = mark
        elif kind is Kind.SNAPSHOT_END and self.begun is not None:
            self.complete, self.begun = self.begun, None


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

    @classmethod
    def resumed(
        cls, floor_bytes: int, every_seconds: float, past: LogPast, now: float
    ) -> LogLedger:
        """Go on where earlier owners were, however short their lives; `past` reaches up to now."""
        since = past.complete or past.first
        if since is None:
            return cls(floor_bytes, every_seconds, now)
        return cls(
            floor_bytes,
            every_seconds,
            since=now - (past.newest_ms - since.at_ms) / _MS,
            written=past.written - since.written,
            complete=past.complete.offset if past.complete is not None else None,
        )

    def renew(self) -> None:
        """Ask for snapshots until the log may be trimmed below what is in it now.

        That is two: it is trimmed to the begin of the last complete one but one.
        """
        self.wanted = RENEWED

    def wrote(self, size: int) -> None:
        """Count bytes of the log, as they are unpacked."""
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
