"""The server process: FeatureService with its replica, the archivers and the builder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from tidemill.features.v1.feature_service_pb2_grpc import add_FeatureServiceServicer_to_server
from tidemill_common import metrics, rpc
from tidemill_common.app import until
from tidemill_common.feature_replica import FeatureReplica, replicating
from tidemill_common.kafka import Broker, administering
from tidemill_common.project_source import Applied, newest, projects
from tidemill_features.archiving import Archivers
from tidemill_features.auditing import auditing
from tidemill_features.building import building
from tidemill_features.definitions import work_of
from tidemill_features.handlers import Sets
from tidemill_features.servicer import METHODS, FeatureServicer
from tidemill_features.waiting import reachable
from tidemill_tiles.kernels import warm_up

if TYPE_CHECKING:
    from tidemill_features.settings import Settings

logger = logging.getLogger(__name__)
REPORT_SECONDS: Final = 5.0


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve reads as soon as every view is complete; archive and build beside."""
    warm_up()
    broker = Broker(settings.kafka, client="features-server")
    health = rpc.Health(ready=False)
    if not await reachable(broker, stop):
        return
    async with (
        administering(broker) as admin,
        building() as builder,
        replicating(broker) as replica,
        asyncio.TaskGroup() as tasks,
    ):
        archivers = Archivers(broker, admin, settings.archive, settings.archive_bytes)
        sets = Sets(settings, broker, admin, archivers, builder)
        servicer = FeatureServicer(replica, sets, admin)
        service = rpc.Service(add_FeatureServiceServicer_to_server, servicer)
        tasks.create_task(
            rpc.serve([service], METHODS, settings.listen, stop, health=health), name="rpc"
        )
        if settings.archiver:
            tasks.create_task(archivers.run(stop, settings.archive_seconds), name="archivers")
            tasks.create_task(auditing(sets, settings, stop), name="audit")
        following = tasks.create_task(
            _follow_projects(settings, broker, replica, archivers, health, stop), name="projects"
        )
        tasks.create_task(_report(replica, stop), name="report")
        await builder.warm()
        await stop.wait()
        following.cancel()


async def _follow_projects(
    settings: Settings,
    broker: Broker,
    replica: FeatureReplica,
    archivers: Archivers,
    health: rpc.Health,
    stop: asyncio.Event,
) -> None:
    """Adopt each generation of the project; reads of the old one go on until it is built."""

    async def adopt(applied: Applied) -> None:
        await archivers.adopt(work_of(applied.project, applied.generation))
        await replica.adopt(applied.project, applied.generation)
        await replica.caught_up()

    async with (
        contextlib.aclosing(projects(settings.registry, broker, stop)) as generations,
        contextlib.aclosing(newest(generations, adopt)) as adopted,
    ):
        async for _ in adopted:
            health.set(True)


async def _report(replica: FeatureReplica, stop: asyncio.Event) -> None:
    """Say in metrics how far the logs are and how many rows are held."""
    while not await until(stop, REPORT_SECONDS):
        rows: dict[str, int] = {}
        for one in replica.describe():
            topic = replica.spec(one.view).log(one.stream).name
            metrics.gauge(
                "tidemill_feature_log_position_records", topic=topic, partition=str(one.partition)
            ).set(one.position)
            rows[one.view] = rows.get(one.view, 0) + one.tiles
        for view, count in rows.items():
            metrics.gauge("tidemill_feature_state_rows", view=view).set(count)
