from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider

from tidemill import errors
from tidemill.transport import Streaming, call, channel, stream, to_error, trace_metadata
from tidemill_common.rpc.status import CODES, to_status

DETAILS = "grpc-status-details-bin"


def a_failure(
    code: grpc.StatusCode, details: str = "", trailing: bytes | None = None
) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*([] if trailing is None else [(DETAILS, trailing)]))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details)


def sent(error: errors.TidemillError) -> grpc.aio.AioRpcError:
    """What arrives when a service raises `error`."""
    status = to_status(error)
    code = next(one for one in grpc.StatusCode if one.value[0] == status.code)
    return a_failure(code, status.message, status.SerializeToString())


@pytest.mark.parametrize("kind", list(CODES), ids=lambda kind: kind.__name__)
def test_every_error_of_a_service_arrives_as_itself(kind: type[errors.TidemillError]) -> None:
    received = to_error(sent(kind("a value broke a rule", hint="repair it", field="x")), "registry")
    assert type(received) is kind
    assert received.message == "a value broke a rule"
    assert received.hint == "repair it"
    assert received.facts == {"field": "x"}


def test_every_violation_arrives_with_its_field() -> None:
    violations = [errors.Violation("a", "is missing"), errors.Violation("b", "is negative")]
    received = to_error(sent(errors.Invalid(violations=violations)), "ingestion")
    assert isinstance(received, errors.Invalid)
    assert list(received.violations) == violations


def test_the_pause_before_a_retry_arrives() -> None:
    received = to_error(sent(errors.Exhausted("too fast", retry_after=1.5)), "ingestion")
    assert isinstance(received, errors.Exhausted)
    assert received.retry_after == 1.5


def test_a_reason_of_another_domain_counts_by_its_code() -> None:
    status = to_status(errors.Fenced("no"))
    text = status.SerializeToString().replace(b"\x08tidemill", b"\x08elsewher")
    received = to_error(a_failure(grpc.StatusCode.FAILED_PRECONDITION, "no", text), "training")
    assert type(received) is errors.FailedPrecondition


def test_a_part_that_is_away_is_named_with_the_cause_and_what_to_do() -> None:
    details = "failed to connect to all addresses; last error: ipv4:127.0.0.1:1: Refused (111)"
    received = to_error(a_failure(grpc.StatusCode.UNAVAILABLE, details), "serving")
    assert isinstance(received, errors.Unavailable)
    assert received.message == "serving does not answer: Refused (111)"
    assert "tidemill status" in received.hint


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (grpc.StatusCode.PERMISSION_DENIED, errors.Forbidden),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Exhausted),
        (grpc.StatusCode.UNIMPLEMENTED, errors.Unsupported),
        (grpc.StatusCode.INTERNAL, errors.OutcomeUnknown),
        (grpc.StatusCode.UNKNOWN, errors.OutcomeUnknown),
    ],
)
def test_a_status_of_the_transport_counts_by_its_code(
    code: grpc.StatusCode, kind: type[errors.TidemillError]
) -> None:
    assert type(to_error(a_failure(code), "features")) is kind


def test_details_that_are_no_message_are_ignored() -> None:
    received = to_error(a_failure(grpc.StatusCode.NOT_FOUND, "gone", b"\xff\xff"), "features")
    assert isinstance(received, errors.NotFound)


def test_without_a_trace_nothing_travels() -> None:
    assert trace_metadata() == ()


def test_the_callers_trace_travels() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("order") as span:
        context = span.get_span_context()
        [(name, text)] = trace_metadata()
    assert name == "traceparent"
    assert text == (f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}")


async def test_a_closed_port_is_unavailable_within_the_deadline() -> None:
    async with channel("127.0.0.1:1") as opened:
        method: Callable[..., Awaitable[bytes]] = opened.unary_unary("/none.None/None")
        with pytest.raises(errors.Transient):
            await call(method, b"", 2.0, "registry")


@pytest.fixture
async def silent() -> AsyncIterator[int]:
    """A server that never answers, and streams one reply before it fails."""

    async def sleep(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await asyncio.sleep(30)
        return b""

    async def once(
        request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        yield b"one"
        await context.abort(grpc.StatusCode.NOT_FOUND, "no more")

    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
        "Once": grpc.unary_stream_rpc_method_handler(once),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


async def test_a_call_ends_at_its_deadline(silent: int) -> None:
    async with channel(f"127.0.0.1:{silent}") as opened:
        with pytest.raises(errors.DeadlineExceeded, match="features did not answer in time"):
            await call(opened.unary_unary("/t.T/Sleep"), b"", 0.2, "features")


async def test_what_a_stream_gave_before_it_failed_is_received(silent: int) -> None:
    received = []
    async with channel(f"127.0.0.1:{silent}") as opened:
        with pytest.raises(errors.NotFound, match="no more"):
            method: Streaming[bytes] = opened.unary_stream("/t.T/Once")
            async for reply in stream(method, b"", 5.0, "training"):
                received.append(reply)  # noqa: PERF401 - what came before the error counts
    assert received == [b"one"]
