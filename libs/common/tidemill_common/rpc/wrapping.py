"""Wrap each method's handler: rule, deadline, span, metric, and errors as statuses.

The handlers themselves are wrapped because an interceptor costs a coroutine a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import grpc

from tidemill.errors import DeadlineExceeded, Forbidden, TidemillError
from tidemill_common import metrics, telemetry
from tidemill_common.rpc import deadline
from tidemill_common.rpc.rules import Rule, admit
from tidemill_common.rpc.status import to_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

logger = logging.getLogger(__name__)

_INTERNAL = "internal error; the service's log has the cause"


class Outcome:
    """Turns what leaves a handler into a status, and counts it."""

    __slots__ = ("_began", "_context", "_method")

    def __init__(self, method: str, context: Any) -> None:
        """Watch one call of `method`."""
        self._method = method
        self._context = context
        self._began = 0.0

    async def __aenter__(self) -> None:
        self._began = time.monotonic()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        status = _status_of(error)
        metrics.histogram(
            "rpc_server_call_duration_seconds",
            rpc_method=self._method,
            rpc_response_status_code=_code_of(self._context, error, status),
        ).observe(time.monotonic() - self._began)
        if status is None:
            return
        if status.code is grpc.StatusCode.INTERNAL:
            logger.error("rpc.bug", extra={"method": self._method}, exc_info=error)
        await self._context.abort_with_status(status)


def _status_of(error: BaseException | None) -> grpc.Status | None:
    """Return the status that an exception becomes, None for what is not ours to turn."""
    match error:
        case None | grpc.aio.AbortError() | asyncio.CancelledError() | GeneratorExit():
            return None
        case TidemillError():
            return to_grpc(error)
        case TimeoutError():
            return to_grpc(DeadlineExceeded("the call's time ran out"))
        case Exception():
            return _Internal()
        case _:
            return None


class _Internal(grpc.Status):
    """What a bug looks like from outside."""

    code = grpc.StatusCode.INTERNAL
    details = _INTERNAL
    trailing_metadata = ()


def _code_of(context: Any, error: BaseException | None, status: grpc.Status | None) -> str:
    """Name the code of a finished call."""
    if status is not None:
        return status.code.name
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "CANCELLED"
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return "OK" if not code else str(code)


def wrap(method: str, handler: Any, rule: Rule) -> Any:
    """Return the RpcMethodHandler that keeps `rule` around a generated one."""
    maker = _MAKERS[(handler.request_streaming, handler.response_streaming)]
    behaviour = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    if handler.response_streaming:
        wrapped = _streaming(method, behaviour, rule)
    elif rule.hot:
        wrapped = hot(method, behaviour, rule)
    else:
        wrapped = _single(method, behaviour, rule)
    return maker(wrapped, handler.request_deserializer, handler.response_serializer)


_MAKERS: dict[tuple[bool, bool], Any] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _single(method: str, behaviour: Any, rule: Rule) -> Any:
    """Wrap a method with one reply."""

    async def call(request: Any, context: Any) -> Any:
        async with Outcome(method, context):
            admit(rule, context)
            seconds = _begin(rule, context)
            with _span(method, context):
                async with asyncio.timeout(seconds):
                    return await behaviour(request, context)

    return call


def _streaming(method: str, behaviour: Any, rule: Rule) -> Any:
    """Wrap a method with a stream of replies; its deadline is enforced by gRPC itself."""

    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        async with Outcome(method, context):
            admit(rule, context)
            _begin(rule, context)
            with _span(method, context):
                async for reply in behaviour(request, context):
                    yield reply

    return call


def hot(method: str, behaviour: Any, rule: Rule) -> Any:
    """Wrap a method on the hot path: errors and metrics, a span only under a sampled parent."""

    async def call(request: Any, context: Any) -> Any:
        async with Outcome(method, context):
            admit(rule, context)
            _begin(rule, context)
            parent = telemetry.from_metadata(context.invocation_metadata())
            if parent is None or not telemetry.is_sampled(parent):
                return await behaviour(request, context)
            with _span(method, context):
                return await behaviour(request, context)

    return call


def _begin(rule: Rule, context: Any) -> float | None:
    """Set how long the call may take, and return it."""
    seconds = rule.seconds(context.time_remaining())
    if seconds is not None:
        deadline.begin(seconds)
    return seconds


def _span(method: str, context: Any) -> contextlib.AbstractContextManager[Any]:
    """Open the span of a served call under its caller's."""
    return telemetry.span(
        method.lstrip("/"),
        kind=telemetry.SpanKind.SERVER,
        parent=telemetry.from_metadata(context.invocation_metadata()),
        attributes={"rpc.system.name": "grpc", "rpc.method": method.lstrip("/")},
    )


def refuse(method: str) -> Any:
    """Return the handler of a method that has no rule: nothing behind it runs."""

    async def call(_: bytes, context: Any) -> bytes:
        await context.abort_with_status(to_grpc(Forbidden(f"{method[:200]} is not served here")))
        return b""

    return grpc.unary_unary_rpc_method_handler(call)
