"""Keep the model server in step with what is held: after its restart, and after ours."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from tidemill.errors import TidemillError, Transient
from tidemill_common import metrics
from tidemill_serving.held import State
from tidemill_serving.repository import is_ours

if TYPE_CHECKING:
    from tidemill_serving.fleet import Fleet
    from tidemill_serving.held import Held
    from tidemill_serving.predictor import ModelServer
    from tidemill_serving.versions import Loader

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 0.1


async def watch(fleet: Fleet, loader: Loader, server: ModelServer, stop: asyncio.Event) -> None:
    """Compare every second, and at once when a request found a version missing."""
    while not stop.is_set():
        fleet.kick.clear()
        seconds = EVERY_SECONDS if await _compare(fleet, loader, server) else AWAY_SECONDS
        await _either(fleet.kick, stop, seconds)


async def forget_leftovers(fleet: Fleet, server: ModelServer, loader: Loader) -> None:
    """Unload what an earlier life of this process left behind and nothing wants any more."""
    for name in sorted(await server.loaded()):
        known = {one.name for one in fleet.held.values()} | fleet.arriving
        if is_ours(name) and name not in known:
            await loader.unload(name)
            logger.info("model.leftover_unloaded", extra={"served": name})


async def _compare(fleet: Fleet, loader: Loader, server: ModelServer) -> bool:
    """Load again what the server lost; whether the server answers and has everything."""
    gauge = metrics.gauge("tidemill_triton_ready")
    try:
        loaded = await server.loaded()
    except TidemillError:
        if fleet.held and not any(one.ready.is_set() for one in fleet.held.values()):
            gauge.set(0)
            return False
        logger.warning("triton.away")
        gauge.set(0)
        for held in fleet.held.values():
            held.ready.clear()
            held.state = State.LOADING
        return False
    gauge.set(1)
    complete = True
    for held in sorted(fleet.held.values(), key=lambda one: -one.requests):
        if held.name in loaded:
            if held.state is not State.DRAINING and not held.ready.is_set():
                held.found()
        elif held.state is not State.DRAINING:
            complete &= await _revive(held, loader)
    return complete


async def _revive(held: Held, loader: Loader) -> bool:
    held.ready.clear()
    held.state = State.LOADING
    try:
        await loader.revive(held.package)
    except Transient as error:
        logger.warning("model.not_revived", extra={"served": held.name, "error": repr(error)})
        return False
    except TidemillError:
        held.state = State.FAILED
        logger.exception("model.not_revivable", extra={"served": held.name})
        return True
    held.found()
    logger.info("model.revived", extra={"served": held.name})
    return True


async def _either(kick: asyncio.Event, stop: asyncio.Event, seconds: float) -> None:
    tasks = [asyncio.create_task(kick.wait()), asyncio.create_task(stop.wait())]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
