"""Serving, whole: what it talks to, in what order it starts, how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

from tidemill.errors import TidemillError, Transient
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill.serving.v1.serving_service_pb2_grpc import add_ServingServiceServicer_to_server
from tidemill_common import rpc, topics
from tidemill_common.app import until
from tidemill_common.artifacts import Artifacts
from tidemill_common.clock import SystemClock
from tidemill_common.feature_replica import replicating
from tidemill_common.kafka import Broker, administering, producing
from tidemill_common.postgres import connected, migrate
from tidemill_common.project_source import Applied, newest, projects
from tidemill_serving import inference, servicer, triton
from tidemill_serving.controller import Controller
from tidemill_serving.definitions import model_specs
from tidemill_serving.definitions import warm_up as warm_up_model
from tidemill_serving.fleet import Fleet
from tidemill_serving.handlers import Predictions
from tidemill_serving.hydration import Hydrator
from tidemill_serving.lane import Lane
from tidemill_serving.prediction_log import PredictionLog
from tidemill_serving.recovery import forget_leftovers, watch
from tidemill_serving.repository import Repository
from tidemill_serving.routes import RouteSource
from tidemill_serving.shadow import Shadowing
from tidemill_serving.store import Store
from tidemill_serving.trip_reports import Trips
from tidemill_serving.versions import Loader
from tidemill_tiles.kernels import warm_up

if TYPE_CHECKING:
    from tidemill_common.feature_replica import FeatureReplica
    from tidemill_serving.definitions import ModelSpec
    from tidemill_serving.held import Held
    from tidemill_serving.predictor import ModelServer
    from tidemill_serving.settings import Settings

logger = logging.getLogger(__name__)

REPLICA_SECONDS = 0.2
LEFTOVER_SECONDS = 30.0


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`: requests end first, then the log is written, then everything closes."""
    await asyncio.to_thread(warm_up)
    broker, clock = Broker(settings.kafka, client="serving"), SystemClock()
    await migrate(settings.postgres, schema="serving", package="tidemill_serving.sql")
    async with (
        connected(settings.postgres, schema="serving") as pool,
        producing(broker) as producer,
        replicating(broker, clock) as replica,
        rpc.connected(
            settings.registry, retry=["tidemill.registry.v1.RegistryService/GetRollout"]
        ) as registry,
        triton.connected(settings.triton, settings.triton_key.reveal()) as server,
    ):
        stub = RegistryServiceStub(registry)
        store = Store(pool, f"{socket.gethostname()}-{os.getpid()}")
        artifacts = Artifacts(settings.artifacts)
        loader = Loader(server, Repository(settings.triton_models, settings.platform), artifacts)
        trips = Trips(store)
        fleet = Fleet(
            loader,
            lambda held, spec: _lane(settings, held, spec, replica, server, clock),
            grace=settings.grace_s,
            on_trip=trips.report,
        )
        routes = RouteSource(stub, fleet.want)
        log = PredictionLog(producer, limit=settings.log_rows)
        shadow = Shadowing()
        predictions = Predictions(fleet, replica, log, shadow, clock)
        health = rpc.Health(ready=False)
        services = [
            rpc.Service(
                inference.add_to_server, inference.InferenceServicer(fleet, predictions, health)
            ),
            rpc.Service(
                add_ServingServiceServicer_to_server,
                servicer.Servicer(fleet, loader, predictions, log),
            ),
        ]
        served = asyncio.Event()  # set when no request can come any more
        try:
            async with asyncio.TaskGroup() as writing:
                writing.create_task(log.run(served), name="log")
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(
                        _projects(settings.registry, broker, replica, fleet, stop), name="projects"
                    )
                    tasks.create_task(routes.run(broker, stop), name="routes")
                    tasks.create_task(watch(fleet, loader, server, stop), name="recovery")
                    tasks.create_task(_tidy(fleet, server, loader, stop), name="tidy")
                    tasks.create_task(
                        _readiness(fleet, replica, routes, health, stop), name="readiness"
                    )
                    tasks.create_task(shadow.run(predictions, stop), name="shadow")
                    tasks.create_task(trips.run(stop), name="trips")
                    controller = Controller(store, stub, broker, fleet, routes.rows)
                    tasks.create_task(controller.run(stop), name="rollout")
                    tasks.create_task(
                        rpc.serve(
                            services,
                            {**inference.METHODS, **servicer.METHODS},
                            settings.listen,
                            stop,
                            health=health,
                            reflection=True,
                            engine=settings.engine,
                        ),
                        name="rpc",
                    )
                served.set()
        finally:
            await fleet.close()


def _lane(
    settings: Settings,
    held: Held,
    spec: ModelSpec,
    replica: FeatureReplica,
    server: ModelServer,
    clock: SystemClock,
) -> Lane:
    return Lane(
        held,
        spec,
        Hydrator(spec, replica, clock.now_us),
        server,
        cap=settings.batch_rows,
        inflight=settings.calls,
        limit=settings.waiting_rows,
        patience=settings.patience_s,
    )


async def _projects(
    registry: str, broker: Broker, replica: FeatureReplica, fleet: Fleet, stop: asyncio.Event
) -> None:
    """Take up every generation: log topics, then the views, then the models that read them.

    The views of one that is held are followed too, so that a switch waits for nothing.
    """

    async def adopt(applied: Applied) -> None:
        if applied.generation != replica.generation:
            await _adopt(applied, broker, replica, fleet)
        await _hold(applied, replica)

    async with (
        contextlib.aclosing(projects(registry, broker, stop, held=True)) as generations,
        contextlib.aclosing(newest(generations, adopt)) as adopted,
    ):
        async for applied in adopted:
            logger.info("project.adopted", extra={"generation": applied.generation})


async def _adopt(applied: Applied, broker: Broker, replica: FeatureReplica, fleet: Fleet) -> None:
    """Take up one generation; a broker that is away only delays."""
    specs = model_specs(applied.project, applied.generation)
    for spec in specs.values():
        await asyncio.to_thread(warm_up_model, spec)
    while True:
        try:
            async with administering(broker) as admin:
                await admin.ensure(
                    topics.predictions(model.name) for model in applied.project.models
                )
            await replica.adopt(applied.project, applied.generation)
        except Transient as error:
            logger.warning("project.waits", extra={"error": repr(error)})
            await asyncio.sleep(1.0)
        else:
            break
    fleet.define(specs)


async def _hold(applied: Applied, replica: FeatureReplica) -> None:
    """Follow what is held; a broker that is away only delays."""
    while True:
        try:
            return await replica.hold(applied.held)
        except Transient as error:
            logger.warning("project.waits", extra={"error": repr(error)})
            await asyncio.sleep(1.0)


async def _readiness(
    fleet: Fleet,
    replica: FeatureReplica,
    routes: RouteSource,
    health: rpc.Health,
    stop: asyncio.Event,
) -> None:
    """Serve when the tables are known and every champion can answer (or there is none yet)."""
    await _first(routes.loaded, stop)
    while not stop.is_set():
        ready = fleet.ready and (replica.ready or not fleet.has_champion)
        if health.ready != ready:
            health.set(ready)
            logger.info("serving.ready" if ready else "serving.not_ready")
        await until(stop, REPLICA_SECONDS)


async def _tidy(fleet: Fleet, server: ModelServer, loader: Loader, stop: asyncio.Event) -> None:
    """Once, when everything wanted had time to load: forget what an earlier life left behind."""
    if await until(stop, LEFTOVER_SECONDS):
        return
    try:
        await forget_leftovers(fleet, server, loader)
    except TidemillError as error:
        logger.warning("serving.not_tidied", extra={"error": repr(error)})


async def _first(*events: asyncio.Event) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
