"""When an edge may say for certain what it does not know."""

from __future__ import annotations

import asyncio

import pytest

from tidemill.errors import Invalid, TidemillError, Unavailable
from tidemill_common.currency import Currency


class Current:
    """The registry's word; `asked` counts how often it was wanted, `gate` holds it back."""

    def __init__(self, generation: str | TidemillError = "g1") -> None:
        self.generation = generation
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> str:
        self.asked += 1
        said = self.generation
        await self.gate.wait()
        if isinstance(said, TidemillError):
            raise said
        return said


async def test_the_current_generation_is_confirmed_and_no_project_is_one() -> None:
    await Currency(Current("g1")).confirm(lambda: "g1")
    await Currency(Current("")).confirm(lambda: "")


@pytest.mark.parametrize(
    ("said", "known", "message"),
    [
        ("g2", "g1", "generation g2 .* being taken up"),
        ("g1", "", "generation g1 .* being taken up"),
        (Unavailable("away"), "g1", "the registry does not answer"),
    ],
)
async def test_anything_else_is_for_later(
    said: str | TidemillError, known: str, message: str
) -> None:
    with pytest.raises(Unavailable, match=message) as caught:
        await Currency(Current(said)).confirm(lambda: known)
    assert caught.value.retry_after


async def test_a_bug_is_not_taken_for_a_registry_that_is_away() -> None:
    with pytest.raises(Invalid):
        await Currency(Current(Invalid("no such generation"))).confirm(lambda: "g1")


async def test_a_generation_that_was_taken_up_meanwhile_is_confirmed() -> None:
    known, current = "g1", Current("g2")
    current.gate.clear()
    asking = asyncio.create_task(Currency(current).confirm(lambda: known))
    while not current.asked:
        await asyncio.sleep(0)
    known = "g2"
    current.gate.set()
    await asking


async def test_those_who_wait_share_a_question_and_later_ones_get_a_newer_answer() -> None:
    current = Current("g1")
    currency = Currency(current)
    await asyncio.gather(*(currency.confirm(lambda: "g1") for _ in range(100)))
    assert current.asked == 1
    current.gate.clear()
    early = [asyncio.create_task(currency.confirm(lambda: "g1")) for _ in range(10)]
    while current.asked == 1:
        await asyncio.sleep(0.01)
    current.generation = "g2"
    late = asyncio.create_task(currency.confirm(lambda: "g1"))
    current.gate.set()
    await asyncio.gather(*early)
    with pytest.raises(Unavailable, match="g2"):
        await late
    assert current.asked == 3


async def test_one_who_gives_up_does_not_take_the_answer_from_others() -> None:
    current = Current("g1")
    current.gate.clear()
    currency = Currency(current)
    hasty = asyncio.create_task(currency.confirm(lambda: "g1"))
    patient = asyncio.create_task(currency.confirm(lambda: "g1"))
    await asyncio.sleep(0)
    hasty.cancel()
    current.gate.set()
    await patient
    assert hasty.cancelled()
