"""How much state a worker may hold: at the limit its partitions wait, and nothing is lost.

Every worker holds the state of all partitions, its own and those it follows, so all are full alike.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from tidemill_common import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.2
"""State is measured that often: a flush may not wait for it."""


class Capacity:
    """Tells whether there is room for more state."""

    def __init__(
        self, limit: int, held: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Compare what `held` returns, bytes, with a limit."""
        self._limit = limit
        self._held = held
        self._clock = clock
        self._next = float("-inf")
        self._full = False
        self._meter = metrics.gauge("tidemill_feature_state_bytes")
        metrics.gauge("tidemill_feature_state_limit_bytes").set(limit)

    def is_full(self) -> bool:
        """Say whether the limit is reached; what is found is measured and, if it changed, told."""
        now = self._clock()
        if now < self._next:
            return self._full
        self._next = now + LOOK_SECONDS
        held = self._held()
        self._meter.set(held)
        full = held >= self._limit
        if full != self._full:
            self._full = full
            facts = {"held": held, "limit": self._limit}
            if full:
                logger.error("state.full", extra=facts)
            else:
                logger.info("state.has_room", extra=facts)
        return full
