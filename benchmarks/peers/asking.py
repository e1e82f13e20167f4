"""Clients that ask a server again and again: over gRPC or HTTP, in bytes made before."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

from benchmarks.peers.grpc_wire import Connection
from benchmarks.peers.processes import PeerFailed

Ask = Callable[[bytes], Awaitable[bytes]]
Connect = Callable[[], AbstractAsyncContextManager[Ask]]
TIMEOUT_S = 30.0
OK = b" 200 "


@asynccontextmanager
async def over_grpc(address: str, method: str) -> AsyncIterator[Ask]:
    """Connect once and call one method."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    connect = partial(Connection, address, method)
    transport, connection = await loop.create_connection(connect, host, int(port))
    try:
        yield connection.ask
    finally:
        transport.close()


@asynccontextmanager
async def over_http(host: str, port: int, path: str) -> AsyncIterator[Ask]:
    """Connect once and post JSON; a reply must have its length in its head."""
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"

    async def ask(body: bytes) -> bytes:
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, *fields = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        named = dict(one.lower().split(b": ", 1) for one in fields if one)
        reply = await reader.readexactly(int(named[b"content-length"]))
        if OK not in status:
            raise PeerFailed(f"{status.decode()}: {reply[:200]!r}")
        return reply

    try:
        yield ask
    finally:
        writer.close()
        await writer.wait_closed()


async def measure(
    connect: Connect, bodies: Sequence[bytes], clients: int, seconds: float
) -> list[float]:
    """Ask by so many clients for so long, each one request at a time; return each one's seconds."""
    taken: list[float] = []
    async with AsyncExitStack() as connections, asyncio.timeout(seconds + TIMEOUT_S):
        asks = [await connections.enter_async_context(connect()) for _ in range(clients)]
        waiting = itertools.cycle(bodies)
        await asyncio.gather(*(ask(next(waiting)) for ask in asks))
        end = time.perf_counter() + seconds
        async with asyncio.TaskGroup() as asking:
            for ask in asks:
                asking.create_task(_ask(ask, waiting, end, taken))
    return taken


async def _ask(ask: Ask, bodies: Iterator[bytes], end: float, taken: list[float]) -> None:
    begun = time.perf_counter()
    while begun < end:
        await ask(next(bodies))
        done = time.perf_counter()
        taken.append(done - begun)
        begun = done
