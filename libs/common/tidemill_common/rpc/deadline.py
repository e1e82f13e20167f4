"""How much time the call being served has left, for whoever works on it further down."""

from __future__ import annotations

import time
from contextvars import ContextVar

CAP_SECONDS = 30.0
_ends: ContextVar[float] = ContextVar("rpc_deadline")


def begin(seconds: float) -> None:
    """Give the current call so much time from now."""
    _ends.set(time.monotonic() + seconds)


def remaining() -> float:
    """Return the seconds that are left, never below 0; the cap outside of every call."""
    ends = _ends.get(None)
    return CAP_SECONDS if ends is None else max(0.0, ends - time.monotonic())


def is_serving() -> bool:
    """Say whether a call with a deadline is being served here."""
    return _ends.get(None) is not None
