"""gRPC channels of the SDK: limits, retries, and errors as `tidemill.errors`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from typing import Any, Final, Protocol, TypeVar

import grpc

from tidemill import errors

Reply = TypeVar("Reply")
Reply_co = TypeVar("Reply_co", covariant=True)

MAX_MESSAGE: Final = 16 * 1024 * 1024
_RETRY: Final = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}
"""Every call of ours may be repeated: events and requests carry ids."""

_ERRORS: Final[dict[grpc.StatusCode, type[errors.TidemillError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.Invalid,
    grpc.StatusCode.OUT_OF_RANGE: errors.Invalid,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    grpc.StatusCode.ABORTED: errors.Conflict,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Exhausted,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.Forbidden,
    grpc.StatusCode.UNIMPLEMENTED: errors.Unsupported,
    grpc.StatusCode.DATA_LOSS: errors.Corrupt,
}


def channel(address: str) -> grpc.aio.Channel:
    """Open a channel to a service."""
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.service_config", json.dumps(_RETRY)),
            ("grpc.keepalive_time_ms", 60_000),
        ],
    )


class Method(Protocol[Reply_co]):
    """A unary method of an asyncio stub."""

    def __call__(self, request: Any, *, timeout: float | None = None) -> Awaitable[Reply_co]:
        """Call it."""


async def call(method: Method[Reply], request: object, timeout: float, service: str) -> Reply:
    """Call, and raise the platform's own errors."""
    try:
        return await method(request, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        raise to_error(error, service) from error


async def stream(replies: AsyncIterable[Reply], service: str) -> AsyncIterator[Reply]:
    """Iterate over a streamed reply, raising the platform's own errors."""
    try:
        async for reply in replies:
            yield reply
    except grpc.aio.AioRpcError as error:
        raise to_error(error, service) from error


def to_error(error: grpc.aio.AioRpcError, service: str) -> errors.TidemillError:
    """Turn a status into the error that it stands for."""
    code = error.code()
    kind = _ERRORS.get(code, errors.TidemillError)
    details = error.details() or code.name.lower()
    if kind is errors.Unavailable:
        hint = f"is {service} running? `tidemill status` shows it"
        return errors.Unavailable(f"{service}: {details}", hint=hint)
    return kind(details)
