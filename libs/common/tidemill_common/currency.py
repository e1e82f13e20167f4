"""Whether a generation of the project is the registry's current one: asked before a final no.

A service that has just started, or that is about to take up a project applied this moment, does not
know every stream or view there is. What it does not know it denies only when the registry says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from tidemill.errors import NotFound, Transient, Unavailable
from tidemill_common.project_source import load_project

GAP_SECONDS: Final = 0.2
"""The registry is asked no more often, however much is asked for that is not known."""
RETRY_SECONDS: Final = 0.2


class Registry(Protocol):
    """Who says which generation of the project is the current one."""

    async def confirm(self, known: Callable[[], str]) -> None:
        """Return if the known generation is the current one, else raise Unavailable."""


class Currency:
    """Asks the registry for the current generation; those who ask at once share the answer."""

    def __init__(self, current: Callable[[], Awaitable[str]]) -> None:
        """`current` gives the current generation, empty while no project is applied."""
        self._current = current
        self._coming: asyncio.Task[str | None] | None = None
        self._asked = -GAP_SECONDS

    async def confirm(self, known: Callable[[], str]) -> None:
        """Return if the generation known when the answer comes is the current one.

        Unavailable while another is still to be taken up, or while the registry does not answer.
        """
        if self._coming is None:
            self._coming = asyncio.create_task(self._ask(), name="current-generation")
        current = await asyncio.shield(self._coming)
        if current is None:
            message = "the registry does not answer, so it is not known what there is"
            raise Unavailable(message, retry_after=RETRY_SECONDS)
        if current != known():
            message = f"generation {current} of the project is being taken up"
            raise Unavailable(message, retry_after=RETRY_SECONDS)

    async def _ask(self) -> str | None:
        """Ask when it is time; whoever comes after the question was put needs the next one."""
        await asyncio.sleep(self._asked + GAP_SECONDS - time.monotonic())
        self._asked, self._coming = time.monotonic(), None
        try:
            return await self._current()
        except Transient:
            return None


def of_registry(registry: str) -> Currency:
    """Ask the registry at an address."""

    async def current() -> str:
        try:
            return (await load_project(registry)).generation
        except NotFound:
            return ""

    return Currency(current)
