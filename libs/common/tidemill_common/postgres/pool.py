"""Connections to PostgreSQL: a small pool, short timeouts, errors in the platform's words."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import asyncpg
import orjson

from tidemill.errors import OutcomeUnknown, Unavailable
from tidemill_common.postgres.retry import LOST, is_lost, meaning, retrying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from asyncpg.pool import PoolConnectionProxy

    Connection = PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

T = TypeVar("T")
Isolation = Literal["read_committed", "repeatable_read", "serializable"]

ACQUIRE_SECONDS = 2.0
COMMAND_SECONDS = 5.0
CONNECT_SECONDS = 3.0
IDLE_SECONDS = 60.0
CLOSE_SECONDS = 5.0
SESSION = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
}


class Pool:
    """Connections of one service to its own schema; use `connected`.

    Hold none across a gRPC call or a wait for Kafka. json and jsonb are Python values both ways.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], schema: str) -> None:
        """Use an open pool."""
        self._pool = pool
        self.schema = schema

    @contextlib.asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        """Lend a connection and leave the errors of the block as they are."""
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_SECONDS)
        except (OSError, *LOST) as error:
            raise Unavailable(f"no database connection ({type(error).__name__})") from error
        try:
            yield connection
        finally:
            with contextlib.suppress(*LOST):  # the work is done; the pool drops the connection
                await self._pool.release(connection, timeout=CLOSE_SECONDS)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; Unavailable if none is free in two seconds or the database is away.

        What the database says of itself leaves the block as Transient: Unavailable, Conflict with
        other transactions, DeadlineExceeded. Broken constraints and bugs leave it as they are.
        """
        async with self._lent() as connection:
            try:
                yield connection
            except LOST as error:
                known = meaning(error)
                if known is None:
                    raise
                raise known from error

    @contextlib.asynccontextmanager
    async def transaction(
        self, isolation: Isolation = "read_committed", *, readonly: bool = False
    ) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction; an exception in the block rolls it back.

        OutcomeUnknown if the connection is lost in the commit: look the idempotency key up.
        """
        async with (
            self.connection() as connection,
            _transaction(connection, isolation, readonly=readonly),
        ):
            yield connection

    async def retrying(
        self,
        work: Callable[[Connection], Awaitable[T]],
        isolation: Isolation = "read_committed",
        attempts: int = 5,
    ) -> T:
        """Run `work` in a transaction, the whole of it again where the database asks for that.

        So it must do nothing but write to the database. OutcomeUnknown as in `transaction`.
        """

        async def once() -> T:
            async with self._lent() as connection, _transaction(connection, isolation):
                return await work(connection)

        return await retrying(once, attempts)

    async def fetch(self, query: str, *args: object) -> Sequence[asyncpg.Record]:
        """Run one statement and return its rows."""
        async with self.connection() as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        """Run one statement and return its first row."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        """Run one statement and return the first value of its first row."""
        async with self.connection() as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        """Run one statement and return its command tag."""
        async with self.connection() as connection:
            return await connection.execute(query, *args)


@contextlib.asynccontextmanager
async def _transaction(
    connection: Connection, isolation: Isolation, *, readonly: bool = False
) -> AsyncIterator[None]:
    """Begin, and commit or roll back; a connection lost in the commit: unknown."""
    transaction = connection.transaction(isolation=isolation, readonly=readonly)
    await transaction.start()
    try:
        yield
    except BaseException:
        with contextlib.suppress(*LOST):
            await transaction.rollback()
        raise
    try:
        await transaction.commit()
    except LOST as error:
        if not is_lost(error):
            raise
        raise OutcomeUnknown("the connection was lost in the commit") from error


async def _prepare(connection: Any) -> None:
    """Let json and jsonb be Python values."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=lambda value: orjson.dumps(value).decode(),
            decoder=orjson.loads,
        )


@contextlib.asynccontextmanager
async def connected(
    dsn: str,
    *,
    schema: str,
    application: str = "tidemill",
    min_size: int = 2,
    max_size: int = 8,
) -> AsyncIterator[Pool]:
    """Give a pool whose statements see `schema` only; Unavailable if the database is away."""
    try:
        pool = await asyncpg.create_pool(
            str(dsn),
            min_size=min_size,
            max_size=max_size,
            command_timeout=COMMAND_SECONDS,
            timeout=CONNECT_SECONDS,
            max_inactive_connection_lifetime=IDLE_SECONDS,
            server_settings={
                **SESSION,
                "search_path": schema,
                "application_name": f"{application}:{schema}",
            },
            init=_prepare,
        )
    except (OSError, *LOST) as error:
        raise Unavailable(f"the database is away ({type(error).__name__})") from error
    try:
        yield Pool(pool, schema)
    finally:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()
