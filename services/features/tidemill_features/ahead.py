"""An iterator that is read in a thread of its own, ahead of who asks."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
DEPTH: Final = 1


@contextmanager
def ahead(things: Iterator[T], depth: int = DEPTH) -> Iterator[Iterator[T]]:
    """Give the things in their order; raises what they raise.

    While one is worked on, the next `depth` are made or wait.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield _taken(pool, things, depth)


def _taken(pool: ThreadPoolExecutor, things: Iterator[T], depth: int) -> Iterator[T]:
    def one() -> list[T]:
        return [thing] if (thing := next(things, None)) is not None else []

    waiting: deque[Future[list[T]]] = deque(pool.submit(one) for _ in range(depth))
    while found := waiting.popleft().result():
        waiting.append(pool.submit(one))
        yield found[0]
