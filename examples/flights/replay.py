"""Replay a timetable in steps, as live apps would: publish what has happened, then ask.

Step by step over (a, b]: publish the events of the step as available at b, then, holding the
publish reply's token, ask for every flight whose prediction is due in b <= T < b + step. So an
answer rests on exactly what was known, however fast the replay runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson
import polars as pl
from timetable import Timetable

from tidemill import Event, merge
from tidemill.aio import AsyncClient
from tidemill.errors import FailedPrecondition, Transient
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill.serving.v1 import serving_service_pb2 as serving_pb

MODEL = "late_arrival"
SOURCE = "flights-replay"
BATCH = 500
ASKING_AT_ONCE = 16
TRIES = 20
DEADLINE_S = 20.0
REQUEST_FIELDS = (
    *("flight_id", "carrier", "origin", "dest", "route", "tailnum"),
    *("hour", "weekday", "distance"),
)


class Lost(Exception):
    """An event or a prediction could not be placed in many tries."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One served prediction; `asked` is seconds since the epoch when it was answered."""

    flight_id: str
    at: datetime
    score: float
    version: int
    variant: str
    freshness_ms: float
    latency_ms: float
    asked: float


@dataclass(slots=True)
class Progress:
    """What the replay has done so far."""

    now: datetime
    events: int = 0
    refused: int = 0
    retries: int = 0
    unanswered: int = 0
    answers: list[Answer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Replay:
    """A timetable, cut into steps."""

    client: AsyncClient
    timetable: Timetable
    start: datetime
    end: datetime
    step: timedelta

    async def run(
        self, progress: Progress, before_step: Callable[[datetime], Awaitable[None]]
    ) -> None:
        """Replay all; `before_step` may wait, and act as a user at a moment of the replay."""
        events = self._steps(self.timetable.events, "available", after=True)
        flights = self._steps(self.timetable.flights, "predict_at", after=False)
        for number in range(int((self.end - self.start) / self.step)):
            until = self.start + (number + 1) * self.step
            await before_step(until)
            token = await self._publish(events.get(number), until, progress)
            await self._ask(flights.get(number + 1), token, progress)
            progress.now = until

    def _steps(self, rows: pl.DataFrame, column: str, *, after: bool) -> dict[int, pl.DataFrame]:
        """Group rows by step: (a, b] for events, which are known at b; [b, next b) for flights."""
        offset = (pl.col(column) - self.start).dt.total_microseconds()
        width = int(self.step.total_seconds() * 1_000_000)
        number = (offset - 1 if after else offset).floordiv(width)
        parts = rows.with_columns(_step=number).partition_by(
            "_step", as_dict=True, include_key=False
        )
        return {int(key[0]): part for key, part in parts.items()}

    async def _publish(
        self, rows: pl.DataFrame | None, until: datetime, progress: Progress
    ) -> pb.PositionToken:
        if rows is None:
            return pb.PositionToken()
        waiting = [
            Event(
                row["stream"],
                orjson.loads(row["data"]),
                id=row["event_id"],
                source=SOURCE,
                time=row["available"],
                available=until,
            )
            for row in rows.iter_rows(named=True)
        ]
        tokens: list[pb.PositionToken] = []
        for _ in range(TRIES):
            if not waiting:
                return merge(tokens)
            again: list[Event] = []
            for batch in _batches(waiting):
                reply, left = await self._publish_batch(batch, progress)
                tokens += reply
                again += left
            progress.retries += len(again)
            waiting = again
            if again:
                await asyncio.sleep(0.25)
        raise Lost(f"{len(waiting)} events at {until} were not accepted in {TRIES} tries")

    async def _publish_batch(
        self, batch: Sequence[Event], progress: Progress
    ) -> tuple[list[pb.PositionToken], list[Event]]:
        """Publish; return the token and the events that must be sent again with the same id."""
        try:
            reply = await self.client.publish(batch)
        except Transient:
            return [], list(batch)
        again = []
        for event, result in zip(batch, reply.results, strict=True):
            if result.outcome == pb.OUTCOME_ACCEPTED:
                progress.events += 1
            elif result.outcome == pb.OUTCOME_REJECTED:
                progress.refused += 1
            else:
                again.append(event)
        return [reply.token], again

    async def _ask(
        self, rows: pl.DataFrame | None, token: pb.PositionToken, progress: Progress
    ) -> None:
        if rows is None:
            return
        room = asyncio.Semaphore(ASKING_AT_ONCE)

        async def ask(at: datetime, flights: pl.DataFrame) -> None:
            async with room:
                await self._ask_at(at, flights, token, progress)

        async with asyncio.TaskGroup() as asking:
            for (at,), flights in rows.partition_by("predict_at", as_dict=True).items():
                asking.create_task(ask(at, flights))

    async def _ask_at(
        self, at: datetime, flights: pl.DataFrame, token: pb.PositionToken, progress: Progress
    ) -> None:
        requests = flights.select(REQUEST_FIELDS).to_dicts()
        begun = time.perf_counter()
        try:
            predictions = await self._predict(requests, at, token)
        except FailedPrecondition:  # no version yet
            progress.unanswered += len(requests)
            return
        latency = (time.perf_counter() - begun) * 1_000
        for request, prediction in zip(requests, predictions, strict=True):
            progress.answers.append(_answer(request["flight_id"], at, prediction, latency))

    async def _predict(
        self, requests: list[dict[str, str]], at: datetime, token: pb.PositionToken
    ) -> list[serving_pb.Prediction]:
        for attempt in range(TRIES):
            try:
                return await self.client.predict(
                    MODEL, requests, at=at, token=token, timeout=DEADLINE_S
                )
            except Transient:
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(0.25)
        raise Lost(f"no answer for {at}")


def _batches(events: Sequence[Event]) -> list[Sequence[Event]]:
    return [events[start : start + BATCH] for start in range(0, len(events), BATCH)]


def _answer(
    flight_id: str, at: datetime, prediction: serving_pb.Prediction, latency_ms: float
) -> Answer:
    return Answer(
        flight_id,
        at,
        prediction.score,
        prediction.version,
        prediction.variant,
        prediction.freshness_ms,
        latency_ms,
        time.time(),
    )
