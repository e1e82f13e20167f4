"""Of generations that come while an older one is being taken, only the newest matters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill_common.project_source import Applied, newest


def generation(number: int) -> Applied:
    return Applied(project_pb2.Project(), f"g{number}", number)


class Source:
    """Generations that come when the test says so."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Applied | None] = asyncio.Queue()

    def give(self, number: int) -> None:
        self._waiting.put_nowait(generation(number))

    def end(self) -> None:
        self._waiting.put_nowait(None)

    async def __call__(self) -> AsyncIterator[Applied]:
        while (applied := await self._waiting.get()) is not None:
            yield applied


class Taking:
    """Takes a generation when it is let; remembers what became of each."""

    def __init__(self) -> None:
        self.began: asyncio.Queue[int] = asyncio.Queue()
        self.cancelled: list[int] = []
        self.let = {number: asyncio.Event() for number in range(1, 5)}

    async def __call__(self, applied: Applied) -> None:
        self.began.put_nowait(applied.number)
        try:
            await self.let[applied.number].wait()
        except asyncio.CancelledError:
            self.cancelled.append(applied.number)
            raise


async def test_a_generation_that_was_taken_is_given_and_then_the_next() -> None:
    source, taking = Source(), Taking()
    given = newest(source(), taking)
    for number in (1, 2):
        source.give(number)
        taking.let[number].set()
        assert (await anext(given)).number == number
    source.end()
    assert await anext(given, None) is None
    assert taking.cancelled == []


async def test_a_newer_generation_takes_the_place_of_one_that_cannot_be_taken() -> None:
    source, taking = Source(), Taking()
    given = newest(source(), taking)
    source.give(1)
    taken = asyncio.ensure_future(anext(given))
    assert await taking.began.get() == 1
    source.give(2)
    assert await taking.began.get() == 2
    taking.let[2].set()
    assert (await taken).number == 2
    assert taking.cancelled == [1]


async def test_the_end_of_the_source_ends_what_is_under_way() -> None:
    source, taking = Source(), Taking()
    given = newest(source(), taking)
    source.give(1)
    taken = asyncio.ensure_future(anext(given, None))
    await taking.began.get()
    source.end()
    assert await taken is None
    assert taking.cancelled == [1]


async def test_an_error_of_the_taking_is_raised_and_nothing_is_left_running() -> None:
    source = Source()

    async def refusing(applied: Applied) -> None:
        raise ValueError(applied.generation)

    source.give(1)
    with pytest.raises(ValueError, match="g1"):
        await anext(newest(source(), refusing))
    assert asyncio.all_tasks() == {asyncio.current_task()}
