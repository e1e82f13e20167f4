"""The pool, migrations, retries and the inbox on the real database."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tidemill.errors import Conflict, Misconfigured, NotFound, Unavailable
from tidemill_common.postgres import Connection, Pool, connected, migrate, queries
from tidemill_common.postgres.inbox import advance, first_time, positions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tidemill_common.settings import Dsn

pytestmark = pytest.mark.stack


@pytest.fixture
async def pool(postgres: Dsn, schema: str) -> AsyncIterator[Pool]:
    await migrate(postgres, schema=schema)
    async with connected(postgres, schema=schema) as opened:
        await opened.execute(
            "CREATE TABLE account (name text PRIMARY KEY, amount int, facts jsonb)"
        )
        await opened.execute("INSERT INTO account VALUES ('a', 1, NULL), ('b', 1, NULL)")
        yield opened


def a_package(folder: Path, name: str, **files: str) -> str:
    """Make an importable package of SQL files and return its name."""
    package = folder / name
    package.mkdir()
    (package / "__init__.py").touch()
    for file, sql in files.items():
        (package / f"{file}.sql").write_text(sql)
    return name


async def test_migrations_run_once_and_an_edited_one_is_refused(
    postgres: Dsn, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    package = a_package(
        tmp_path,
        f"sql_{schema}",
        **{"0001_made": "CREATE TABLE made (id int);", "find": "SELECT 1"},
    )
    first = await migrate(postgres, schema=schema, package=package)
    assert first[-1] == f"{package}/0001_made"
    assert await migrate(postgres, schema=schema, package=package) == []
    assert queries(package)["find"] == "SELECT 1"
    (tmp_path / package / "0002_more.sql").write_text("ALTER TABLE made ADD name text;")
    assert await migrate(postgres, schema=schema, package=package) == [f"{package}/0002_more"]
    (tmp_path / package / "0001_made.sql").write_text("CREATE TABLE other (id int);")
    with pytest.raises(Misconfigured, match="was edited"):
        await migrate(postgres, schema=schema, package=package)


async def test_migrators_that_start_together_run_each_file_once(postgres: Dsn, schema: str) -> None:
    ran = await asyncio.gather(*(migrate(postgres, schema=schema) for _ in range(4)))
    assert sorted(len(each) for each in ran) == [0, 0, 0, 2]


async def test_a_failed_transaction_leaves_nothing_behind(pool: Pool) -> None:
    with pytest.raises(NotFound):
        async with pool.transaction() as connection:
            await connection.execute("UPDATE account SET amount = 100")
            message = "no account c"
            raise NotFound(message)
    assert await pool.fetchval("SELECT sum(amount) FROM account") == 2


async def test_json_is_a_value_both_ways(pool: Pool) -> None:
    facts = {"list": [1, 2.5, None], "text": "ü"}
    await pool.execute("UPDATE account SET facts = $1 WHERE name = 'a'", facts)
    assert await pool.fetchval("SELECT facts FROM account WHERE name = 'a'") == facts


async def test_transactions_that_collide_are_run_again_and_none_is_lost(pool: Pool) -> None:
    async def add(connection: Connection) -> None:
        amount = await connection.fetchval("SELECT sum(amount) FROM account")
        await asyncio.sleep(0)
        await connection.execute("UPDATE account SET amount = $1 WHERE name = 'a'", amount)

    async def add_often() -> None:
        for _ in range(5):
            await pool.retrying(add, "serializable", attempts=20)

    await asyncio.gather(*(add_often() for _ in range(3)))
    assert await pool.fetchval("SELECT amount FROM account WHERE name = 'a'") == 1 + 15


async def test_a_collision_that_is_not_retried_is_a_conflict(pool: Pool) -> None:
    with pytest.raises(Conflict):
        async with pool.transaction("repeatable_read") as one:
            await one.fetchval("SELECT amount FROM account WHERE name = 'a'")
            await pool.execute("UPDATE account SET amount = amount + 1 WHERE name = 'a'")
            await one.execute("UPDATE account SET amount = amount + 1 WHERE name = 'a'")


async def test_a_killed_backend_is_unavailable_and_the_pool_recovers(pool: Pool) -> None:
    with pytest.raises(Unavailable):
        async with pool.connection() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await pool.execute("SELECT pg_terminate_backend($1)", pid)
            await asyncio.sleep(0.1)
            await connection.fetchval("SELECT 1")
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_killed_backend_is_no_matter_to_a_transaction_that_may_run_again(
    pool: Pool,
) -> None:
    kills = 2

    async def add(connection: Connection) -> None:
        nonlocal kills
        if kills:
            kills -= 1
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await pool.execute("SELECT pg_terminate_backend($1)", pid)
            await asyncio.sleep(0.05)
        await connection.execute("UPDATE account SET amount = amount + 1 WHERE name = 'a'")

    await pool.retrying(add)
    assert await pool.fetchval("SELECT amount FROM account WHERE name = 'a'") == 2


async def test_no_database_is_unavailable(free_port: int) -> None:
    with pytest.raises(Unavailable):
        async with connected(f"postgresql://x@127.0.0.1:{free_port}/x", schema="x"):
            pass


async def test_an_event_is_handled_the_first_time_only(pool: Pool) -> None:
    async with pool.transaction() as connection:
        assert await first_time(connection, "labels", "e1")
        assert not await first_time(connection, "labels", "e1")
        assert await first_time(connection, "alerts", "e1")


async def test_an_event_whose_transaction_failed_counts_as_never_handled(pool: Pool) -> None:
    with pytest.raises(NotFound):
        async with pool.transaction() as connection:
            await first_time(connection, "labels", "e1")
            message = "gone"
            raise NotFound(message)
    async with pool.transaction() as connection:
        assert await first_time(connection, "labels", "e1")


async def test_positions_only_grow(pool: Pool) -> None:
    async with pool.transaction() as connection:
        seen = [await advance(connection, "labels", "t", 0, at) for at in (0, 1, 1, 0, 5, 4)]
        assert seen == [True, True, False, False, True, False]
        assert await positions(connection, "labels") == {("t", 0): 6}
