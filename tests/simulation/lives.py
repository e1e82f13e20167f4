"""Lives: a features worker that owns the one partition and takes commands, a builder beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.clients import PROCESS, MemoryAdmin, MemoryConsumer, Process
from tidemill_common.kafka import Admin, Broker, TopicPartition
from tidemill_features.capacity import Capacity
from tidemill_features.definitions import Work
from tidemill_features.opening import Opener
from tidemill_features.partition import Partition
from tidemill_features.settings import Settings
from tidemill_features.standby import standing_by
from tidemill_features.stopping import BadRun

BROKER: Final = Broker("memory:0", "simulation")
Command = Callable[[Partition], Awaitable[None]]


@dataclass
class Tap:
    """What records come through, open until their partition holds it."""

    is_open: bool = True

    def hold(self, tp: TopicPartition) -> None:
        """Close."""
        self.is_open = False

    def release(self, tp: TopicPartition) -> None:
        """Open."""
        self.is_open = True


def an_admin(process: Process) -> Admin:
    """Return the admin of a process; what this task makes from here on is of that process."""
    PROCESS.set(process)
    return Admin(
        BROKER,
        MemoryAdmin(),
        MemoryConsumer(isolation_level="read_uncommitted"),
        MemoryConsumer(isolation_level="read_committed"),
    )


async def build(process: Process, work: Work, archive: str) -> None:
    """Live as a process that was told once to build what is behind, and looks at nothing else."""
    admin = an_admin(process)
    async with standing_by(BROKER, work) as standby:
        await standby.caught_up()
        opener = Opener(BROKER, admin, standby, work, archive)
        for behind in await opener.behind(records=0):
            await opener.build(behind)


@dataclass(eq=False)
class Worker:
    """One life of a process that owns the partition, as a task that takes commands."""

    process: Process
    work: Work
    settings: Settings
    capacity: Capacity
    tap: Tap = field(default_factory=Tap)
    task: asyncio.Task[None] | None = None
    _commands: asyncio.Queue[tuple[Command, asyncio.Future[None]]] = field(
        default_factory=asyncio.Queue
    )

    async def open(self) -> None:
        """Take the partition over; raises what ended the attempt."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._live(opened))
        await asyncio.wait({self.task, opened}, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            await self.task

    async def do(self, command: Command) -> None:
        """Run a command in the process; raises what ended the process if it ended it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._commands.put_nowait((command, done))
        task = self._running
        await asyncio.wait({task, done}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            await task

    async def stop(self) -> None:
        """End without a further effect."""
        self.process.dead = True
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    @property
    def _running(self) -> asyncio.Task[None]:
        if self.task is None:
            message = "the worker was not opened"
            raise RuntimeError(message)
        return self.task

    async def _live(self, opened: asyncio.Future[None]) -> None:
        admin = an_admin(self.process)
        (stream,) = self.work.streams.values()
        async with standing_by(BROKER, self.work) as standby, contextlib.AsyncExitStack() as stack:
            await standby.caught_up()
            opener = Opener(BROKER, admin, standby, self.work, self.settings.archive)
            state, producer = await opener.open(TopicPartition(stream.topic, 0), stack)
            since = (await admin.end_offsets([TopicPartition(stream.topic, 0)])).popitem()[1]
            bad = BadRun(since)
            partition = Partition(
                state, producer, admin, self.settings, self.capacity, bad, self.tap
            )
            opened.set_result(None)
            while True:
                command, done = await self._commands.get()
                await command(partition)
                done.set_result(None)
