"""The process that builds what the next generation adds; `succession` starts it."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Final

from tidemill_common.app import main
from tidemill_common.beside import beside
from tidemill_common.erasures import first_list, refuse
from tidemill_common.kafka import Broker, administering
from tidemill_common.project_source import load_project
from tidemill_features.definitions import work_of
from tidemill_features.opening import Opener
from tidemill_features.settings import Settings
from tidemill_features.standby import standing_by
from tidemill_features.succession import READY, Order
from tidemill_tiles.kernels import warm_up

if TYPE_CHECKING:
    from asyncio import StreamReader

logger = logging.getLogger(__name__)
LOOK_SECONDS: Final = 0.2


async def succeed(settings: Settings, stop: asyncio.Event) -> None:
    """Carry out the order on standard input; end when that ends, or when told to stop."""
    warm_up()
    orders = await _input()
    order = Order.from_line(await orders.readline())
    tasks = [
        asyncio.create_task(_build(settings, order, stop), name="build"),
        asyncio.create_task(_until_end(orders), name="input"),
        asyncio.create_task(_until(stop), name="stop"),
    ]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for task in done:
        task.result()


async def _build(settings: Settings, order: Order, stop: asyncio.Event) -> None:
    """Build until all that the generation adds is close behind its streams, and say so.

    Events of erased entities are left out from the first one on.
    """
    refusing = await first_list(settings.registry, stop)
    broker = Broker(settings.kafka, client=f"{settings.member}.successor")
    applied = await load_project(settings.registry, order.generation)
    added = work_of(applied.project, order.text).beside(order.present)
    async with administering(broker) as admin:
        await admin.ensure(added.topics(), only_missing=True)
        async with (
            beside(refuse(settings.registry, refusing, stop), "erasures"),
            standing_by(broker, added) as standby,
        ):
            await standby.caught_up()
            opener = Opener(broker, admin, standby, added, settings.archive, refusing)
            while behind := await opener.behind():
                mine = [one for one in behind if one.tp in order.partitions]
                for one in mine:
                    await opener.build(one)
                if not mine:
                    await asyncio.sleep(LOOK_SECONDS)
                # What was built is followed from its start again.
                await standby.caught_up()
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()


async def _input() -> StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    return reader


async def _until_end(reader: StreamReader) -> None:
    await reader.read()


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


if __name__ == "__main__":
    main("features", Settings, succeed)
