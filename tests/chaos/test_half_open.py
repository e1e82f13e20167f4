"""A client notices a connection whose other side is gone and does not say so, and takes a new one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.chaos.proxy import FaultProxy, Mode, proxying
from tidemill import transport
from tidemill.errors import TidemillError
from tidemill_common.rpc import client

SERVICE = "tidemill.test.v1.Echo"
KEEPALIVE_MS = 300


@contextlib.asynccontextmanager
async def an_echo() -> AsyncIterator[int]:
    """Serve a method that answers what it gets."""

    async def echo(request: StringValue, _: object) -> StringValue:
        return request

    handler = grpc.unary_unary_rpc_method_handler(
        echo, StringValue.FromString, StringValue.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Echo": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def of_the_sdk(port: int) -> AsyncIterator[grpc.aio.Channel]:
    async with transport.channel(f"127.0.0.1:{port}") as channel:
        yield channel


@contextlib.asynccontextmanager
async def of_a_service(port: int) -> AsyncIterator[grpc.aio.Channel]:
    async with client.connected(f"127.0.0.1:{port}") as channel:
        yield channel


@contextlib.asynccontextmanager
async def proxied(free_port: int) -> AsyncIterator[FaultProxy]:
    async with an_echo() as port, proxying(free_port, port) as proxy:
        yield proxy


@pytest.mark.parametrize("connected", [of_the_sdk, of_a_service])
async def test_a_call_is_answered_again_soon_after_its_connection_was_forgotten(
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    connected: Callable[[int], contextlib.AbstractAsyncContextManager[grpc.aio.Channel]],
) -> None:
    for module in (transport, client):
        monkeypatch.setattr(module, "KEEPALIVE_MS", KEEPALIVE_MS)
        monkeypatch.setattr(module, "PING_TIMEOUT_MS", KEEPALIVE_MS)
    async with proxied(free_port) as proxy, connected(free_port) as channel:
        method = channel.unary_unary(
            f"/{SERVICE}/Echo",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )
        request = StringValue(value="hello")
        assert await client.call(method, request) == request
        proxy.set(Mode.HALF_OPEN)
        began = time.monotonic()
        answered = False
        while not answered and time.monotonic() < began + 10.0:
            with contextlib.suppress(TidemillError):
                answered = await client.call(method, request, timeout=5.0) == request
        assert answered
        assert time.monotonic() - began < 4.0
