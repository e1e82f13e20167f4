"""HTTP edge: CloudEvents JSON, one (structured) or many (batched), on POST /events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tidemill.errors import Exhausted, Invalid, TooLarge
from tidemill_ingestion import handlers
from tidemill_ingestion.convert import from_cloudevent, from_cloudevents
from tidemill_ingestion.handlers import Outcome, Result
from tidemill_ingestion.servicer import Edge
from tidemill_ingestion.validation import Refusal

MAX_BODY = 4 * 1024 * 1024
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"


def application(edge: Edge) -> Starlette:
    """One route; everything else is 404."""

    async def events(request: Request) -> JSONResponse:
        try:
            return await _publish(edge, request)
        except TooLarge as error:
            return _problem(413, error.message)
        except Invalid as error:
            return _problem(400, error.message)
        except Exhausted as error:
            wait = {"retry-after": str(max(1, round(error.retry_after or 1)))}
            return _problem(429, error.message, wait)

    return Starlette(routes=[Route("/events", events, methods=["POST"])])


async def _publish(edge: Edge, request: Request) -> JSONResponse:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {STRUCTURED, BATCHED}:
        return _problem(415, f"content-type {kind!r}; use {STRUCTURED} or {BATCHED}")
    body = await _body(request)
    found = from_cloudevents(body) if kind == BATCHED else [from_cloudevent(body)]
    events = [one for one in found if not isinstance(one, Refusal)]
    published = await handlers.publish(events, edge.streams, edge.log, edge.limit, edge.clock)
    decided = iter(published.results)
    results = [_refused(one) if isinstance(one, Refusal) else next(decided) for one in found]
    return JSONResponse(_reply(results), status_code=_status(results))


def _refused(refusal: Refusal) -> Result:
    return Result(Outcome.REJECTED, refusal.reason, refusal.field)


async def _body(request: Request) -> bytes:
    """Read the body, and stop reading at the limit."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise TooLarge(f"the body has more than {MAX_BODY} bytes")
        parts.append(part)
    return b"".join(parts)


def _status(results: Sequence[Result]) -> int:
    """202 if every event was accepted, else the gravest: 503 retry, 400 repair."""
    outcomes = {result.outcome for result in results}
    if outcomes <= {Outcome.ACCEPTED}:
        return 202
    return 503 if outcomes & {Outcome.UNKNOWN, Outcome.UNAVAILABLE} else 400


def _reply(results: Sequence[Result]) -> dict[str, object]:
    return {
        "results": [
            {"outcome": "accepted", "partition": r.partition, "offset": r.offset, "row": r.row}
            if r.outcome is Outcome.ACCEPTED
            else {"outcome": r.outcome.value, "reason": r.reason, "field": r.field}
            for r in results
        ]
    }


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """RFC 9457."""
    return JSONResponse(
        {"status": status, "detail": detail},
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )


async def serve(edge: Edge, listen: str, stop: asyncio.Event) -> None:
    """Serve HTTP until told to stop; requests under way are finished."""
    host, _, port = listen.rpartition(":")
    config = uvicorn.Config(
        application(edge),
        host=host,
        port=int(port),
        log_config=None,
        lifespan="off",
        timeout_keep_alive=30,
        limit_concurrency=512,
        h11_max_incomplete_event_size=16_384,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())  # noqa: SLF001 - serve() would take the signals
    await stop.wait()
    server.should_exit = True
    await running
