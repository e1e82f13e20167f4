"""The registry, whole: what it talks to, in what order it starts, how it stops."""

from __future__ import annotations

import asyncio

from tidemill.registry.v1.erasure_service_pb2_grpc import add_ErasureServiceServicer_to_server
from tidemill.registry.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from tidemill_common import rpc, topics
from tidemill_common.artifacts import Artifacts
from tidemill_common.clock import SystemClock
from tidemill_common.kafka import Broker, administering, producing
from tidemill_common.postgres import connected, migrate, relay
from tidemill_registry.chaining import Anchors, chain_audit
from tidemill_registry.erasure_servicer import ERASURE_METHODS, ErasureServicer
from tidemill_registry.gatekeeper import Gatekeeper
from tidemill_registry.handlers import Registry
from tidemill_registry.renaming import follow_names
from tidemill_registry.servicer import METHODS, RegistryServicer
from tidemill_registry.settings import Settings
from tidemill_registry.store import Store

SCHEMA = "registry"
ANCHORS = "audit-anchors.jsonl"


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`; what is committed and not yet announced leaves after the next start."""
    broker = Broker(settings.kafka, client="registry")
    await migrate(settings.postgres, schema=SCHEMA, package="tidemill_registry.sql")
    async with (
        connected(settings.postgres, schema=SCHEMA, max_size=settings.connections) as pool,
        administering(broker) as admin,
        producing(broker) as producer,
    ):
        await admin.ensure([topics.REGISTRY_EVENTS])
        clock = SystemClock()
        registry = Registry(Store(pool), Artifacts(settings.artifacts), clock)
        await registry.store.run(follow_names)
        anchors = Anchors(settings.data / ANCHORS)
        gatekeeper = Gatekeeper(
            registry,
            settings.serving,
            settings.gate_requests,
            settings.gate_timeout_s,
            settings.gate_seconds,
        )
        chaining = chain_audit(
            registry.store,
            anchors,
            clock,
            stop,
            every_s=settings.chain_seconds,
            anchor_s=settings.anchor_seconds,
        )
        servicer = RegistryServicer(registry, anchors)
        services = [
            rpc.Service(add_RegistryServiceServicer_to_server, servicer),
            rpc.Service(add_ErasureServiceServicer_to_server, ErasureServicer(registry)),
        ]
        methods = METHODS | ERASURE_METHODS
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(relay(pool, producer, stop, hint=registry.announced), name="outbox")
            tasks.create_task(chaining, name="audit")
            tasks.create_task(gatekeeper.run(stop), name="gatekeeper")
            tasks.create_task(rpc.serve(services, methods, settings.listen, stop), name="rpc")
