"""A clock that moves only when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tidemill_common.clock import to_us

START = datetime(2026, 1, 1, tzinfo=UTC)


class FrozenClock:
    """Keeps the promises of `Clock`; wall and monotonic time move together, by `advance`."""

    def __init__(self, at: datetime = START) -> None:
        """Stand still at `at`."""
        self._at = at
        self._passed = 0.0

    def now(self) -> datetime:
        """Return the wall time."""
        return self._at

    def now_us(self) -> int:
        """Return the wall time in microseconds since the epoch."""
        return to_us(self._at)

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._passed

    def advance(self, seconds: float) -> None:
        """Move on; a clock does not go back."""
        if seconds < 0:
            message = f"a clock does not go back: {seconds}"
            raise ValueError(message)
        self._at += timedelta(seconds=seconds)
        self._passed += seconds
