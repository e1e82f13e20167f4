"""Call other services: one channel a target, the caller's trace and deadline, errors of ours."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc

from tidemill.errors import DeadlineExceeded
from tidemill_common import metrics, telemetry
from tidemill_common.ids import canonical_json
from tidemill_common.rpc import deadline
from tidemill_common.rpc.status import to_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

Request = TypeVar("Request")
Reply = TypeVar("Reply")

DEFAULT_SECONDS: Final = 5.0
MARGIN_SECONDS: Final = 0.02
MESSAGE_BYTES: Final = 4 << 20
KEEPALIVE_MS: Final = 5_000
"""After so much silence in a call the other side is asked for a sign of life."""
PING_TIMEOUT_MS: Final = 10_000
"""Without one in so long a connection is given up, and the next attempt takes a new one.

gRPC's own is a minute, whatever its `keepalive_timeout_ms` says.
"""
_RETRY: Final = {
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


@contextlib.asynccontextmanager
async def connected(
    target: str, *, retry: Sequence[str] = (), message_bytes: int = MESSAGE_BYTES
) -> AsyncIterator[grpc.aio.Channel]:
    """Give a channel to `target`; keep it for the life of the process.

    UNAVAILABLE is retried for the idempotent methods (or whole services) named in `retry`, at most
    four attempts, and less when many fail.
    """
    async with grpc.aio.insecure_channel(target, options=_options(retry, message_bytes)) as channel:
        yield channel


def _options(retry: Sequence[str], message_bytes: int) -> list[tuple[str, Any]]:
    """Return the channel's arguments."""
    config: dict[str, Any] = {"retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}}
    if retry:
        config["methodConfig"] = [{"name": [_name(each) for each in retry], "retryPolicy": _RETRY}]
    return [
        ("grpc.service_config", canonical_json(config).decode()),
        ("grpc.enable_retries", 1),
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", message_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


def _name(full: str) -> dict[str, str]:
    """Return a service's or a method's name as the service configuration wants it."""
    service, _, method = full.strip("/").partition("/")
    return {"service": service, "method": method} if method else {"service": service}


async def call(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Reply],
    request: Request,
    *,
    timeout: float | None = None,
    metadata: Sequence[tuple[str, str]] = (),
) -> Reply:
    """Call a method and return its reply; a failure is one of the platform's errors.

    The call takes at most `timeout`, 5 s without one, and never longer than the call being served.
    """
    began = time.monotonic()
    code = "OK"
    try:
        return await method(
            request,
            timeout=_seconds(timeout),
            metadata=grpc.aio.Metadata(*telemetry.to_metadata(), *metadata),
        )
    except grpc.aio.AioRpcError as error:
        code = error.code().name
        raise to_error(error) from error
    finally:
        metrics.histogram(
            "rpc_client_call_duration_seconds",
            rpc_method=_method_of(method),
            rpc_response_status_code=code,
        ).observe(time.monotonic() - began)


async def stream(
    method: grpc.aio.UnaryStreamMultiCallable[Request, Reply],
    request: Request,
    *,
    timeout: float | None = None,
    metadata: Sequence[tuple[str, str]] = (),
) -> AsyncIterator[Reply]:
    """Call a method and give its replies as they come; without `timeout` the stream has no end."""
    running = method(
        request,
        timeout=timeout,
        metadata=grpc.aio.Metadata(*telemetry.to_metadata(), *metadata),
    )
    try:
        async for reply in running:
            yield reply
    except grpc.aio.AioRpcError as error:
        raise to_error(error) from error
    finally:
        running.cancel()


def _seconds(timeout: float | None) -> float:
    """Return how long a call may take, given the one being served."""
    wanted = DEFAULT_SECONDS if timeout is None else timeout
    if not deadline.is_serving():
        return wanted
    left = deadline.remaining() - MARGIN_SECONDS
    if left <= 0:
        raise DeadlineExceeded("no time is left for a further call")
    return left if timeout is None else min(wanted, left)


def _method_of(method: Any) -> str:
    """Return the full name of a method of a stub."""
    name = getattr(method, "_method", b"")
    return name.decode() if isinstance(name, bytes) else str(name)
