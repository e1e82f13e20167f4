"""The proxy passes bytes on, and each of its modes does what it says and ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.chaos.proxy import SLOW_BYTES_PER_S, FaultProxy, Mode, proxying

HOST = "127.0.0.1"


@dataclass
class Echo:
    """A server that answers with what it got, and what it got so far."""

    got: bytes = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                self.got += data
                writer.write(data)
                await writer.drain()
        writer.close()


@dataclass
class Line:
    """A connection through the proxy."""

    proxy: FaultProxy
    echo: Echo
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, data: bytes, seconds: float = 5.0) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(seconds):
            return await self.reader.readexactly(len(data))


@pytest.fixture
async def line(free_port: int) -> AsyncIterator[Line]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, HOST, 0)
    target = server.sockets[0].getsockname()[1]
    async with proxying(free_port, target) as proxy:
        reader, writer = await asyncio.open_connection(HOST, free_port)
        yield Line(proxy, echo, reader, writer)
        writer.close()
    server.close()


@pytest.mark.parametrize("mode", [Mode.OPEN, Mode.LATENCY, Mode.SLICED, Mode.SLOW])
async def test_bytes_arrive_as_they_were_sent(line: Line, mode: Mode) -> None:
    line.proxy.set(mode)
    data = bytes(range(256)) * 8
    assert await line.ask(data) == data


async def test_a_slow_line_takes_its_time(line: Line) -> None:
    line.proxy.set(Mode.SLOW)
    began = time.monotonic()
    await line.ask(b"x" * (SLOW_BYTES_PER_S // 4))
    assert time.monotonic() - began > 0.4


async def test_a_black_hole_swallows_nothing_for_good(line: Line) -> None:
    line.proxy.set(Mode.BLACK_HOLE)
    with pytest.raises(TimeoutError):
        await line.ask(b"held", 0.2)
    assert line.echo.got == b""
    line.proxy.set(Mode.OPEN)
    async with asyncio.timeout(5.0):
        assert await line.reader.readexactly(4) == b"held"


async def test_a_dropped_reply_was_asked_for_all_the_same_and_its_connection_ends(
    line: Line,
) -> None:
    line.proxy.set(Mode.DROPPED_REPLIES)
    with pytest.raises(TimeoutError):
        await line.ask(b"done", 0.2)
    assert line.echo.got == b"done"
    line.proxy.set(Mode.OPEN)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await line.ask(b"more")


async def test_a_half_open_connection_takes_everything_and_never_answers_but_new_ones_do(
    line: Line, free_port: int
) -> None:
    await line.ask(b"there")
    line.proxy.set(Mode.HALF_OPEN)
    for _ in range(2):  # the second goes out after the server's side has ended
        with pytest.raises(TimeoutError):
            await line.ask(b"gone", 0.2)
    assert line.echo.got == b"there"
    assert not line.reader.at_eof()
    reader, writer = await asyncio.open_connection(HOST, free_port)
    writer.write(b"again")
    async with asyncio.timeout(5.0):
        assert await reader.readexactly(5) == b"again"
    writer.close()
    line.writer.close()
    async with asyncio.timeout(5.0):
        while line.proxy.connections:
            await asyncio.sleep(0.01)


async def test_a_reset_ends_every_connection_and_new_ones_work(line: Line, free_port: int) -> None:
    await line.ask(b"there")
    assert line.proxy.connections == 1
    line.proxy.set(Mode.RESET)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await line.ask(b"gone")
    reader, writer = await asyncio.open_connection(HOST, free_port)
    writer.write(b"again")
    async with asyncio.timeout(5.0):
        assert await reader.readexactly(5) == b"again"
    writer.close()
