"""The one server wrapper: limits, a default-deny table of methods, health, a graceful stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection as grpc_reflection

from tidemill.errors import Misconfigured
from tidemill_common.rpc.health import Health
from tidemill_common.rpc.rules import ALWAYS, Rule
from tidemill_common.rpc.wrapping import refuse, wrap

GRACE_SECONDS = 10.0
_CRASH_GRACE_SECONDS = 1.0
_NATIVE = "pip install 'tidemill[native]'"
Engine = Literal["aio", "native"]
"""What serves HTTP/2: grpc.aio, or pygrpc-native (Rust, no TLS) behind the same servicers."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """A generated `add_…Servicer_to_server` and the servicer it registers."""

    add_to_server: Callable[[Any, Any], None]
    servicer: object


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection and one message may cost."""

    message_bytes: int = 4 << 20
    streams: int = 128
    metadata_bytes: int = 16_384
    connection_age_ms: int = 300_000
    connection_grace_ms: int = 30_000
    ping_ms: int = 2_000
    """A client that asks for signs of life more often than this loses its connection."""

    def options(self) -> list[tuple[str, int]]:
        """Return the channel arguments of the server."""
        return [
            ("grpc.max_receive_message_length", self.message_bytes),
            ("grpc.max_send_message_length", self.message_bytes),
            ("grpc.max_concurrent_streams", self.streams),
            ("grpc.max_metadata_size", self.metadata_bytes),
            ("grpc.max_connection_age_ms", self.connection_age_ms),
            ("grpc.max_connection_age_grace_ms", self.connection_grace_ms),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.http2.ping_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", self.ping_ms),
            ("grpc.so_reuseport", 0),
        ]


class _Collector:
    """Stands where generated code expects a server, and keeps the handlers it registers."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Take nothing: the same methods come by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Keep each method by its full name."""
        for name, handler in handlers.items():
            self.handlers[f"/{service}/{name}"] = handler

    @property
    def services(self) -> set[str]:
        """Return the names of the services that were registered."""
        return {method.split("/")[1] for method in self.handlers}


class _Table(grpc.GenericRpcHandler):
    """Finds the handler of a call; what has no rule is refused."""

    def __init__(self, handlers: Mapping[str, Any]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of the called method."""
        method = handler_call_details.method
        return self._handlers.get(method) or refuse(method)


def table(services: Sequence[Service], methods: Mapping[str, Rule]) -> dict[str, Any]:
    """Return the wrapped handler of every method; Misconfigured names those without a rule."""
    collected = _Collector()
    for service in services:
        service.add_to_server(service.servicer, collected)
    known = {**ALWAYS, **methods}
    if missing := sorted(set(collected.handlers) - set(known)):
        raise Misconfigured(f"methods without a rule: {', '.join(missing)}")
    if unknown := sorted(set(methods) - set(collected.handlers)):
        raise Misconfigured(f"rules without a method: {', '.join(unknown)}")
    return {name: wrap(name, handler, known[name]) for name, handler in collected.handlers.items()}


async def serve(
    services: Sequence[Service],
    methods: Mapping[str, Rule],
    listen: str,
    stop: asyncio.Event,
    *,
    health: Health | None = None,
    reflection: bool = False,
    grace: float = GRACE_SECONDS,
    on_bound: Callable[[int], None] | None = None,
    limits: Limits | None = None,
    engine: Engine = "aio",
) -> None:
    """Serve on `listen` (host:port) until told to stop.

    1. NOT_SERVING. 2. New calls are refused, running ones have `grace` seconds. 3. The rest is
    cancelled. Misconfigured if the address is taken or a method has no rule; a method that is not
    in the table is answered PERMISSION_DENIED.
    """
    health = health or Health()
    handlers = table([*services, *_standard(services, health, reflection=reflection)], methods)
    server = _server(engine, limits or Limits(), handlers)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise Misconfigured(f"cannot listen on {listen}: is it taken?") from error
    await server.start()
    for service in _names(services):
        health.follow(service)
    health.publish_all()
    logger.info("rpc.listening", extra={"listen": listen, "port": port})
    if on_bound is not None:
        on_bound(port)
    left = _CRASH_GRACE_SECONDS
    try:
        await stop.wait()
        left = grace
    finally:
        health.close()
        await server.stop(left)
        logger.info("rpc.stopped", extra={"listen": listen})


def _server(engine: Engine, limits: Limits, handlers: Mapping[str, Any]) -> Any:
    """Make the server; what no handler is registered for falls to the table, which refuses it."""
    if engine == "aio":
        server: Any = grpc.aio.server(options=limits.options())
    else:
        try:
            import pygrpc_native.aio
        except ImportError as error:
            raise Misconfigured("engine native needs pygrpc-native", hint=_NATIVE) from error
        # It cannot close connections by age; callers reach a new process by its readiness.
        options = [pair for pair in limits.options() if "connection_age" not in pair[0]]
        server = pygrpc_native.aio.server(options=options)
        by_service: dict[str, dict[str, Any]] = {}
        for method, handler in handlers.items():
            _, service, name = method.split("/")
            by_service.setdefault(service, {})[name] = handler
        for service, named in by_service.items():
            server.add_registered_method_handlers(service, named)
    server.add_generic_rpc_handlers((_Table(handlers),))
    return server


def _names(services: Sequence[Service]) -> list[str]:
    """Return the full names of services."""
    collected = _Collector()
    for service in services:
        service.add_to_server(service.servicer, collected)
    return sorted(collected.services)


def _standard(services: Sequence[Service], health: Health, *, reflection: bool) -> list[Service]:
    """Return the services every server has."""
    standard = [Service(health_pb2_grpc.add_HealthServicer_to_server, health.servicer)]
    if reflection:
        names = [*_names(services), "grpc.health.v1.Health", grpc_reflection.SERVICE_NAME]
        standard.append(Service(_add_reflection(names), object()))
    return standard


def _add_reflection(names: Sequence[str]) -> Callable[[Any, Any], None]:
    """Return the registration of the reflection service for `names`."""

    def add(_: object, collector: Any) -> None:
        from grpc_reflection.v1alpha import reflection_pb2_grpc
        from grpc_reflection.v1alpha._async import ReflectionServicer

        register: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        register(ReflectionServicer(names), collector)

    return add
