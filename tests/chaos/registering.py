"""Who tells the services of a run what the project is: a stand-in, or the registry itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tests.chaos.stage import Cast, start
from tidemill.addresses import Addresses
from tidemill.aio import AsyncClient
from tidemill.definitions.v1 import project_pb2
from tidemill_features.testing import one_project

REGISTRY: Final = "registry"


@dataclass(frozen=True, slots=True)
class Registry:
    """Where it is, what it was told first, and how it is told more."""

    address: str
    project: project_pb2.Project
    generation: str
    apply: Callable[[project_pb2.Project], Awaitable[None]]


@contextlib.asynccontextmanager
async def registered(cast: Cast, project: project_pb2.Project) -> AsyncIterator[Registry]:
    """Apply a project in the registry of a run; a run without one has a stand-in."""
    if REGISTRY in cast.scenario.beside:
        await start(cast, [REGISTRY], "")
        address = cast.way(REGISTRY, REGISTRY)
        client = AsyncClient(Addresses({REGISTRY: address}, "the run's registry"), author="chaos")
        try:
            generation = (await client.apply(project)).generation

            async def apply(changed: project_pb2.Project) -> None:
                await client.apply(changed)

            yield Registry(address, project, generation, apply)
        finally:
            await client.close()
    else:
        async with one_project(project) as (address, servicer):

            async def replace(changed: project_pb2.Project) -> None:
                servicer.apply(changed)

            yield Registry(address, servicer.project, servicer.current, replace)
