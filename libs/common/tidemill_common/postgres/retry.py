"""Run a whole transaction again where the database says that it may succeed later."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg

from tidemill.errors import Conflict, DeadlineExceeded, Transient, Unavailable
from tidemill_common.verdict import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

SERIALIZATION: Final = frozenset({"40001", "40P01"})
SHUTDOWN: Final = frozenset({"57P01", "57P02", "57P03"})
CONNECTION_CLASS: Final = "08"
COLLISIONS: Final = SERIALIZATION | {"55P03"}
QUERY_CANCELED: Final = "57014"
LOST: Final = (
    TimeoutError,
    ConnectionError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a dying connection sometimes raises
)
_BACKOFF: Final = Backoff(0.01, 1.0)


def is_lost(error: BaseException) -> bool:
    """Say whether an error means that the database, not the statement, failed."""
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        return code in SHUTDOWN or code.startswith(CONNECTION_CLASS)
    if isinstance(error, asyncpg.InterfaceError):  # also raised for wrong arguments
        return any(word in str(error) for word in ("closed", "closing", "released"))
    return isinstance(error, TimeoutError | ConnectionError | asyncpg.InternalClientError)


def is_retriable(error: BaseException) -> bool:
    """Say whether the whole transaction may succeed if it is run again."""
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate in SERIALIZATION:
        return True
    return is_lost(error)


def meaning(error: BaseException) -> Transient | None:
    """Return an error of the database in the platform's words, None if it is a bug or a rule."""
    state = getattr(error, "sqlstate", None) or type(error).__name__
    if state in COLLISIONS:
        return Conflict(f"others changed the same rows ({state})")
    if state == QUERY_CANCELED:
        return DeadlineExceeded(f"the statement took too long ({state})")
    if is_lost(error):
        return Unavailable(f"the database is away ({state})")
    return None


async def retrying(once: Callable[[], Awaitable[T]], attempts: int = 5) -> T:
    """Call `once` until it succeeds; what the database did not ask to repeat is raised as it is.

    Conflict if it keeps colliding with others, Unavailable if the database stays away.
    """
    for attempt in range(1, attempts):
        try:
            return await once()
        except LOST as error:
            if not is_retriable(error):
                raise
        await asyncio.sleep(_BACKOFF.delay(attempt))
    try:
        return await once()
    except LOST as error:
        known = meaning(error)
        if known is None:
            raise
        raise known from error
