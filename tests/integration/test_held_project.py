"""The registry on a real database: one project is held beside the current one until it is decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import Conflict, FailedPrecondition, Invalid, NotFound
from tidemill.project import loads
from tidemill.registry.v1 import events_pb2
from tidemill_common.artifacts import Artifacts
from tidemill_common.clock import SystemClock
from tidemill_common.postgres import Pool, connected, migrate
from tidemill_common.settings import Dsn
from tidemill_registry import holding
from tidemill_registry.apply import Applied, apply
from tidemill_registry.handlers import Registry
from tidemill_registry.store import Store

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

CLIENTS = 8
PROJECT = """
project: shop
streams:
  visits: {key: [user], partitions: 2, fields: {user: {type: string, required: true}}}
views:
  users: {stream: visits, entity: [user], aggregations: [{function: count, windows: [WINDOW]}]}
"""


@pytest.fixture
async def pool(postgres: Dsn, schema: str) -> AsyncIterator[Pool]:
    await migrate(postgres, schema=schema, package="tidemill_registry.sql")
    async with connected(postgres, schema=schema, max_size=CLIENTS + 2) as opened:
        yield opened


@pytest.fixture
def registry(pool: Pool, tmp_path: Path) -> Registry:
    return Registry(Store(pool), Artifacts((tmp_path / "blobs").as_uri()), SystemClock())


def shop(window: str) -> project_pb2.Project:
    return loads(PROJECT.replace("WINDOW", window)).project


async def applied(registry: Registry, window: str) -> Applied:
    return await apply(registry, shop(window), author="ann", expected="", plan_only=False)


async def held(registry: Registry, window: str, expected: str = "") -> holding.Held:
    return await holding.hold(registry, shop(window), author="ann", expected=expected)


async def what_is_held(registry: Registry) -> str:
    found = await registry.store.run(lambda tx: tx.held())
    return found.generation if found is not None else ""


async def current(registry: Registry) -> tuple[str, int]:
    stored = await registry.store.run(lambda tx: tx.project())
    return stored.generation, stored.number


async def announced(pool: Pool) -> list[str]:
    async with pool.transaction() as connection:
        rows = await connection.fetch("SELECT value FROM outbox ORDER BY id")
    events = [events_pb2.RegistryEvent.FromString(row["value"]) for row in rows]
    return [str(event.WhichOneof("event")) for event in events]


async def test_a_held_project_is_stored_and_the_current_one_stays(
    registry: Registry, pool: Pool
) -> None:
    first = await applied(registry, "1h")
    done = await held(registry, "2h", expected=first.generation)
    assert done.held
    assert ("view", "users") in [(change.type, change.name) for change in done.changes]
    assert await current(registry) == (first.generation, 1)
    assert await what_is_held(registry) == done.generation
    stored = await registry.store.run(lambda tx: tx.project(done.generation))
    assert (stored.project.views[0].name, stored.number) == ("users", 0)
    again, same = await held(registry, "2h"), await held(registry, "1h")
    assert (again.held, same.held) == (False, False)
    assert await what_is_held(registry) == done.generation
    assert await announced(pool) == ["project_applied", "project_held"]


async def test_a_held_project_takes_the_place_of_another(registry: Registry) -> None:
    await applied(registry, "1h")
    first, second = await held(registry, "2h"), await held(registry, "3h")
    assert await what_is_held(registry) == second.generation
    with pytest.raises(Conflict, match=f"{second.generation} is held, not {first.generation}"):
        await holding.switch(registry, first.generation, author="bob")
    with pytest.raises(Conflict, match=f"{second.generation} is held, not {first.generation}"):
        await holding.abort(registry, first.generation, author="bob")


async def test_a_switch_makes_what_is_held_current_and_a_repeat_changes_nothing(
    registry: Registry, pool: Pool
) -> None:
    await applied(registry, "1h")
    coming = (await held(registry, "2h")).generation
    for _ in range(2):
        stored = await holding.switch(registry, coming, author="bob")
        assert (stored.generation, stored.number) == (coming, 2)
    assert await current(registry) == (coming, 2)
    assert await what_is_held(registry) == ""
    with pytest.raises(FailedPrecondition, match="no generation is held"):
        await holding.switch(registry, "", author="bob")
    assert await announced(pool) == ["project_applied", "project_held", "project_applied"]


async def test_an_abort_drops_what_is_held_and_a_repeat_changes_nothing(
    registry: Registry, pool: Pool
) -> None:
    first = await applied(registry, "1h")
    coming = (await held(registry, "2h")).generation
    dropped = [await holding.abort(registry, coming, author="bob") for _ in range(2)]
    assert dropped == [coming, ""]
    assert await current(registry) == (first.generation, 1)
    assert await what_is_held(registry) == ""
    with pytest.raises(FailedPrecondition, match="no generation is held"):
        await holding.switch(registry, coming, author="bob")
    assert await announced(pool) == ["project_applied", "project_held", "project_aborted"]
    assert (await held(registry, "2h")).held  # and may be held again


async def test_while_a_project_is_held_no_other_one_is_applied(registry: Registry) -> None:
    first = await applied(registry, "1h")
    coming = (await held(registry, "2h")).generation
    with pytest.raises(FailedPrecondition, match="is held beside the current one"):
        await applied(registry, "3h")
    assert not (await applied(registry, "1h")).applied
    assert await what_is_held(registry) == coming
    assert await current(registry) == (first.generation, 1)
    assert (await applied(registry, "2h")).number == 2  # is a switch
    assert await what_is_held(registry) == ""


async def test_eight_switches_at_once_are_one(registry: Registry) -> None:
    await applied(registry, "1h")
    coming = (await held(registry, "2h")).generation
    outcomes = await asyncio.gather(
        *(holding.switch(registry, coming, author=f"c{number}") for number in range(CLIENTS)),
        return_exceptions=True,
    )
    assert {one.number for one in outcomes if not isinstance(one, BaseException)} == {2}
    assert all(isinstance(one, Conflict) for one in outcomes if isinstance(one, BaseException))
    assert await current(registry) == (coming, 2)


async def test_the_first_project_and_one_with_mistakes_cannot_be_held(registry: Registry) -> None:
    with pytest.raises(FailedPrecondition, match="nothing to hold one beside"):
        await held(registry, "1h")
    generation = (await applied(registry, "1h")).generation
    with pytest.raises(Invalid):
        await held(registry, "0h")
    other = shop("2h")
    other.streams[0].partitions = 3
    with pytest.raises(Invalid, match="cannot change"):
        await holding.hold(registry, other, author="ann", expected="")
    with pytest.raises(Conflict, match="the current generation is"):
        await held(registry, "2h", expected="0" * 64)
    with pytest.raises(NotFound):
        await registry.store.run(lambda tx: tx.project("0" * 64))
    assert await current(registry) == (generation, 1)
    assert await what_is_held(registry) == ""
