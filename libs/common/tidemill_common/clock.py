"""Time as an argument: the port, the real clock, and microseconds since the epoch."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """What code may know about the present; nothing reads the time in any other way."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def now_us(self) -> int:
        """Return the wall time in microseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean something."""
        ...


class SystemClock:
    """The clock of the machine."""

    __slots__ = ()

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

    def now_us(self) -> int:
        """Return the wall time in microseconds since the epoch."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


def to_us(at: datetime) -> int:
    """Return `at` as microseconds since the epoch, exactly; a time without a zone is refused."""
    if at.tzinfo is None:
        message = f"a time without a zone means nothing: {at.isoformat()}"
        raise ValueError(message)
    return (at - _EPOCH) // _ONE_MICROSECOND


def from_us(us: int) -> datetime:
    """Return the moment `us` microseconds after the epoch; the inverse of `to_us`."""
    return _EPOCH + timedelta(microseconds=us)
