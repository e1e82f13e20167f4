"""Join what waits together into one call: no timer, the next batch forms while others are away.

An item weighs its rows. At most `inflight` calls are away; a batch takes waiting items in order up
to `cap` rows. A failed batch of several items is repeated once item by item, so that one bad
item fails alone; an error that says "try later" is the same for all and is not repeated here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from tidemill.errors import Exhausted, TidemillError, Transient, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Weighed(Protocol):
    """What can wait: it knows how many rows it is."""

    @property
    def weight(self) -> int:
        """Rows that it adds to a batch."""


logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Weighed)
R = TypeVar("R")


@dataclass(slots=True)
class _Waiting(Generic[T, R]):
    item: T
    future: asyncio.Future[R]
    since: float


class Coalescer(Generic[T, R]):
    """One queue before one upstream. Results come back in the order of the items of a batch.

    Promises: an item is sent at least once and at most twice; its waiter gets its own result or an
    error of the upstream; a waiter that gave up before its batch formed is not sent.
    """

    def __init__(
        self,
        upstream: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        cap: int = 64,
        inflight: int = 2,
        limit: int = 2048,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        """Call `upstream` with batches; `on_batch` learns rows and the longest wait in seconds."""
        self._upstream = upstream
        self._cap = cap
        self._inflight = inflight
        self._limit = limit
        self._on_batch = on_batch
        self._queue: deque[_Waiting[T, R]] = deque()
        self._rows = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._loop = asyncio.get_running_loop()

    @property
    def waiting(self) -> int:
        """Rows that no call has taken yet."""
        return self._rows

    @property
    def busy(self) -> bool:
        """Whether anything waits or is away."""
        return bool(self._queue or self._calls)

    async def submit(self, item: T) -> R:
        """Wait for the result of `item`; Exhausted at once when too many rows wait."""
        if self._rows + item.weight > self._limit:
            raise Exhausted(f"{self._rows} rows are waiting already", retry_after=0.05)
        future: asyncio.Future[R] = self._loop.create_future()
        self._queue.append(_Waiting(item, future, time.monotonic()))
        self._rows += item.weight
        self._schedule()
        return await future

    async def drained(self) -> None:
        """Wait until nothing waits and nothing is away."""
        while self.busy:
            await asyncio.gather(*self._calls, return_exceptions=True)
            await asyncio.sleep(0)

    def _schedule(self) -> None:
        # Not at once: requests that were read in the same turn of the loop go together.
        if not self._scheduled and len(self._calls) < self._inflight:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        while self._queue and len(self._calls) < self._inflight:
            batch = self._take()
            if batch:
                call = self._loop.create_task(self._run(batch))
                self._calls.add(call)
                call.add_done_callback(self._ended)

    def _take(self) -> list[_Waiting[T, R]]:
        batch: list[_Waiting[T, R]] = []
        rows = 0
        while self._queue:
            weight = self._queue[0].item.weight
            if batch and rows + weight > self._cap:
                break
            waiting = self._queue.popleft()
            self._rows -= weight
            if not waiting.future.done():
                batch.append(waiting)
                rows += weight
        if batch and self._on_batch is not None:
            self._on_batch(rows, time.monotonic() - batch[0].since)
        return batch

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if not call.cancelled() and (bug := call.exception()) is not None:
            logger.error("coalescer.crashed", exc_info=bug)
        if self._queue:
            self._schedule()

    async def _run(self, batch: list[_Waiting[T, R]]) -> None:
        try:
            error = await self._attempt(batch)
            if error is None:
                return
            if len(batch) == 1 or isinstance(error, Transient):
                _fail(batch, error)
                return
            for waiting in batch:
                if not waiting.future.done():
                    alone = await self._attempt([waiting])
                    if alone is not None:
                        _fail([waiting], alone)
        finally:
            # After a bug, or at the end of the process, nobody may wait for ever.
            _fail(batch, Unavailable("the call that carried this request was given up"))

    async def _attempt(self, batch: list[_Waiting[T, R]]) -> TidemillError | None:
        try:
            results = await self._upstream([waiting.item for waiting in batch])
        except TidemillError as error:
            return error
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(result)
        return None


def _fail(batch: Sequence[_Waiting[T, R]], error: TidemillError) -> None:
    for waiting in batch:
        if not waiting.future.done():
            waiting.future.set_exception(error)
