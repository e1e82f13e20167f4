"""The worker process: from the project to the running group, and to the next generation.

Topics and views are fixed while it runs. When a new generation is applied, or held, what that adds
is built beside (`succession`); then the worker drains, commits and replaces itself by a fresh
process image with the same process id. So is what lies far behind when the worker starts. While a
generation is held, the worker computes both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final

from tidemill.errors import Transient
from tidemill_common import rpc
from tidemill_common.app import CRASHED
from tidemill_common.beside import beside
from tidemill_common.erasures import Refusing, first_list, refuse
from tidemill_common.kafka import Broker, administering
from tidemill_common.project_source import Applied, newest, projects
from tidemill_features.definitions import all_work
from tidemill_features.opening import Opener
from tidemill_features.owning import Owned, owning
from tidemill_features.settings import GROUP
from tidemill_features.standby import standing_by
from tidemill_features.stream import FeatureApp, feature_app
from tidemill_features.succession import prepare
from tidemill_features.waiting import reachable
from tidemill_tiles.kernels import warm_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator

    from tidemill_common.kafka import Admin
    from tidemill_features.definitions import Work
    from tidemill_features.settings import Settings

logger = logging.getLogger(__name__)

SWITCH_SECONDS: Final = 0.0003
"""Of the interpreter, between threads: 5 ms by default, in which the loop waits for a flush."""


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Run until told to stop, or become the worker of the next generation."""
    sys.setswitchinterval(SWITCH_SECONDS)
    warm_up()
    health = rpc.Health(ready=False)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rpc.serve([], {}, settings.listen, stop, health=health), name="rpc")
        renewed = await _generation(settings, stop, health)
        again = renewed and not stop.is_set()
        stop.set()
    if again:
        logger.info("worker.next_generation")
        os.execv(sys.executable, [sys.executable, "-m", "tidemill_features", "worker"])  # noqa: S606 (ourselves)


@contextlib.contextmanager
def ending_the_process() -> Iterator[None]:
    """Let a failure end the process at once: faust's threads would keep it alive, and silent."""
    try:
        yield
    except BaseException:
        logger.exception("worker.crashed")
        os._exit(CRASHED)


async def _generation(settings: Settings, stop: asyncio.Event, health: rpc.Health) -> bool:
    """Work on the current generation; return whether there is a newer one."""
    broker = Broker(settings.kafka, client=settings.member)
    if not await reachable(broker, stop):
        return False
    async with (
        closing(projects(settings.registry, broker, stop, held=True)) as source,
        administering(broker) as admin,
    ):
        applied = await anext(source, None)
        if applied is None:
            return False
        refusing, wanted = await first_list(settings.registry, stop), _from(applied, source)
        work = all_work(applied)
        async with _opening(settings, broker, admin, work, refusing) as opener:
            far = await opener.far_behind()
            if not far:
                return await _own(settings, opener, applied, wanted, stop, health)
        # What is far behind is built while this worker is at work on the rest.
        logger.info("views.far_behind", extra={"views": sorted(far)})
        async with _opening(settings, broker, admin, work.without(far), refusing) as opener:
            return await _own(settings, opener, applied, wanted, stop, health)


@contextlib.asynccontextmanager
async def _opening(
    settings: Settings, broker: Broker, admin: Admin, work: Work, refusing: Refusing
) -> AsyncIterator[Opener]:
    """Follow every log of what is to be worked on, so that partitions can be opened."""
    await admin.ensure(work.topics())
    async with standing_by(broker, work) as standby:
        await standby.caught_up()
        yield Opener(broker, admin, standby, work, settings.archive, refusing)


async def _from(first: Applied, source: AsyncIterator[Applied]) -> AsyncGenerator[Applied]:
    yield first
    async for applied in source:
        yield applied


async def _own(
    settings: Settings,
    opener: Opener,
    present: Applied,
    source: AsyncIterator[Applied],
    stop: asyncio.Event,
    health: rpc.Health,
) -> bool:
    """Own partitions until told to stop (False) or a newer generation may take over (True)."""
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    topics = [one.topic for one in opener.work.streams.values()]
    await _come_anew(opener.admin, settings, topics)
    with ending_the_process():
        async with owning(opener, settings, failed) as owned:
            app = feature_app(settings, topics, owned, failed)
            # A start waits for the first assignment: a failure or the stop may come before it.
            async with (
                beside(refuse(settings.registry, opener.refusing, stop), "erasures"),
                beside(_start(app), "start"),
                beside(_ready(owned, health), "ready"),
                contextlib.aclosing(
                    newest(source, lambda one: _prepare(one, present, opener, owned))
                ) as successors,
            ):
                renewed = await _until_done(failed, successors, stop)
            health.set(False)
            await owned.close()
            await app.stop()
            renewed = renewed and not stop.is_set()  # it may have been told while it drained
            if not renewed:
                await _leave(opener.admin, settings)
    return renewed


async def _come_anew(admin: Admin, settings: Settings, topics: Collection[str]) -> None:
    """Leave first if the group would give us back a stream that the project no longer has.

    A static member gets what it had; aiokafka's coordinator ends over a topic that is not asked
    for, and the worker would live on without a partition.
    """
    if not await admin.given(GROUP, settings.member) <= set(topics):
        await _leave(admin, settings)


async def _leave(admin: Admin, settings: Settings) -> None:
    """Leave the group, so that others need not wait for the session to end."""
    try:
        left = await admin.leave(GROUP, settings.member)
    except Transient as error:
        logger.warning("worker.not_left", extra={"error": error.message})
    else:
        logger.info("worker.left", extra={"member": settings.member, "was_in": left})


async def _start(app: FeatureApp) -> None:
    await app.start()


async def _prepare(applied: Applied, present: Applied, opener: Opener, owned: Owned) -> None:
    """Let what is not at work be built, from the partitions that are open by then."""
    await owned.opened.wait()
    await prepare(applied, present, opener.work.keys, owned.partitions)


async def _ready(owned: Owned, health: rpc.Health) -> None:
    await owned.opened.wait()
    health.set(True)


async def _next(source: AsyncIterator[Applied]) -> Applied | None:
    return await anext(source, None)


async def _until_done(
    failed: asyncio.Future[None], successors: AsyncIterator[Applied], stop: asyncio.Event
) -> bool:
    """Wait for a failure (raised), a generation that may take over (True) or the stop (False)."""
    newer = asyncio.create_task(_next(successors))
    stopping = asyncio.create_task(stop.wait())
    waited: set[asyncio.Future[Any]] = {newer, stopping, failed}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    renewed = newer.done() and not failed.done()
    if not renewed:
        newer.cancel()
        await asyncio.gather(newer, return_exceptions=True)
    if failed.done():
        failed.result()
    return renewed and newer.result() is not None


@contextlib.asynccontextmanager
async def closing(source: AsyncIterator[Applied]) -> AsyncIterator[AsyncIterator[Applied]]:
    """Close a generator when the block is left, so that what it holds is let go."""
    try:
        yield source
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
