"""The worker, whole: offers what the machine has, leases one run at a time, stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.errors import NotFound, Transient
from tidemill.features.v1.feature_service_pb2_grpc import FeatureServiceStub
from tidemill.registry.v1 import registry_service_pb2 as registry_pb2
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill.training.v1 import training_service_pb2 as pb
from tidemill.training.v1.training_service_pb2_grpc import TrainingServiceStub
from tidemill_common import rpc
from tidemill_common.artifacts import Artifacts
from tidemill_common.verdict import Backoff
from tidemill_training.attempt import Attempt, Ports
from tidemill_training.children import Children, Failed

if TYPE_CHECKING:
    from tidemill_training.settings import WorkerSettings

logger = logging.getLogger(__name__)

_LEASE_WAIT: Final = 20.0
"""The controller holds an empty answer back for less than this."""
_RETRY: Final = (
    "tidemill.registry.v1.RegistryService/GetProject",
    "tidemill.registry.v1.RegistryService/GetVersion",
    "tidemill.features.v1.FeatureService/DescribeViews",
    "tidemill.training.v1.TrainingService/Heartbeat",
)


async def work(settings: WorkerSettings, stop: asyncio.Event) -> None:
    """Lease and do runs until `stop`; a run in hand goes back to the queue."""
    children = Children(settings.threads, settings.log_level)
    health = rpc.Health(ready=True)
    async with (
        rpc.connected(settings.training, retry=_RETRY) as training,
        rpc.connected(settings.features, retry=_RETRY) as features,
        rpc.connected(settings.registry, retry=_RETRY) as registry,
        asyncio.TaskGroup() as tasks,
    ):
        ports = Ports(
            TrainingServiceStub(training),
            FeatureServiceStub(features),
            RegistryServiceStub(registry),
            Artifacts(settings.artifacts),
            settings.artifacts,
            children,
            settings.checkpoint_s,
        )
        tasks.create_task(rpc.serve([], {}, settings.listen, stop, health=health), name="rpc")
        leasing = tasks.create_task(_lease(ports, offer(settings)), name="lease")
        await stop.wait()
        leasing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leasing
        await children.close()


async def _lease(ports: Ports, request: pb.LeaseRunRequest) -> None:
    """Take runs, one after the other, with a warm process waiting for each."""
    backoff, failed = Backoff(first=0.2, cap=5.0), 0
    generation = ""
    while True:
        try:
            await ports.children.warm()
            reply = await rpc.call(ports.training.LeaseRun, request, timeout=_LEASE_WAIT)
        except (Transient, Failed) as error:
            failed += 1
            logger.warning("lease.waiting", extra={"error": str(error), "attempt": failed})
            await asyncio.sleep(backoff.delay(failed))
            continue
        failed = 0
        if reply.HasField("run"):
            run = reply.run
            logger.info("run.leased", extra={"run": run.run_id, "attempt": run.attempt})
            await Attempt(run, ports).execute(reply.lease.ToNanoseconds() / 1e9)
        else:
            generation = await _prepare(ports, generation)


async def _prepare(ports: Ports, prepared: str) -> str:
    """Get ready for the models of a new generation while nothing is to do; return which it was."""
    try:
        project = await rpc.call(ports.registry.GetProject, registry_pb2.GetProjectRequest())
    except (NotFound, Transient):
        return prepared
    if project.generation != prepared:
        try:
            for model in project.project.models:
                await ports.children.prepare(model.SerializeToString(deterministic=True))
        except Failed as error:
            logger.warning("worker.not_prepared", extra={"error": str(error)})
    generation: str = project.generation
    return generation


def offer(settings: WorkerSettings) -> pb.LeaseRunRequest:
    """Say who asks and what the machine has."""
    gpus = settings.gpus if settings.gpus >= 0 else len(list(Path("/dev").glob("nvidia[0-9]*")))
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return pb.LeaseRunRequest(
        worker=f"{socket.gethostname()}/{os.getpid()}",
        gpus=gpus,
        memory_mb=settings.memory_mb or pages >> 20,
    )
