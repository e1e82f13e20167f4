"""Ask the challenger the champion's questions, after the reply, from a bounded queue."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from tidemill.errors import TidemillError
from tidemill_common import metrics
from tidemill_serving import routing
from tidemill_serving.handlers import Question
from tidemill_serving.routing import Route, Variant

if TYPE_CHECKING:
    from tidemill_serving.fleet import Live
    from tidemill_serving.handlers import Predictions
    from tidemill_serving.lane import Scored

logger = logging.getLogger(__name__)

LIMIT: Final = 256
TOLERANCE: Final = 0.1
_SALT: Final = "shadow"


class Shadowing:
    """A queue of answered questions and the one worker that asks them again."""

    def __init__(self, limit: int = LIMIT) -> None:
        """Keep at most `limit` questions."""
        self._limit = limit
        self._queue: deque[tuple[Live, Question, Scored]] = deque()
        self._more = asyncio.Event()

    def offer(self, live: Live, question: Question, scored: Scored) -> None:
        """Take a share of the champion's questions while there is a challenger to compare."""
        share, challenger = live.spec.shadow, live.table.challenger
        if not share or challenger is None or live.table.tripped:
            return
        key = question.keys[0] or question.request_id
        if routing.bucket(_SALT, key.encode()) >= share * routing.BUCKETS:
            return
        if len(self._queue) >= self._limit:
            metrics.counter("tidemill_shadow_dropped_total", model=live.spec.name).inc()
            return
        self._queue.append((live, question, scored))
        self._more.set()

    async def run(self, predictions: Predictions, stop: asyncio.Event) -> None:
        """Ask until told to stop; what still waits then is forgotten."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._more.clear()
                while self._queue and not stop.is_set():
                    await self._ask(predictions, *self._queue.popleft())
                waiting = asyncio.create_task(self._more.wait())
                await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        finally:
            stopping.cancel()

    async def _ask(
        self, predictions: Predictions, live: Live, question: Question, champion: Scored
    ) -> None:
        pin = live.table.challenger
        if pin is None or pin.number not in live.lanes:
            return
        route = Route(pin.number, Variant.SHADOW, live.spec.shadow, live.table.version)
        again = Question(
            question.rows, question.keys, champion.at_us[0], question.request_id, time.monotonic()
        )
        try:
            answer = await predictions.score(live, route, again)
        except TidemillError as error:
            logger.info("shadow.failed", extra={"model": live.spec.name, "error": repr(error)})
            return
        metrics.counter("tidemill_shadow_compared_total", model=live.spec.name).inc()
        pairs = zip(answer.scored.values, champion.values, strict=True)
        if any(abs(one - other) > TOLERANCE for one, other in pairs):
            metrics.counter("tidemill_shadow_disagreed_total", model=live.spec.name).inc()
