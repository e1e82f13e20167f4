"""Traces: W3C context through headers and metadata, spans to Zipkin, never at a request's cost.

Nothing here raises or waits because of the collector: spans wait in a bounded queue and are
dropped when it is full; closing takes at most two seconds.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.util.types import AttributeValue

__all__ = ["Link", "Span", "SpanKind"]

TRACEPARENT: Final = "traceparent"
MAX_LINKS: Final = 128
_VERSION: Final = "00"
_QUEUE: Final = 4096
_BATCH: Final = 512
_DELAY_MS: Final = 500
_EXPORT_SECONDS: Final = 2
_CLOSE_SECONDS: Final = 2.0
_TRACE_HEX, _SPAN_HEX, _FLAGS_HEX = 32, 16, 2
_UNSAMPLED: Final = frozenset(b"%x" % flags for flags in range(0, 16, 2))
"""The last digit of a context whose span is not sampled: most records need no more than a look."""
_SCOPE: Final = "tidemill"
_current: Final[list[trace.Tracer]] = [trace.NoOpTracer()]  # OpenTelemetry's own is set once only


@contextlib.contextmanager
def exporting(service: str, zipkin: str = "", *, ratio: float = 0.05) -> Iterator[None]:
    """Trace this process while the block runs: `ratio` of the roots, and whatever a parent samples.

    Without `zipkin` contexts still travel, and nothing is kept. Outside of the block spans cost
    nothing and have no context of their own.
    """
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: service}),
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        shutdown_on_exit=False,
    )
    if zipkin:
        export_to(provider, ZipkinExporter(endpoint=_endpoint(zipkin), timeout=_EXPORT_SECONDS))
    before = _current[0]
    _current[0] = provider.get_tracer(_SCOPE)
    try:
        yield
    finally:
        _current[0] = before
        closing = threading.Thread(target=provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def export_to(provider: TracerProvider, exporter: SpanExporter) -> None:
    """Send the provider's spans to `exporter` from a thread of its own, through a bounded queue."""
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=_QUEUE,
            max_export_batch_size=_BATCH,
            schedule_delay_millis=_DELAY_MS,
        )
    )


def _endpoint(zipkin: str) -> str:
    """Return the address spans are posted to; a bare host gets Zipkin's own path."""
    return zipkin if urlsplit(zipkin).path.strip("/") else zipkin.rstrip("/") + "/api/v2/spans"


@contextlib.contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
    parent: Context | None = None,
    links: Iterable[Link | None] = (),
) -> Iterator[Span]:
    """Open a span as a child of `parent` or of the current one; an exception marks it as failed.

    Zipkin knows no links, so the linked traces are an attribute too: search them by
    their id. An exception gives its type only.
    """
    known = [link for link in links if link is not None][:MAX_LINKS]
    with _current[0].start_as_current_span(
        name,
        context=parent,
        kind=kind,
        attributes=attributes,
        links=known,
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        if known and opened.is_recording():
            opened.set_attribute("tidemill.links", _trace_ids(known))
        with _failing(opened):
            yield opened


class _failing:  # noqa: N801 (reads as a statement)
    """Mark a span with the type of the exception that leaves it; its text could be personal."""

    def __init__(self, opened: Span) -> None:
        self._span = opened

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End."""
        if kind is not None and self._span.is_recording():
            self._span.set_attribute("error.type", kind.__name__)
            self._span.set_status(Status(StatusCode.ERROR, kind.__name__))


def _trace_ids(links: Sequence[Link]) -> str:
    """Return the distinct traces that `links` lead to."""
    return ",".join(dict.fromkeys(f"{link.context.trace_id:032x}" for link in links))


def traceparent() -> str:
    """Return the current context in the W3C form, empty outside of every span."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"{_VERSION}-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def to_headers() -> list[tuple[str, bytes]]:
    """Return the Kafka headers that carry the current context; none outside of every span."""
    text = traceparent()
    return [(TRACEPARENT, text.encode())] if text else []


def to_metadata() -> tuple[tuple[str, str], ...]:
    """Return the gRPC metadata that carries the current context."""
    text = traceparent()
    return ((TRACEPARENT, text),) if text else ()


def from_headers(headers: Iterable[tuple[str, bytes]]) -> Context | None:
    """Return the context in Kafka headers, None without one; what is malformed counts as none."""
    for name, value in headers:
        if name == TRACEPARENT:
            return _context(value.decode("ascii", "replace"))
    return None


def from_metadata(metadata: Iterable[tuple[str, str | bytes]] | None) -> Context | None:
    """Return the context in gRPC metadata, None without one."""
    for name, value in metadata or ():
        if name == TRACEPARENT and isinstance(value, str):
            return _context(value)
    return None


def link_to(headers: Iterable[tuple[str, bytes]]) -> Link | None:
    """Return a link to the sampled span whose context `headers` carry, None if there is none."""
    for name, value in headers:
        if name == TRACEPARENT:
            unsampled = value[-1:] in _UNSAMPLED
            context = None if unsampled else _context(value.decode("ascii", "replace"))
            return None if context is None else link_of(context)
    return None


def link_of(context: Context) -> Link | None:
    """Return a link to the span that `context` carries, None if it is not sampled."""
    source = trace.get_current_span(context).get_span_context()
    return Link(source) if source.trace_flags.sampled else None


def _context(text: str) -> Context | None:
    """Read the W3C form strictly: four fields of fixed length in lower-case hex."""
    parts = text.split("-")
    lengths = [len(part) for part in parts]
    if lengths[:4] != [len(_VERSION), _TRACE_HEX, _SPAN_HEX, _FLAGS_HEX] or text != text.lower():
        return None
    if parts[0] == "ff" or (parts[0] == _VERSION and len(parts) != len(lengths[:4])):
        return None
    try:
        trace_id, span_id, flags = (int(part, 16) for part in parts[1:4])
    except ValueError:
        return None
    source = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    if not source.is_valid:
        return None
    return trace.set_span_in_context(trace.NonRecordingSpan(source), otel_context.Context())


def is_sampled(context: Context) -> bool:
    """Say whether the span that `context` carries is kept."""
    return trace.get_current_span(context).get_span_context().trace_flags.sampled
