"""Monitoring, whole: what it talks to, in what order it starts, how it stops."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tidemill.errors import Transient
from tidemill.monitoring.v1.monitoring_service_pb2_grpc import (
    add_MonitoringServiceServicer_to_server,
)
from tidemill.registry.v1.erasure_service_pb2_grpc import ErasureServiceStub
from tidemill_common import rpc, topics
from tidemill_common.app import until
from tidemill_common.artifacts import Artifacts
from tidemill_common.beside import beside
from tidemill_common.clock import SystemClock
from tidemill_common.erasures import first_list, refuse
from tidemill_common.kafka import Admin, Broker, administering, producing
from tidemill_common.postgres import connected, migrate, relay
from tidemill_common.project_source import Applied, projects
from tidemill_common.verdict import Backoff
from tidemill_monitoring.definitions import Watch, watch_of
from tidemill_monitoring.engine import Engine
from tidemill_monitoring.forgetting import Erasing
from tidemill_monitoring.pump import pump
from tidemill_monitoring.references import References
from tidemill_monitoring.reports import Reports
from tidemill_monitoring.servicer import METHODS, MonitoringServicer
from tidemill_monitoring.store import Store

if TYPE_CHECKING:
    from tidemill_monitoring.settings import Settings

SCHEMA = "monitoring"
REGISTRY = "tidemill.registry.v1.RegistryService"
logger = logging.getLogger(__name__)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`; a step that has begun is finished."""
    broker = Broker(settings.kafka, client="monitoring")
    await migrate(settings.postgres, schema=SCHEMA, package="tidemill_monitoring.sql")
    async with (
        connected(settings.postgres, schema=SCHEMA) as pool,
        administering(broker) as admin,
        producing(broker) as producer,
        rpc.connected(settings.registry, retry=[f"{REGISTRY}/GetVersion"]) as channel,
        asyncio.TaskGroup() as tasks,
    ):
        await admin.ensure([topics.REGISTRY_EVENTS, topics.ALERTS])
        store = Store(pool)
        references = References(channel, Artifacts(settings.artifacts))
        reports = Reports(store, references, settings.data)
        service = rpc.Service(
            add_MonitoringServiceServicer_to_server, MonitoringServicer(store, reports)
        )
        tasks.create_task(relay(pool, producer, stop), name="outbox")
        tasks.create_task(rpc.serve([service], METHODS, settings.listen, stop), name="rpc")
        tasks.create_task(reports.run(stop, settings.reports_gap_s), name="reports")
        refusing = await first_list(settings.registry, stop)
        tasks.create_task(refuse(settings.registry, refusing, stop), name="erasures")
        said = ErasureServiceStub(channel)
        erasing = Erasing(store, reports, said, refusing)
        monitor = _Monitor(settings, broker, admin, store, references, reports, erasing)
        tasks.create_task(monitor.run(stop), name="monitor")


class _Monitor:
    """Runs one engine per generation of the project, and a new one after a failure."""

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        admin: Admin,
        store: Store,
        references: References,
        reports: Reports,
        erasing: Erasing,
    ) -> None:
        self._erasing = erasing
        self._settings = settings
        self._broker = broker
        self._admin = admin
        self._store = store
        self._references = references
        self._reports = reports

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the project; each generation ends the engine of the one before."""
        running: asyncio.Task[None] | None = None
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            async for applied in projects(self._settings.registry, self._broker, stop):
                if running is not None:
                    ended.set()
                    await running
                ended = asyncio.Event()
                running = tasks.create_task(self._generation(applied, ended), name="engine")
            ended.set()

    async def _generation(self, applied: Applied, ended: asyncio.Event) -> None:
        """Monitor one generation until `ended`."""
        watch = watch_of(applied.project, applied.generation)
        await self._admin.ensure(watch.topics())
        self._reports.watch = watch
        logger.info("watch.started", extra={"generation": watch.generation})
        champions = asyncio.create_task(
            self._references.follow_champions(list(watch.models), ended), name="champions"
        )
        backoff, failures = Backoff(first=0.5, cap=15.0), 0
        try:
            while not ended.is_set():
                try:
                    await self._monitor(watch, ended)
                except Transient as error:
                    logger.warning("monitor.waiting", extra={"error": str(error)})
                    failures += 1
                    await until(ended, 0.1 + backoff.delay(failures))
        finally:
            champions.cancel()
            await asyncio.gather(champions, return_exceptions=True)

    async def _monitor(self, watch: Watch, ended: asyncio.Event) -> None:
        """Load what the database has and go on from there, until somebody is to be erased."""
        erased = await self._erasing.carry_out(watch)
        engine = Engine(watch, self._store, self._references, SystemClock(), erased)
        await engine.load()
        offsets = await self._store.offsets()
        pausing = asyncio.Event()
        async with beside(self._erasing.until_news(erased, ended, pausing), "erasures"):
            await pump(self._broker, watch, engine, offsets, pausing, every=self._settings.step_s)
