"""A TCP proxy that does to connections what networks do: on loopback, in the harness's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator
from enum import Enum
from typing import Final

CHUNK: Final = 65_536
SLICE: Final = 200
SLOW_BYTES_PER_S: Final = 50_000
LATENCY_S: Final = (0.1, 0.3)
_LOOPBACK: Final = "127.0.0.1"
_RESET: Final = struct.pack("ii", 1, 0)


class Mode(Enum):
    """What happens to what passes."""

    OPEN = "open"
    LATENCY = "latency"
    SLOW = "slow"
    SLICED = "sliced"
    BLACK_HOLE = "black hole"  # nothing passes, nothing is closed; it goes on when the mode ends
    DROPPED_REPLIES = "dropped replies"  # what was asked is done, the answer never comes
    RESET = "reset"  # every connection there is, in mid-frame
    HALF_OPEN = "half-open"  # the server's side of every connection ends; nobody tells the client


class FaultProxy:
    """Listens on `port` and passes everything to `target`; use `proxying`."""

    def __init__(self, target: int, seed: int = 0) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._mode = Mode.OPEN
        self._passing = asyncio.Event()
        self._passing.set()
        self._connections: set[_Connection] = set()

    @property
    def connections(self) -> int:
        """Return how many connections there are."""
        return len(self._connections)

    def set(self, mode: Mode) -> None:
        """Do this from now on; connections whose replies were dropped end with the mode."""
        if mode is Mode.RESET:
            self._reset(list(self._connections))
            mode = Mode.OPEN
        elif mode is Mode.HALF_OPEN:
            for one in self._connections:
                one.forget()
            mode = Mode.OPEN
        self._mode = mode
        if mode is Mode.BLACK_HOLE:
            self._passing.clear()
        else:
            self._passing.set()
        if mode is not Mode.DROPPED_REPLIES:
            self._reset([one for one in self._connections if one.torn])

    def _reset(self, connections: list[_Connection]) -> None:
        for one in connections:
            one.reset()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on until either side ends it."""
        try:
            far_reader, far_writer = await asyncio.open_connection(_LOOPBACK, self._target)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(writer, far_writer)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer))
                group.create_task(self._pump(far_reader, writer, replies=connection))
        except* (OSError, ConnectionError):
            with contextlib.suppress(OSError):
                while connection.forgotten and await reader.read(CHUNK):
                    pass
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        replies: _Connection | None = None,
    ) -> None:
        while data := await reader.read(CHUNK):
            await self._passing.wait()
            if replies is not None and (self._mode is Mode.DROPPED_REPLIES or replies.torn):
                replies.torn = True
                continue
            await self._delay(len(data))
            if self._mode is Mode.SLICED:
                await _slices(writer, data)
            else:
                writer.write(data)
                await writer.drain()
        raise ConnectionResetError  # one side is done: so is the other

    async def _delay(self, size: int) -> None:
        if self._mode is Mode.LATENCY:
            await asyncio.sleep(self._random.uniform(*LATENCY_S))
        elif self._mode is Mode.SLOW:
            await asyncio.sleep(size / SLOW_BYTES_PER_S)


class _Connection:
    """Both sides of one connection.

    Torn: a reply of it was dropped. Forgotten: its server knows of it no more, its client does.
    """

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.torn = self.forgotten = False
        self._near, self._far = near, far

    def reset(self) -> None:
        """Send RST both ways."""
        _reset(self._near)
        _reset(self._far)

    def forget(self) -> None:
        """Send RST to the server; what the client sends is taken and never answered."""
        self.forgotten = True
        _reset(self._far)


def _reset(side: asyncio.StreamWriter) -> None:
    found = side.transport.get_extra_info("socket")
    if found is not None and found.fileno() >= 0:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    side.transport.abort()


async def _slices(writer: asyncio.StreamWriter, data: bytes) -> None:
    for start in range(0, len(data), SLICE):
        writer.write(data[start : start + SLICE])
        await writer.drain()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def proxying(port: int, target: int, seed: int = 0) -> AsyncIterator[FaultProxy]:
    """Listen on `port` of the loopback while the block runs."""
    proxy = FaultProxy(target, seed)
    server = await asyncio.start_server(proxy.serve, _LOOPBACK, port)
    try:
        yield proxy
    finally:
        server.close()
        proxy.set(Mode.RESET)
        await server.wait_closed()
