"""Decide what a failure means for the record that met it: wait, dead-letter or crash."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tidemill.errors import Rejected, Transient

_FIRST_SECONDS = 0.1
_CAP_SECONDS = 30.0
_MAX_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class Wait:
    """Try the same again after `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Set the record aside: trying again can never help."""

    reason: str
    error: Rejected


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential with full jitter, so that waiters do not come back in step."""

    first: float = _FIRST_SECONDS
    cap: float = _CAP_SECONDS

    def delay(self, attempt: int, chance: float | None = None) -> float:
        """Return the pause after failed attempt number `attempt` (the first is 1).

        `chance` in [0, 1) takes the place of the dice.
        """
        limit = min(self.cap, self.first * 2.0 ** min(max(attempt - 1, 0), _MAX_DOUBLINGS))
        return limit * (random.random() if chance is None else chance)  # noqa: S311 (jitter)


def verdict(error: Exception, attempt: int, backoff: Backoff) -> Wait | DeadLetter:
    """Decide by the kind of error; a bug is raised again, so that no offset moves past it."""
    match error:
        case Transient():
            return Wait(max(error.retry_after or 0.0, backoff.delay(attempt)))
        case Rejected():
            return DeadLetter(error.message, error)
        case _:
            raise error
