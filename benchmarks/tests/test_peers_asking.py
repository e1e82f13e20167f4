from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import grpc
import pytest

from benchmarks.peers import asking
from benchmarks.peers.processes import PeerFailed

SECONDS = 0.05


async def serve(reply: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"POST /it HTTP/1.1\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            writer.write(reply.replace(b"BODY", await reader.readexactly(length)))
    except asyncio.IncompleteReadError:
        pass  # the client is gone
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def server(reply: bytes) -> AsyncIterator[asking.Connect]:
    one = await asyncio.start_server(partial(serve, reply), "127.0.0.1", 0)
    async with one:
        port = one.sockets[0].getsockname()[1]
        yield partial(asking.over_http, "127.0.0.1", port, "/it")


async def test_a_connection_asks_again_and_again() -> None:
    async with (
        server(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nBODY") as connect,
        connect() as ask,
    ):
        assert [await ask(b"abcd"), await ask(b"efgh")] == [b"abcd", b"efgh"]


async def test_an_error_is_no_answer() -> None:
    async with (
        server(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno") as connect,
        connect() as ask,
    ):
        with pytest.raises(PeerFailed, match="500 No"):
            await ask(b"abcd")


class Echo(grpc.GenericRpcHandler):
    """Answers with the request, and refuses one that is empty."""

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        if details.method != "/it.Service/Echo":
            return None

        async def echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            if not request:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "empty")
            return request

        return grpc.unary_unary_rpc_method_handler(echo)


@asynccontextmanager
async def grpc_server(method: str = "/it.Service/Echo") -> AsyncIterator[asking.Connect]:
    one = grpc.aio.server()
    one.add_generic_rpc_handlers([Echo()])
    port = one.add_insecure_port("127.0.0.1:0")
    await one.start()
    try:
        yield partial(asking.over_grpc, f"127.0.0.1:{port}", method)
    finally:
        await one.stop(None)


async def test_calls_over_one_connection_have_their_own_replies() -> None:
    bodies = [bytes([number % 251]) * (number * 397 % 50_000 + 1) for number in range(300)]
    async with grpc_server() as connect, connect() as ask:
        assert [await ask(body) for body in bodies] == bodies


async def test_a_refused_call_is_no_answer() -> None:
    async with grpc_server() as connect, connect() as ask:
        with pytest.raises(PeerFailed, match="no message"):
            await ask(b"")


async def test_an_unknown_method_is_no_answer() -> None:
    async with grpc_server("/it.Service/Other") as connect, connect() as ask:
        with pytest.raises(PeerFailed, match="no message"):
            await ask(b"abcd")


async def test_every_client_asks_until_the_end() -> None:
    asked: list[bytes] = []
    clients = 3

    @asynccontextmanager
    async def connect() -> AsyncIterator[asking.Ask]:
        async def ask(body: bytes) -> bytes:
            asked.append(body)
            await asyncio.sleep(SECONDS / 5)
            return body

        yield ask

    taken = await asking.measure(connect, [b"a", b"b"], clients, SECONDS)
    assert len(taken) == len(asked) - clients  # the first of each is not counted
    assert len(taken) >= clients
    assert set(asked) == {b"a", b"b"}
    assert min(taken) >= SECONDS / 10
