"""gRPC channels of the SDK: limits, retries, the caller's trace, errors as `tidemill.errors`."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from tidemill import errors

Reply = TypeVar("Reply")
Reply_co = TypeVar("Reply_co", covariant=True)
Metadata = Sequence[tuple[str, str]]

MAX_MESSAGE: Final = 16 * 1024 * 1024
TIMEOUT: Final = 10.0
LONG_TIMEOUT: Final = 600.0
KEEPALIVE_MS: Final = 5_000
"""After so much silence in a call the other side is asked for a sign of life."""
PING_TIMEOUT_MS: Final = 10_000
"""Without one in so long a connection is given up, and the next attempt takes a new one.

gRPC's own is a minute, whatever its `keepalive_timeout_ms` says.
"""
DOMAIN: Final = "tidemill"
HINT: Final = "hint"
TRACEPARENT: Final = "traceparent"
_DETAILS_KEY: Final = "grpc-status-details-bin"
_RESERVED: Final = frozenset({HINT, "message", "violations", "retry_after"})
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

_BY_CODE: Final[dict[grpc.StatusCode, type[errors.TidemillError]]] = {
    grpc.StatusCode.CANCELLED: errors.Transient,
    grpc.StatusCode.UNKNOWN: errors.OutcomeUnknown,
    grpc.StatusCode.INVALID_ARGUMENT: errors.Invalid,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.PERMISSION_DENIED: errors.Forbidden,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Exhausted,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    grpc.StatusCode.ABORTED: errors.Conflict,
    grpc.StatusCode.OUT_OF_RANGE: errors.Invalid,
    grpc.StatusCode.UNIMPLEMENTED: errors.Unsupported,
    grpc.StatusCode.INTERNAL: errors.OutcomeUnknown,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DATA_LOSS: errors.Corrupt,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
}


def _kinds(root: type[errors.TidemillError]) -> Iterable[type[errors.TidemillError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)


_BY_REASON: Final = {kind.reason: kind for kind in _kinds(errors.TidemillError)}


def channel(address: str) -> grpc.aio.Channel:
    """Open a channel to a service."""
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.service_config", json.dumps(_RETRY)),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 3_000),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        ],
    )


class Method(Protocol[Reply_co]):
    """A unary method of an asyncio stub."""

    def __call__(
        self, request: Any, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> Awaitable[Reply_co]:
        """Call it."""


class Streaming(Protocol[Reply_co]):
    """A method of an asyncio stub that answers with a stream."""

    def __call__(
        self, request: Any, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> AsyncIterable[Reply_co]:
        """Call it."""


async def call(method: Method[Reply], request: object, timeout: float, service: str) -> Reply:
    """Call, and raise the platform's own errors."""
    try:
        return await method(request, timeout=timeout, metadata=trace_metadata())
    except grpc.aio.AioRpcError as error:
        raise to_error(error, service) from error


async def stream(
    method: Streaming[Reply], request: object, timeout: float | None, service: str
) -> AsyncIterator[Reply]:
    """Iterate over a streamed reply, raising the platform's own errors."""
    try:
        async for reply in method(request, timeout=timeout, metadata=trace_metadata()):
            yield reply
    except grpc.aio.AioRpcError as error:
        raise to_error(error, service) from error


def trace_metadata() -> Metadata:
    """Return the caller's trace, if the caller traces with OpenTelemetry; it need not be there."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return ()
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ()
    text = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return ((TRACEPARENT, text),)


def to_error(error: grpc.aio.AioRpcError, service: str) -> errors.TidemillError:
    """Turn a failed call into the error that it stands for."""
    status = _rich(error)
    if status is None:
        return _plain(error.code(), error.details() or "", service)
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            detail.Unpack(request)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) and detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    kind = _BY_REASON.get(info.reason) if info.domain == DOMAIN else None
    kind = kind or _BY_CODE.get(error.code(), errors.OutcomeUnknown)
    facts = {key: value for key, value in info.metadata.items() if key not in _RESERVED}
    hint = info.metadata.get(HINT, "")
    if issubclass(kind, errors.Invalid):
        violations = [
            errors.Violation(one.field, one.description) for one in request.field_violations
        ]
        return kind(status.message, violations=violations, hint=hint, **facts)
    if issubclass(kind, errors.Transient):
        return kind(status.message, retry_after=retry_after, hint=hint, **facts)
    return kind(status.message, hint=hint, **facts)


def _rich(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """Return the details that a service of ours sends beside the code; None: someone else spoke."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _plain(code: grpc.StatusCode, details: str, service: str) -> errors.TidemillError:
    """Read a status that the transport made: nothing of ours answered."""
    kind = _BY_CODE.get(code, errors.OutcomeUnknown)
    if kind is errors.Unavailable:
        return errors.Unavailable(
            f"{service} does not answer: {_cause(details)}",
            hint="is it running? `tidemill status` shows it, `tidemill up` starts it",
        )
    if kind is errors.DeadlineExceeded:
        return errors.DeadlineExceeded(
            f"{service} did not answer in time", hint="try again, or give the call more time"
        )
    return kind(f"{service}: {details or code.name.lower()}")


def _cause(details: str) -> str:
    """Return what the transport says last, which is what happened: `Connection refused (111)`."""
    return details.rsplit(": ", 1)[-1] or "no connection"
