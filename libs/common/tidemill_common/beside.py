"""Run work beside a block: it ends with the block, and its failure ends the block."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


@contextlib.asynccontextmanager
async def beside(work: Coroutine[None, None, None], name: str) -> AsyncIterator[None]:
    """Cancel `work` when the block is left; raise its error, alone, if it fails before."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work, name=name)
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as errors:
        only = alone(errors)
        if only is errors:
            raise
        raise only from None


def alone(error: BaseException) -> BaseException:
    """Return the one exception inside nested groups, or the group that has several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
