"""One prediction from question to answer: wait for a token, route, go through a lane, log.

The same path for ModelInfer (rows that belong together go to one version) and for
ServingService.Predict (each row goes where its own key sends it).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from tidemill.errors import DeadlineExceeded, NotFound, TidemillError, Unavailable
from tidemill_common import metrics, rpc, telemetry
from tidemill_common.ids import new_id
from tidemill_common.prediction_rows import OK
from tidemill_serving import routing
from tidemill_serving.fields import time_text
from tidemill_serving.lane import Work, is_failure
from tidemill_serving.prediction_log import Entry
from tidemill_serving.routing import Route, Variant
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tidemill.ingestion.v1.ingestion_service_pb2 import Position, PositionToken
    from tidemill_common.clock import Clock
    from tidemill_serving.definitions import ModelSpec
    from tidemill_serving.fields import Row
    from tidemill_serving.fleet import Fleet, Live
    from tidemill_serving.lane import Lane, Scored
    from tidemill_serving.prediction_log import PredictionLog

CHUNK_ROWS: Final = 250
MARGIN_SECONDS: Final = 0.02
_SAMPLE_SALT: Final = "vector"


class Positions(Protocol):
    """The part of the feature replica that waits for a publisher's events."""

    async def wait_for(
        self, positions: Iterable[Position], *, views: Collection[str] = (), timeout: float
    ) -> None:
        """Wait until everything below the positions is decided."""


class Shadow(Protocol):
    """Takes copies of answered questions; never waits."""

    def offer(self, live: Live, question: Question, scored: Scored) -> None:
        """Take one, or drop and count it."""


@dataclass(slots=True)
class Question:
    """Rows that go to one version together."""

    rows: list[Row]
    keys: list[str]
    at_us: int | None
    request_id: str
    began: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What one version said to a Question."""

    ids: list[str]
    scored: Scored
    route: Route
    digest: str


class Predictions:
    """Answers questions and logs what it answered."""

    def __init__(
        self,
        fleet: Fleet,
        positions: Positions,
        log: PredictionLog,
        shadow: Shadow,
        clock: Clock,
    ) -> None:
        """Route by `fleet`, log to `log`."""
        self._fleet = fleet
        self._positions = positions
        self._log = log
        self._shadow = shadow
        self._clock = clock

    async def wait_for(self, live: Live, token: PositionToken | None) -> None:
        """Wait, within the deadline, until the features know what the token stands for."""
        if token is not None and token.positions:
            left = max(rpc.remaining() - MARGIN_SECONDS, 0.0)
            await self._positions.wait_for(token.positions, views=live.spec.views, timeout=left)

    async def together(self, live: Live, question: Question, pinned: str = "") -> Answer:
        """Send all rows to one version, chosen by the first row's key."""
        key = question.keys[0] or question.request_id
        route = route_to(live, key or new_id(), pinned)
        return await self._through(live, route, question)

    async def each(
        self, live: Live, rows: Sequence[Row], at_us: int | None, began: float
    ) -> list[tuple[Answer, int]]:
        """Send each row where its key says; an (answer, index in it) for every row, in order."""
        keys = [live.spec.fields.key_text(row) for row in rows]
        groups: dict[Route, list[int]] = {}
        for index, key in enumerate(keys):
            groups.setdefault(route_to(live, key or new_id()), []).append(index)
        chunks = [
            (route, indexes[start : start + CHUNK_ROWS])
            for route, indexes in groups.items()
            for start in range(0, len(indexes), CHUNK_ROWS)
        ]
        answers = await _all(
            self._through(
                live,
                route,
                Question([rows[i] for i in chunk], [keys[i] for i in chunk], at_us, "", began),
            )
            for route, chunk in chunks
        )
        placed: dict[int, tuple[Answer, int]] = {}
        for (_, chunk), answer in zip(chunks, answers, strict=True):
            placed.update((row, (answer, index)) for index, row in enumerate(chunk))
        return [placed[index] for index in range(len(rows))]

    async def score(self, live: Live, route: Route, question: Question) -> Answer:
        """Ask one version and log the answer, or why there is none."""
        lane = live.lanes[route.number]
        ids = [new_id() for _ in question.rows]
        sampled = [
            is_sampled(lane.spec, key or one) for key, one in zip(question.keys, ids, strict=True)
        ]
        work = Work(
            adapted(question.rows, live.spec, lane.spec),
            times_of(question, live.spec),
            any(sampled),
            time.monotonic() + rpc.remaining(),
            telemetry.from_headers(telemetry.to_headers()),
        )
        try:
            scored = await lane.submit(work)
        except TidemillError as error:
            self._log_failure(lane, route, question, ids, error)
            raise
        answer = Answer(ids, scored, route, lane.held.package.digest)
        self._log_answer(lane, question, work, answer, sampled)
        return answer

    async def _through(self, live: Live, route: Route, question: Question) -> Answer:
        outcome = OK
        inflight = metrics.gauge("tidemill_inflight_requests", service="serving")
        inflight.inc()
        try:
            answer = await self.score(live, route, question)
        except TidemillError as error:
            outcome = error.reason
            self._fleet.record(live, route.variant, failed=is_failure(error))
            raise
        finally:
            inflight.dec()
            metrics.counter(
                "tidemill_inference_requests_total",
                model=live.spec.name,
                variant=str(route.variant),
                outcome=outcome,
            ).inc(len(question.rows))
            metrics.histogram(
                "tidemill_inference_duration_seconds", model=live.spec.name, stage="total"
            ).observe(time.monotonic() - question.began)
        self._fleet.record(live, route.variant, failed=False)
        if route.variant is Variant.CHAMPION:
            self._shadow.offer(live, question, answer.scored)
        return answer

    def _log_answer(
        self, lane: Lane, question: Question, work: Work, answer: Answer, sampled: list[bool]
    ) -> None:
        scored, route, now = answer.scored, answer.route, self._clock.now_us()
        latency = round((time.monotonic() - question.began) * 1e6)
        positions = orjson.dumps(scored.positions).decode() if scored.positions else None
        entries = []
        for index, score in enumerate(scored.values):
            kept = sampled[index]
            entries.append(
                Entry(
                    answer.ids[index],
                    question.request_id,
                    scored.at_us[index],
                    now,
                    question.keys[index],
                    route.number,
                    answer.digest,
                    str(route.variant),
                    route.propensity,
                    OK,
                    score,
                    [score],
                    latency,
                    kept,
                    scored.vectors[index] if kept else None,
                    request_json(work.rows[index], lane.spec) if kept else None,
                    positions if kept else None,
                )
            )
        self._log.add(lane.spec.name, entries)

    def _log_failure(
        self, lane: Lane, route: Route, question: Question, ids: list[str], error: TidemillError
    ) -> None:
        now = self._clock.now_us()
        latency = round((time.monotonic() - question.began) * 1e6)
        self._log.add(
            lane.spec.name,
            [
                Entry(
                    one,
                    question.request_id,
                    question.at_us or now,
                    now,
                    key,
                    route.number,
                    lane.held.package.digest,
                    str(route.variant),
                    route.propensity,
                    error.reason,
                    None,
                    None,
                    latency,
                    sampled=False,
                )
                for one, key in zip(ids, question.keys, strict=True)
            ],
        )


def route_to(live: Live, key: str, pinned: str = "") -> Route:
    """Choose the version for a key, or the one the caller names; NotFound if it is not live."""
    if pinned:
        return _pinned(live, pinned)
    route = routing.route(live.table, key.encode())
    if route is None or route.number not in live.lanes:
        raise Unavailable(f"model {live.spec.name!r} is being switched", retry_after=0.1)
    return route


def _pinned(live: Live, pinned: str) -> Route:
    table = live.table
    for pin, variant in (
        (table.champion, Variant.CHAMPION),
        (table.challenger, Variant.CHALLENGER),
    ):
        if pin is not None and str(pin.number) == pinned and pin.number in live.lanes:
            return Route(pin.number, variant, 1.0, table.version)
    known = ", ".join(str(number) for number in sorted(live.lanes))
    raise NotFound(
        f"version {pinned[:20]!r} of model {live.spec.name!r} takes no traffic; these do: {known}",
        hint="leave model_version empty to be routed",
    )


def is_sampled(spec: ModelSpec, key: str) -> bool:
    """Say whether the vectors of a key are logged: the same keys always, on every replica."""
    if spec.vector_sample >= 1.0:
        return True
    place = routing.bucket(_SAMPLE_SALT, key.encode())
    return place < spec.vector_sample * routing.BUCKETS


def times_of(question: Question, spec: ModelSpec) -> list[int | None]:
    """Return the moment each row asks for: the call's, else the row's own, else None (now)."""
    if question.at_us is not None or spec.fields.time is None:
        return [question.at_us] * len(question.rows)
    times = (row[spec.fields.time] for row in question.rows)
    return [value if isinstance(value, int) else None for value in times]


def adapted(rows: list[Row], given: ModelSpec, wanted: ModelSpec) -> list[Row]:
    """Reorder rows read by one definition to another one's order; what it adds is missing."""
    if given is wanted:
        return rows
    places = [given.fields.places.get(field.name) for field in wanted.fields.fields]
    return [tuple(None if p is None else row[p] for p in places) for row in rows]


def request_json(row: Row, spec: ModelSpec) -> str:
    """Write a row's fields as one JSON object, times as RFC 3339."""
    named = {
        field.name: time_text(value)
        if field.type is FieldType.TIMESTAMP and isinstance(value, int)
        else value
        for field, value in zip(spec.fields.fields, row, strict=True)
    }
    return orjson.dumps(named).decode()


async def _all(calls: Iterable[object]) -> list[Answer]:
    """Run calls at once; the first error is raised after all have ended."""
    results = await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[call-overload]
    for result in results:
        if isinstance(result, asyncio.CancelledError):
            raise DeadlineExceeded("the call was given up")
        if isinstance(result, BaseException):
            raise result
    return list(results)
