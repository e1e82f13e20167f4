"""The bridge process: one consumer for each stream that has a source, as the project says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Protocol

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Misconfigured
from tidemill_common import metrics, rpc
from tidemill_common.app import until
from tidemill_common.clock import Clock, SystemClock
from tidemill_common.collector import collect_seldom
from tidemill_common.erasures import Refusing, first_list, refuse
from tidemill_common.kafka import (
    Admin,
    Broker,
    Producer,
    TooManyDeadLetters,
    administering,
    consume,
    producing,
)
from tidemill_common.project_source import projects
from tidemill_ingestion.foreign.bridge import STAGE, Bridge
from tidemill_ingestion.foreign.lapses import Lapses
from tidemill_ingestion.foreign.source import ForeignSource, compile_source
from tidemill_ingestion.foreign.targets import KafkaTargets
from tidemill_ingestion.settings import Settings
from tidemill_ingestion.streams import event_topics
from tidemill_tiles.kernels import warm_up

TOPIC_SECONDS: Final = 2.0
"""How often it is looked whether a foreign topic is there."""
HEARTBEATS: Final = 4
logger = logging.getLogger(__name__)


async def bridge(settings: Settings, stop: asyncio.Event) -> None:
    """Bridge until `stop`; what is under way is committed before the producer closes."""
    await asyncio.to_thread(warm_up)
    collect_seldom()
    broker = Broker(settings.kafka, client="ingestion-bridge")
    health = rpc.Health(ready=False)
    async with (
        administering(broker) as admin,
        producing(broker, linger_ms=0) as producer,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(rpc.serve([], {}, settings.listen, stop, health=health), name="rpc")
        clock = SystemClock()
        lapses = Lapses(clock, settings.session_seconds / 2)
        watching = tasks.create_task(lapses.run(), name="lapses")
        refusing = await first_list(settings.registry, stop)
        tasks.create_task(refuse(settings.registry, refusing, stop), name="erasures")
        bridges = _Bridges(settings, broker, admin, producer, tasks, clock, lapses, refusing)
        health.set(True)
        async for applied in projects(settings.registry, broker, stop):
            await admin.ensure(event_topics(applied.project))
            await bridges.adopt(applied.project)
            logger.info("bridge.applied", extra={"sources": sorted(bridges.running)})
        await bridges.adopt(pb.Project())
        watching.cancel()


class Topics(Protocol):
    """Knows which topics there are."""

    async def topics(self) -> Collection[str]:
        """Return their names."""


async def topic_is_there(
    stream: str, topic: str, known: Topics, stop: asyncio.Event, *, every: float = TOPIC_SECONDS
) -> bool:
    """Wait for the topic of a stream's source: others make it. False when told to stop."""
    waiting = metrics.gauge("tidemill_bridge_waiting", stream=stream)
    told = False
    try:
        while topic not in await known.topics():
            waiting.set(1)
            if not told:
                told = True
                logger.warning("bridge.no_topic", extra={"stream": stream, "topic": topic})
            if await until(stop, every):
                return False
    finally:
        waiting.set(0)
    return True


@dataclass(slots=True)
class _Running:
    """A stream whose source is consumed; `definition` is what it was started with."""

    definition: bytes
    task: asyncio.Task[None]
    stop: asyncio.Event


@dataclass(slots=True)
class _Bridges:
    """The sources that run."""

    settings: Settings
    broker: Broker
    admin: Admin
    producer: Producer
    tasks: asyncio.TaskGroup
    clock: Clock
    lapses: Lapses
    refusing: Refusing
    running: dict[str, _Running] = field(default_factory=dict)

    async def adopt(self, project: pb.Project) -> None:
        """End what is gone or changed, after it has committed; start what is new or changed."""
        wanted = {stream.name: stream for stream in project.streams if stream.HasField("source")}
        for name, running in list(self.running.items()):
            stream = wanted.get(name)
            if stream is None or _definition(stream) != running.definition:
                running.stop.set()
                await running.task
                del self.running[name]
        for name, stream in wanted.items():
            if name not in self.running:
                ended = asyncio.Event()
                task = self.tasks.create_task(self._run(stream, ended), name=f"bridge {name}")
                self.running[name] = _Running(_definition(stream), task, ended)

    async def _run(self, stream: pb.Stream, stop: asyncio.Event) -> None:
        """Bridge one source; if it cannot go on by itself it stops, alone, until it is changed."""
        stopped = metrics.gauge("tidemill_bridge_stopped", stream=stream.name)
        stopped.set(0)
        try:
            source = compile_source(stream)
            if await topic_is_there(stream.name, source.topic, self.admin, stop):
                await self._consume(stream.name, source, stop)
        except (Misconfigured, TooManyDeadLetters) as error:
            stopped.set(1)
            logger.error(  # noqa: TRY400 (no bug, and the message says it all)
                "bridge.stopped",
                extra={"stream": stream.name, "error": error.message, "hint": error.hint},
            )

    async def _consume(self, name: str, source: ForeignSource, stop: asyncio.Event) -> None:
        group = f"tidemill-bridge.{name}"
        handler = Bridge(
            source,
            KafkaTargets(self.broker, self.admin, group),
            self.producer,
            self.clock,
            self.lapses,
            group=group,
            batch_events=self.settings.bridge_events,
            timeout=self.settings.append_timeout_s,
            refusing=self.refusing,
        )
        session_ms = int(self.settings.session_seconds * 1_000)
        await consume(
            [source.topic],
            handler.handle,
            self.broker,
            stop,
            group=group,
            producer=self.producer,
            instance=f"{self.settings.member}-{name}",
            first="end" if source.start == pb.START_LATEST else "start",
            max_records=self.settings.bridge_records,
            session_ms=session_ms,
            heartbeat_ms=session_ms // HEARTBEATS,
            service="ingestion",
            stage=STAGE,
            assigned=handler.assigned,
        )


def _definition(stream: pb.Stream) -> bytes:
    return stream.SerializeToString(deterministic=True)
