"""Promises of the coalescer, with an upstream whose calls the test ends one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tidemill.errors import Exhausted, Invalid, TidemillError, Unavailable
from tidemill_serving.coalescer import Coalescer


@dataclass(frozen=True)
class Item:
    name: str
    weight: int = 1


@dataclass
class Upstream:
    """Gives each item's name back; a batch with a bad item fails. Calls wait for `let_go`."""

    bad: frozenset[str] = frozenset()
    error: TidemillError = field(default_factory=lambda: Invalid("bad row"))
    batches: list[list[str]] = field(default_factory=list)
    gates: list[asyncio.Event] = field(default_factory=list)
    held: bool = False

    async def __call__(self, batch: Sequence[Item]) -> list[str]:
        names = [item.name for item in batch]
        self.batches.append(names)
        gate = asyncio.Event()
        self.gates.append(gate)
        if self.held:
            await gate.wait()
        if self.bad & set(names):
            raise self.error
        return names

    def let_go(self, index: int) -> None:
        self.gates[index].set()


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_what_is_asked_in_the_same_turn_is_one_call() -> None:
    upstream = Upstream()
    coalescer = Coalescer[Item, str](upstream)
    answers = await asyncio.gather(*(coalescer.submit(Item(str(n))) for n in range(10)))
    assert answers == [str(n) for n in range(10)]
    assert upstream.batches == [[str(n) for n in range(10)]]


async def test_what_comes_while_calls_are_away_goes_together_when_one_ends() -> None:
    upstream = Upstream(held=True)
    coalescer = Coalescer[Item, str](upstream, inflight=1)
    first = asyncio.create_task(coalescer.submit(Item("first")))
    await turns()
    later = [asyncio.create_task(coalescer.submit(Item(str(n)))) for n in range(3)]
    await turns()
    assert upstream.batches == [["first"]]
    upstream.let_go(0)
    await first
    await turns()
    assert upstream.batches[1:] == [["0", "1", "2"]]
    upstream.let_go(1)
    assert await asyncio.gather(*later) == ["0", "1", "2"]


async def test_never_more_calls_are_away_than_allowed() -> None:
    upstream = Upstream(held=True)
    coalescer = Coalescer[Item, str](upstream, cap=1, inflight=2)
    asked = [asyncio.create_task(coalescer.submit(Item(str(n)))) for n in range(5)]
    await turns()
    assert len(upstream.batches) == 2
    for index in range(5):
        upstream.let_go(index)
        await turns()
    assert await asyncio.gather(*asked) == ["0", "1", "2", "3", "4"]


async def test_a_batch_has_at_most_cap_rows_but_one_large_item_may_go_alone() -> None:
    upstream = Upstream()
    coalescer = Coalescer[Item, str](upstream, cap=4)
    items = [Item("a", 3), Item("b", 2), Item("huge", 9), Item("c", 1)]
    await asyncio.gather(*(coalescer.submit(item) for item in items))
    assert upstream.batches == [["a"], ["b"], ["huge"], ["c"]]


async def test_one_bad_item_fails_alone() -> None:
    upstream = Upstream(bad=frozenset({"1"}))
    coalescer = Coalescer[Item, str](upstream)
    answers = await asyncio.gather(
        *(coalescer.submit(Item(str(n))) for n in range(3)), return_exceptions=True
    )
    assert [isinstance(answer, Invalid) for answer in answers] == [False, True, False]
    assert upstream.batches == [["0", "1", "2"], ["0"], ["1"], ["2"]]


async def test_an_error_that_will_pass_is_told_to_all_and_not_repeated() -> None:
    upstream = Upstream(bad=frozenset({"1"}), error=Unavailable("away"))
    coalescer = Coalescer[Item, str](upstream)
    answers = await asyncio.gather(
        *(coalescer.submit(Item(str(n))) for n in range(3)), return_exceptions=True
    )
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert len(upstream.batches) == 1


async def test_a_caller_that_gave_up_is_not_sent() -> None:
    upstream = Upstream(held=True)
    coalescer = Coalescer[Item, str](upstream, inflight=1)
    first = asyncio.create_task(coalescer.submit(Item("first")))
    await turns()
    gone = asyncio.create_task(coalescer.submit(Item("gone")))
    stays = asyncio.create_task(coalescer.submit(Item("stays")))
    await turns()
    gone.cancel()
    await turns()
    upstream.held = False
    upstream.let_go(0)
    assert await first == "first"
    assert await stays == "stays"
    assert upstream.batches == [["first"], ["stays"]]


async def test_too_much_waiting_is_refused_at_once() -> None:
    upstream = Upstream(held=True)
    coalescer = Coalescer[Item, str](upstream, inflight=1, limit=2)
    first = asyncio.create_task(coalescer.submit(Item("first")))
    await turns()
    waiting = asyncio.create_task(coalescer.submit(Item("waiting", 2)))
    await turns()
    with pytest.raises(Exhausted) as refused:
        await coalescer.submit(Item("refused"))
    assert refused.value.retry_after is not None
    upstream.held = False
    upstream.let_go(0)
    assert [await first, await waiting] == ["first", "waiting"]
    assert coalescer.waiting == 0


async def test_after_a_bug_nobody_waits_for_ever_and_the_next_is_answered() -> None:
    crashed = False

    async def upstream(batch: Sequence[Item]) -> list[str]:
        nonlocal crashed
        if not crashed:
            crashed = True
            raise ZeroDivisionError
        return [item.name for item in batch]

    coalescer = Coalescer[Item, str](upstream)
    with pytest.raises(Unavailable):
        await coalescer.submit(Item("a"))
    assert await coalescer.submit(Item("b")) == "b"


async def test_it_is_drained_when_everything_was_answered() -> None:
    upstream = Upstream(held=True)
    coalescer = Coalescer[Item, str](upstream)
    asked = asyncio.create_task(coalescer.submit(Item("a")))
    await turns()
    draining = asyncio.create_task(coalescer.drained())
    await turns()
    assert not draining.done()
    upstream.let_go(0)
    await asyncio.wait_for(draining, 1)
    assert await asked == "a"
    assert not coalescer.busy
