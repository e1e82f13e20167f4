"""The current project: loaded from the registry, again whenever one is applied, held or aborted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import NotFound, Transient
from tidemill.registry.v1 import events_pb2, registry_service_pb2
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill_common import rpc, topics
from tidemill_common.app import until
from tidemill_common.kafka import Broker, Record, TopicPartition, following

logger = logging.getLogger(__name__)

RECONCILE_SECONDS = 5.0
"""A lost event delays a new generation by so much at most."""
FIRST_SECONDS = 0.5
"""How often the registry is asked while there is no project yet."""
CHANGES = frozenset({"project_applied", "project_held", "project_aborted"})


@dataclass(frozen=True, slots=True)
class Held:
    """A generation that is built beside the current one until a person decides."""

    project: project_pb2.Project
    generation: str


@dataclass(frozen=True, slots=True)
class Applied:
    """One immutable generation of the project, normalised; with what is held beside it."""

    project: project_pb2.Project
    generation: str
    number: int
    held: Held | None = None

    @property
    def generations(self) -> tuple[str, str]:
        """Name both; empty is none held."""
        return self.generation, self.held.generation if self.held is not None else ""


async def load_project(registry: str, generation: str = "") -> Applied:
    """Ask the registry for a generation (empty: the current one); NotFound while there is none."""
    async with rpc.connected(registry, retry=["tidemill.registry.v1.RegistryService"]) as channel:
        request = registry_service_pb2.GetProjectRequest(generation=generation)
        reply = await rpc.call(RegistryServiceStub(channel).GetProject, request)
    held = Held(reply.held.project, reply.held.generation) if reply.HasField("held") else None
    return Applied(reply.project, reply.generation, reply.number, held)


async def projects(
    registry: str,
    broker: Broker,
    stop: asyncio.Event,
    *,
    every: float = RECONCILE_SECONDS,
    held: bool = False,
) -> AsyncGenerator[Applied]:
    """Give the current generation as soon as there is one, then each later one, until `stop`.

    With `held` it is given with what is held beside it, and again whenever that is another.
    Generations in between may be left out. The event on registry.events makes it quick, the
    reconciling load makes it certain; a registry that is away only delays.
    """
    hint = asyncio.Event()
    tp = TopicPartition(topics.REGISTRY_EVENTS.name, 0)

    def announced(_: TopicPartition, records: Sequence[Record]) -> None:
        if any(_is_change(record.value) for record in records):
            hint.set()

    async with following(broker, {tp: None}, announced, on_reset=lambda _: None):
        seen = ("", "")
        while not stop.is_set():
            applied = await _try_load(registry)
            if applied is not None and not held:
                applied = replace(applied, held=None)
            if applied is not None and applied.generations != seen:
                seen = applied.generations
                yield applied
                continue
            await _wait(hint, stop, every if any(seen) else FIRST_SECONDS)


async def newest(
    source: AsyncIterator[Applied], take: Callable[[Applied], Awaitable[None]]
) -> AsyncGenerator[Applied]:
    """Let `take` prepare each generation, and give it when that is done.

    A newer generation cancels what is under way for an older one, which may never be done.
    """
    applied = await anext(source, None)
    while applied is not None:
        following = asyncio.ensure_future(_following(source))
        taken = asyncio.ensure_future(take(applied))
        try:
            await asyncio.wait({following, taken}, return_when=asyncio.FIRST_COMPLETED)
            if taken.done():
                taken.result()
                yield applied
            applied = await following
        finally:
            for task in (following, taken):
                task.cancel()
            await asyncio.gather(following, taken, return_exceptions=True)


async def _following(source: AsyncIterator[Applied]) -> Applied | None:
    return await anext(source, None)


def _is_change(value: bytes | None) -> bool:
    event = events_pb2.RegistryEvent.FromString(value or b"")
    return event.WhichOneof("event") in CHANGES


async def _try_load(registry: str) -> Applied | None:
    try:
        return await load_project(registry)
    except NotFound:
        return None
    except Transient as error:
        logger.warning("project.registry_away", extra={"error": str(error)})
        return None


async def _wait(hint: asyncio.Event, stop: asyncio.Event, seconds: float) -> None:
    waiting = asyncio.create_task(hint.wait())
    stopping = asyncio.create_task(until(stop, seconds))
    _, pending = await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    hint.clear()
