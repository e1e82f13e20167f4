"""Ingestion, whole: what it talks to, in what order it starts, how it stops."""

from __future__ import annotations

import asyncio
import logging

from tidemill.errors import Unavailable
from tidemill.ingestion.v1.ingestion_service_pb2_grpc import add_IngestionServiceServicer_to_server
from tidemill_common import rpc, topics
from tidemill_common.app import until
from tidemill_common.clock import SystemClock
from tidemill_common.collector import collect_seldom
from tidemill_common.currency import RETRY_SECONDS, of_registry
from tidemill_common.erasures import first_list, refuse
from tidemill_common.kafka import Admin, Broker, administering, producing
from tidemill_common.postgres import connected, migrate
from tidemill_common.project_source import projects
from tidemill_ingestion import cloudevents
from tidemill_ingestion.appender import Appender
from tidemill_ingestion.dead_letters import DeadLetters
from tidemill_ingestion.handlers import Streams
from tidemill_ingestion.limits import SourceLimit
from tidemill_ingestion.schema import compile_stream
from tidemill_ingestion.servicer import METHODS, Edge, IngestionServicer
from tidemill_ingestion.settings import Settings
from tidemill_ingestion.store import Ledger
from tidemill_ingestion.streams import event_topics
from tidemill_tiles.kernels import warm_up

logger = logging.getLogger(__name__)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`; what was accepted is acknowledged before the producer closes."""
    await asyncio.to_thread(warm_up)
    collect_seldom()
    broker = Broker(settings.kafka, client="ingestion")
    await migrate(settings.postgres, schema="ingestion", package="tidemill_ingestion.sql")
    async with (
        connected(settings.postgres, schema="ingestion") as pool,
        administering(broker) as admin,
        producing(broker, linger_ms=0) as producer,
    ):
        await admin.ensure([topics.REGISTRY_EVENTS])
        streams = Streams(of_registry(settings.registry))
        log = Appender(
            producer,
            linger=settings.linger_ms / 1_000,
            batch_events=settings.batch_events,
            pending=settings.pending_events,
            timeout=settings.append_timeout_s,
        )
        epoch = await admin.cluster_id()
        clock = SystemClock()
        edge = Edge(streams, log, SourceLimit(settings.source_rate), clock, epoch)
        letters = DeadLetters(broker, producer, Ledger(pool), streams, clock)
        servicer = IngestionServicer(edge, letters)
        health = rpc.Health(ready=False)
        rpc_service = rpc.Service(add_IngestionServiceServicer_to_server, servicer)
        closed = asyncio.Event()
        async with asyncio.TaskGroup() as appending:
            appending.create_task(log.run(closed), name="append")
            async with asyncio.TaskGroup() as edges:
                edges.create_task(_follow(settings, broker, admin, streams, stop), name="project")
                edges.create_task(
                    refuse(settings.registry, streams.refusing, stop), name="erasures"
                )
                edges.create_task(
                    rpc.serve([rpc_service], METHODS, settings.listen, stop, health=health),
                    name="rpc",
                )
                edges.create_task(_readiness(streams, health, stop), name="readiness")
                edges.create_task(
                    cloudevents.serve(edge, settings.ingestion_http, stop), name="http"
                )
            closed.set()


async def _readiness(streams: Streams, health: rpc.Health, stop: asyncio.Event) -> None:
    """Serve once the current project is taken up, or once it is certain that there is none."""
    while not stop.is_set():
        try:
            await streams.confirm()
        except Unavailable:
            await until(stop, RETRY_SECONDS)
        else:
            health.set(True)
            return


async def _follow(
    settings: Settings, broker: Broker, admin: Admin, streams: Streams, stop: asyncio.Event
) -> None:
    """Take up every generation of the project: erasures, then topics, then the streams."""
    streams.refusing.now = (await first_list(settings.registry, stop)).now
    async for applied in projects(settings.registry, broker, stop):
        await admin.ensure(event_topics(applied.project))
        streams.generation = applied.generation
        streams.schemas = {
            stream.name: compile_stream(stream) for stream in applied.project.streams
        }
        streams.sources = {
            stream.name: stream for stream in applied.project.streams if stream.HasField("source")
        }
        logger.info(
            "streams.applied",
            extra={"generation": applied.generation, "streams": sorted(streams.schemas)},
        )
