"""A gRPC client that costs next to nothing, for a benchmark that shares its cores with the server.

It speaks as much of HTTP/2 (RFC 9113) as unary calls over one connection need, one call at a time:
grpcio's client takes about as long for a call as the server that is measured. Headers of replies
are not decoded: a call without a message has failed.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator

from benchmarks.peers.processes import PeerFailed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
HEAD = 9
MAX_FRAME = 16_384
"""What every receiver takes, in bytes."""
FIRST_WINDOW = 65_535
MAX_WINDOW = 2**31 - 1
INITIAL_WINDOW_SIZE = 4
"""The setting's number."""
LENGTH = struct.Struct(">xI")
"""Before each message of gRPC: not compressed, and how long."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Put the nine bytes of a frame's head before its payload."""
    return struct.pack(">I", len(payload) << 8 | kind) + struct.pack(">BI", flags, stream) + payload


def headers(authority: str, path: str) -> bytes:
    """Name a call in HPACK (RFC 7541) without tables: indexes of the static one, and literals."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    post, http, path_is, authority_is, content_type_is = (
        b"\x83",
        b"\x86",
        b"\x04",
        b"\x01",
        b"\x0f\x10",
    )
    return b"".join(
        (
            post,
            http,
            path_is + text(path),
            authority_is + text(authority),
            content_type_is + text("application/grpc"),
            b"\x00" + text("te") + text("trailers"),
        )
    )


class Connection(asyncio.Protocol):
    """One connection: `ask` sends a message to the method and returns the reply's."""

    def __init__(self, authority: str, path: str) -> None:
        """Remember what each call's headers say."""
        self._headers = headers(authority, path)
        self._transport: asyncio.WriteTransport | None = None
        self._stream = -1
        self._room = FIRST_WINDOW
        self._received = bytearray()
        self._message = bytearray()
        self._reply: asyncio.Future[bytes] | None = None
        self._failed: PeerFailed | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open every window wide, so that replies never wait for one."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        window = struct.pack(">HI", INITIAL_WINDOW_SIZE, MAX_WINDOW)
        more = struct.pack(">I", MAX_WINDOW - FIRST_WINDOW)
        transport.write(PREFACE + frame(SETTINGS, 0, 0, window) + frame(WINDOW_UPDATE, 0, 0, more))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the call that waits, and every later one."""
        self._fail(f"the connection is lost: {exc}")

    def data_received(self, data: bytes) -> None:
        """Take up what whole frames there are."""
        self._received += data
        for kind, flags, stream, payload in self._frames():
            self._take(kind, flags, stream, payload)

    async def ask(self, body: bytes) -> bytes:
        """Send one message; raise `PeerFailed` where no message comes back."""
        if self._failed:
            raise self._failed
        assert self._transport is not None
        message = LENGTH.pack(len(body)) + body
        if len(message) > self._room:
            raise PeerFailed(f"{len(message)} bytes do not fit the server's window")
        self._room -= len(message)
        self._stream += 2
        self._message.clear()
        self._reply = asyncio.get_running_loop().create_future()
        pieces = [message[at : at + MAX_FRAME] for at in range(0, len(message), MAX_FRAME)]
        self._transport.write(
            frame(HEADERS, END_HEADERS, self._stream, self._headers)
            + b"".join(frame(DATA, 0, self._stream, one) for one in pieces[:-1])
            + frame(DATA, END_STREAM, self._stream, pieces[-1])
        )
        return await self._reply

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        received, at = self._received, 0
        while len(received) - at >= HEAD:
            head, flags, stream = struct.unpack_from(">IBI", received, at)
            end = at + HEAD + (head >> 8)
            if len(received) < end:
                break
            yield head & 0xFF, flags, stream, bytes(received[at + HEAD : end])
            at = end
        del received[:at]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        assert self._transport is not None
        if kind in (SETTINGS, PING) and not flags & ACK:
            answer = payload if kind == PING else b""
            self._transport.write(frame(kind, ACK, 0, answer))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._room += int.from_bytes(payload)
        elif kind in (RST_STREAM, GOAWAY) or (kind == DATA and flags & PADDED):
            self._fail(f"frame of type {kind} with flags {flags:#x}: {payload[:200]!r}")
        elif kind == DATA:
            self._message += payload
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self._end()

    def _end(self) -> None:
        message = self._message
        if (
            len(message) < LENGTH.size
            or LENGTH.unpack_from(message)[0] != len(message) - LENGTH.size
        ):
            self._fail(f"a reply of {len(message)} bytes is no message")
        elif self._reply is not None and not self._reply.done():
            self._reply.set_result(bytes(message[LENGTH.size :]))

    def _fail(self, why: str) -> None:
        self._failed = PeerFailed(why)
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(self._failed)
