"""The controller, whole: what it talks to, in what order it starts, how it stops."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from tidemill.errors import Transient
from tidemill.training.v1.training_service_pb2_grpc import add_TrainingServiceServicer_to_server
from tidemill_common import metrics, rpc, topics
from tidemill_common.app import until
from tidemill_common.clock import SystemClock
from tidemill_common.kafka import Broker, administering, consume, producing
from tidemill_common.postgres import connected, migrate, relay
from tidemill_common.project_source import projects
from tidemill_training.changes import Changes
from tidemill_training.handlers import LABELS, Policies, generation
from tidemill_training.servicer import METHODS, TrainingServicer
from tidemill_training.store.runs import Runs
from tidemill_training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill_common.kafka import Admin, Producer, Record
    from tidemill_common.project_source import Applied
    from tidemill_training.settings import Settings

logger = logging.getLogger(__name__)

SCHEMA: Final = "training"
GROUP: Final = "training"
_SWEEPS_PER_LEASE: Final = 5


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`: the queue answers even while no project is applied."""
    broker = Broker(settings.kafka, client="training")
    await migrate(settings.postgres, schema=SCHEMA, package="tidemill_training.sql")
    async with (
        connected(settings.postgres, schema=SCHEMA) as pool,
        administering(broker) as admin,
        producing(broker) as producer,
        asyncio.TaskGroup() as tasks,
    ):
        own = (topics.TRAINING_REQUESTS, topics.REGISTRY_EVENTS, topics.ALERTS)
        await admin.ensure([*own, *(topics.dead_letters(topic.name) for topic in own[1:])])
        runs = Runs(pool, settings.lease_s, settings.attempts)
        policies, changes = Policies(pool), Changes()
        workers = Workers(SystemClock(), settings.lease_s)
        servicer = TrainingServicer(runs, policies, workers, changes, stop)
        service = rpc.Service(add_TrainingServiceServicer_to_server, servicer)
        policing = _Policing(settings.registry, broker, admin, producer, policies, changes)
        tasks.create_task(relay(pool, producer, stop), name="outbox")
        tasks.create_task(policing.run(stop), name="policies")
        tasks.create_task(_sweep(runs, workers, changes, stop), name="leases")
        tasks.create_task(rpc.serve([service], METHODS, settings.listen, stop), name="rpc")


class _Policing:
    """Consumes what the policies of the current project need; starts over when that changes."""

    def __init__(
        self,
        registry: str,
        broker: Broker,
        admin: Admin,
        producer: Producer,
        policies: Policies,
        changes: Changes,
    ) -> None:
        self._registry = registry
        self._broker = broker
        self._admin = admin
        self._producer = producer
        self._policies = policies
        self._changes = changes

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the project and the topics of its models."""
        names: tuple[str, ...] = ()
        halt = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            consuming: asyncio.Task[None] | None = None
            async for applied in projects(self._registry, self._broker, stop):
                self._policies.current = generation(applied)
                logger.info("policies.applied", extra={"generation": applied.generation})
                wanted = await self._ensure(applied)
                if wanted == names and consuming is not None:
                    continue
                halt.set()
                if consuming is not None:
                    await consuming
                names, halt = wanted, asyncio.Event()
                consuming = tasks.create_task(self._consume(names, halt), name="consume")
            halt.set()

    async def _ensure(self, applied: Applied) -> tuple[str, ...]:
        labels = [topics.labels(model.name) for model in applied.project.models]
        await self._admin.ensure([*labels, *(topics.dead_letters(t.name) for t in labels)])
        return (topics.REGISTRY_EVENTS.name, topics.ALERTS.name, *(t.name for t in labels))

    async def _consume(self, names: tuple[str, ...], halt: asyncio.Event) -> None:
        await consume(
            names,
            self._handle,
            self._broker,
            halt,
            group=GROUP,
            producer=self._producer,
            first="start",
            service="training",
            stage="policies",
        )

    async def _handle(self, records: Sequence[Record]) -> None:
        await self._policies.handle(records)
        if records[0].topic.startswith(LABELS):
            model = records[0].topic.removeprefix(LABELS)
            metrics.counter("tidemill_labels_total", model=model).inc(len(records))
        self._changes.notify()


async def _sweep(runs: Runs, workers: Workers, changes: Changes, stop: asyncio.Event) -> None:
    """Take runs from silent workers, and say how many are open and how many workers there are."""
    seen: set[str] = set()
    while not await until(stop, runs.lease_s / _SWEEPS_PER_LEASE):
        metrics.gauge("tidemill_workers_alive").set(workers.alive())
        try:
            for run in await runs.expire():
                logger.warning(
                    "run.lease_expired", extra={"run": run.run_id, "attempt": run.attempt}
                )
                changes.notify()
            counted = await runs.open_by_model()
        except Transient as error:
            logger.warning("leases.waiting", extra={"error": str(error)})
            continue
        seen |= set(counted)
        for model in seen:
            metrics.gauge("tidemill_runs_open", model=model).set(counted.get(model, 0))
