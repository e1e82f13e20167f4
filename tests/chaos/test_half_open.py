"""A client notices a connection whose other side is gone and does not say so, and takes a new one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.chaos.proxy import FaultProxy, Mode, proxying
from tests.chaos.stage import Stage, staged
from tidemill import transport
from tidemill.errors import TidemillError
from tidemill_common import topics
from tidemill_common.kafka import (
    Broker,
    TopicPartition,
    administering,
    producer,
    producing,
    reading,
)
from tidemill_common.rpc import client
from tidemill_local.ports import LOOPBACK

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


@contextlib.asynccontextmanager
async def a_broker(folder: Path) -> AsyncIterator[tuple[Stage, Broker]]:
    """Start a broker, and say how ingestion reaches it."""
    async with staged(folder, ["kafka"]) as stage:
        yield stage, Broker(f"{LOOPBACK}:{stage.edges['ingestion']}", "half-open")


@pytest.mark.stack
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", [Mode.HALF_OPEN, Mode.BLACK_HOLE])
async def test_a_producer_that_lost_its_broker_goes_on_and_leaves_no_task_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    monkeypatch.setattr(producer, "STALLED_SECONDS", 1.0)
    async with a_broker(tmp_path) as (stage, broker), administering(stage.broker) as admin:
        topic = topics.events("lost")
        await admin.ensure([topic])
        async with producing(broker) as sending:
            await sending.send(topic.name, b"before")
            before = len(asyncio.all_tasks())
            stage.proxies["ingestion"].set(mode)
            sent = [sending.enqueue(topic.name, b"meanwhile", partition=p) for p in range(2)]
            await asyncio.sleep(2.5)
            stage.proxies["ingestion"].set(Mode.OPEN)
            async with asyncio.timeout(20.0):
                await asyncio.gather(*sent)
                await sending.send(topic.name, b"after")
            async with asyncio.timeout(10.0):
                while len(asyncio.all_tasks()) > before:
                    await asyncio.sleep(0.1)


@pytest.mark.stack
@pytest.mark.timeout(120)
async def test_who_gives_up_asking_early_finds_a_new_connection_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_OFFSETS_SECONDS", 1.5)
    async with a_broker(tmp_path) as (stage, broker), administering(stage.broker) as admin:
        topic = topics.events("asked")
        await admin.ensure([topic])
        tp = TopicPartition(topic.name, 0)
        async with reading.reading(broker) as client:
            assert await reading.ends(client, [tp]) == {tp: 0}
            stage.proxies["ingestion"].set(Mode.HALF_OPEN)
            began = time.monotonic()
            found: dict[TopicPartition, int] = {}
            while not found and time.monotonic() < began + 10.0:
                with contextlib.suppress(TimeoutError, TidemillError):
                    async with asyncio.timeout(1.0):
                        found = await reading.ends(client, [tp])
            assert found == {tp: 0}
