"""Calls of the SDK that are remembered with their deadlines, and a reader that makes some all the while."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.enduring import Call
from tests.chaos.traffic import HOT
from tidemill import Event
from tidemill.addresses import Addresses
from tidemill.aio import AsyncClient
from tidemill.errors import DeadlineExceeded, TidemillError
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill.transport import TIMEOUT
from tidemill_common.beside import beside

BEAT_S: Final = 0.05
NEVER_S: Final = 30.0
"""So long after its deadline a call is given up: it would never end."""
READ_TIMEOUT_S: Final = 1.5
READ_EVERY_S: Final = 0.1


@dataclass(slots=True)
class Beat:
    """The seconds in which the harness's own loop went on: while it stands no call can end."""

    elapsed_s: float = 0.0

    async def beating(self) -> None:
        """Beat for ever."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(BEAT_S)
            self.elapsed_s += min(time.monotonic() - began, 2 * BEAT_S)


class RememberingClient(AsyncClient):
    """A client that remembers the calls of a run's load; use `remembering`."""

    def __init__(self, where: Addresses, beat: Beat) -> None:
        super().__init__(where)
        self._beat = beat
        self.calls: list[Call] = []

    async def publish(
        self, events: Iterable[Event], *, timeout: float = TIMEOUT
    ) -> pb.PublishResponse:
        """Publish, and remember it."""
        async with self.remembered("publish", timeout):
            return await super().publish(events, timeout=timeout)

    async def get_features(
        self,
        view: str,
        entities: Iterable[Mapping[str, str]],
        *,
        timeout: float = TIMEOUT,
        **options: Any,
    ) -> features_pb.GetFeaturesResponse:
        """Read, and remember it."""
        async with self.remembered("get_features", timeout):
            return await super().get_features(view, entities, timeout=timeout, **options)

    @contextlib.asynccontextmanager
    async def remembered(self, name: str, limit_s: float) -> AsyncIterator[None]:
        """Remember a call that is made in the block; one that would never end is given up."""
        call = Call(name, self._beat.elapsed_s, limit_s)
        self.calls.append(call)
        try:
            async with asyncio.timeout(limit_s + NEVER_S) as never:
                yield
        except TimeoutError as error:
            raise DeadlineExceeded(f"{name} never ended") from error
        finally:
            if not never.expired():
                call.ended_s = self._beat.elapsed_s


@contextlib.asynccontextmanager
async def remembering(where: Addresses) -> AsyncIterator[RememberingClient]:
    """Connect to a run's services while the block runs."""
    beat = Beat()
    client = RememberingClient(where, beat)
    async with beside(beat.beating(), "beat"):
        try:
            yield client
        finally:
            await client.close()


@dataclass(slots=True)
class Asker:
    """Reads what was published last, by its token: an answer has to wait while logs stand still."""

    client: AsyncClient
    view: str
    newest: Callable[[], pb.PositionToken | None]
    answered: int = 0
    failed: int = 0

    async def run(self, seconds: float) -> None:
        """Read for so long, a call after another."""
        end = time.monotonic() + seconds
        for number in itertools.count():
            if time.monotonic() > end:
                return
            entities = [{"user": f"u{number % HOT}"}]
            try:
                await self.client.get_features(
                    self.view, entities, token=self.newest(), timeout=READ_TIMEOUT_S
                )
            except TidemillError:
                self.failed += 1
            else:
                self.answered += 1
            await asyncio.sleep(READ_EVERY_S)
