"""The server process: FeatureService with its replica, archivers, eraser and builder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from tidemill.features.v1.feature_service_pb2_grpc import add_FeatureServiceServicer_to_server
from tidemill_common import metrics, rpc
from tidemill_common.app import until
from tidemill_common.collector import collect_seldom
from tidemill_common.currency import of_registry
from tidemill_common.erasures import Refusing, first_list, refuse
from tidemill_common.feature_replica import FeatureReplica, replicating
from tidemill_common.kafka import Broker, administering
from tidemill_common.project_source import Applied, newest, projects
from tidemill_features.archiving import Archivers
from tidemill_features.auditing import auditing
from tidemill_features.building import BUILDER, INSPECTOR, building
from tidemill_features.definitions import all_work
from tidemill_features.erasure.eraser import Eraser
from tidemill_features.erasure.plan import Planner
from tidemill_features.handlers import Sets
from tidemill_features.inspecting import Inspector
from tidemill_features.progress import Pace
from tidemill_features.servicer import METHODS, FeatureServicer
from tidemill_features.waiting import reachable
from tidemill_tiles.kernels import warm_up

if TYPE_CHECKING:
    from tidemill_features.settings import Settings

logger = logging.getLogger(__name__)
REPORT_SECONDS: Final = 5.0
SECOND_US: Final = 1_000_000


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve reads as soon as every view is complete; archive and build beside."""
    warm_up()
    collect_seldom()
    broker = Broker(settings.kafka, client="features-server")
    health = rpc.Health(ready=False)
    if not await reachable(broker, stop):
        return
    async with (
        administering(broker) as admin,
        building(BUILDER) as builder,
        building(INSPECTOR) as inspecting,
        replicating(broker) as replica,
        asyncio.TaskGroup() as tasks,
    ):
        refusing = Refusing()
        archivers = Archivers(broker, admin, settings.archive, settings.archive_bytes, refusing)
        sets = Sets(settings, broker, admin, archivers, builder)
        inspector = Inspector(settings, replica, archivers, inspecting)
        eraser = Eraser(settings, broker, admin, archivers, builder, refusing)
        planner = Planner(settings, broker, admin, archivers, replica)
        pace = Pace()
        current = of_registry(settings.registry)
        servicer = FeatureServicer(replica, sets, inspector, planner, broker, admin, pace, current)
        service = rpc.Service(add_FeatureServiceServicer_to_server, servicer)
        tasks.create_task(
            rpc.serve(
                [service], METHODS, settings.listen, stop, health=health, engine=settings.engine
            ),
            name="rpc",
        )
        if settings.archiver:
            tasks.create_task(archivers.run(stop, settings.archive_seconds), name="archivers")
            tasks.create_task(auditing(sets, settings, stop), name="audit")
            tasks.create_task(eraser.run(stop), name="eraser")
        tasks.create_task(refuse(settings.registry, refusing, stop), name="erasures")
        following = tasks.create_task(
            _follow_projects(settings, broker, replica, archivers, eraser, health, stop),
            name="projects",
        )
        tasks.create_task(_report(replica, pace, stop), name="report")
        await builder.warm()
        await stop.wait()
        following.cancel()


async def _follow_projects(
    settings: Settings,
    broker: Broker,
    replica: FeatureReplica,
    archivers: Archivers,
    eraser: Eraser,
    health: rpc.Health,
    stop: asyncio.Event,
) -> None:
    """Adopt each generation of the project; reads of the old one go on until it is built.

    Nothing is archived before the list of erased entities is known.
    """
    eraser.refusing.now = (await first_list(settings.registry, stop)).now

    async def adopt(applied: Applied) -> None:
        work = all_work(applied)
        await archivers.adopt(work)
        eraser.work = work
        await replica.adopt(applied.project, applied.generation)
        await replica.caught_up()
        await replica.hold(applied.held)

    async with (
        contextlib.aclosing(projects(settings.registry, broker, stop, held=True)) as generations,
        contextlib.aclosing(newest(generations, adopt)) as adopted,
    ):
        async for _ in adopted:
            health.set(True)


async def _report(replica: FeatureReplica, pace: Pace, stop: asyncio.Event) -> None:
    """Say in metrics how far the logs are, what is held, and how old their snapshots are."""
    while not await until(stop, REPORT_SECONDS):
        states = replica.describe()
        if replica.next is not None:
            records = sum(max(0, one.position) for one in replica.describe_next())
            pace.saw(replica.next.generation, time.monotonic(), records)
        for one in states:
            topic = replica.spec(one.view).log(one.stream).name
            labels = {"topic": topic, "partition": str(one.partition)}
            metrics.gauge("tidemill_feature_log_position_records", **labels).set(one.position)
            silence = one.since_last_record_us / SECOND_US
            metrics.gauge("tidemill_feature_log_silence_seconds", **labels).set(max(0.0, silence))
            age, running = one.snapshot_age_us / SECOND_US, one.snapshot_open_us / SECOND_US
            metrics.gauge("tidemill_feature_snapshot_age_seconds", **labels).set(max(0.0, age))
            metrics.gauge("tidemill_feature_snapshot_open_seconds", **labels).set(max(0.0, running))
        for view in replica.views:
            mine = [one for one in states if one.view == view]
            rows, size = sum(one.tiles for one in mine), sum(one.state_bytes for one in mine)
            metrics.gauge("tidemill_feature_state_rows", view=view).set(rows)
            metrics.gauge("tidemill_feature_view_bytes", view=view).set(size)
            entities = sum(one.entities for one in mine)
            metrics.gauge("tidemill_feature_view_entities", view=view).set(entities)
