"""Calls of the SDK that are remembered with their deadlines, and a reader that makes some all the while."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.checkers import Sample
from tests.chaos.enduring import Call
from tests.chaos.traffic import HOT
from tidemill import Event
from tidemill.addresses import Addresses
from tidemill.aio import AsyncClient, Value
from tidemill.definitions.v1 import project_pb2
from tidemill.errors import DeadlineExceeded, TidemillError
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.serving.v1 import serving_service_pb2 as serving_pb
from tidemill.transport import TIMEOUT
from tidemill_common.beside import beside

BEAT_S: Final = 0.05
NEVER_S: Final = 30.0
"""So long after its deadline a call is given up: it would never end."""
READ_TIMEOUT_S: Final = 1.5
READ_EVERY_S: Final = 0.1
APPLY_S: Final = 30.0
"""What the SDK grants."""
APPLIED: Final = 5
"""Of so many calls of the registry one writes."""


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

    def __init__(self, where: Addresses, beat: Beat, calls: list[Call]) -> None:
        super().__init__(where, author="chaos")
        self._beat = beat
        self.calls = calls

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

    async def predict(
        self,
        model: str,
        rows: Iterable[Mapping[str, Value]],
        *,
        timeout: float = TIMEOUT,
        **options: Any,
    ) -> list[serving_pb.Prediction]:
        """Predict, and remember it."""
        async with self.remembered("predict", timeout):
            return await super().predict(model, rows, timeout=timeout, **options)

    async def project(self) -> registry_pb.GetProjectResponse:
        """Ask for the project, and remember it."""
        async with self.remembered("project", TIMEOUT):
            return await super().project()

    async def apply(
        self, project: project_pb2.Project, *, plan_only: bool = False
    ) -> registry_pb.ApplyResponse:
        """Apply a project, and remember it."""
        async with self.remembered("apply", APPLY_S):
            return await super().apply(project, plan_only=plan_only)

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
async def remembering(
    where: Addresses, calls: list[Call] | None = None
) -> AsyncIterator[RememberingClient]:
    """Connect to a run's services while the block runs; calls are added to `calls`."""
    beat = Beat()
    client = RememberingClient(where, beat, [] if calls is None else calls)
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
    failed: int = 0
    samples: list[Sample] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """Read for so long, a call after another."""
        end = time.monotonic() + seconds
        for number in itertools.count():
            if time.monotonic() > end:
                return
            entities, asked = [{"user": f"u{number % HOT}"}], time.monotonic()
            try:
                await self.client.get_features(
                    self.view, entities, token=self.newest(), timeout=READ_TIMEOUT_S
                )
            except TidemillError:
                self.failed += 1
                self.samples.append(Sample(asked, None))
            else:
                self.samples.append(Sample(asked, time.monotonic()))
            await asyncio.sleep(READ_EVERY_S)


@dataclass(slots=True)
class Inquirer:
    """Asks the registry for its project, and applies the same again: a repeat changes nothing."""

    client: AsyncClient
    project: project_pb2.Project
    failed: int = 0
    samples: list[Sample] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """Ask for so long, a call after another."""
        end = time.monotonic() + seconds
        for number in itertools.count():
            asked = time.monotonic()
            if asked > end:
                return
            try:
                if number % APPLIED:
                    await self.client.project()
                else:
                    await self.client.apply(self.project)
            except TidemillError:
                self.failed += 1
                self.samples.append(Sample(asked, None))
            else:
                self.samples.append(Sample(asked, time.monotonic()))
            await asyncio.sleep(READ_EVERY_S)
