"""Publish lines of JSON, and remember what became of each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import uuid4

import orjson

from tidemill.errors import Invalid
from tidemill.events import Event
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb

BATCH: Final = 500
ATTEMPTS: Final = 5
PAUSE_S: Final = 1.0
AGAIN: Final = ("unknown", "unavailable")
OUTCOMES: Final = ("accepted", "rejected", *AGAIN)


class Publisher(Protocol):
    """Whatever takes events; the client does."""

    def publish(self, events: Iterable[Event]) -> pb.PublishResponse:
        """Publish, and say of each event what became of it."""


@dataclass(slots=True)
class Publishing:
    """Sends batches; what did not get through is sent again with the same id, some times."""

    stream: str
    source: str
    id_field: str = ""
    pause_s: float = PAUSE_S
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    refused: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[pb.PositionToken] = field(default_factory=list)

    def run(self, client: Publisher, lines: Iterable[bytes]) -> None:
        """Publish every line."""
        batch: list[tuple[int, Event]] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                batch.append((number, self.event(line)))
            except Invalid as error:
                self._note(number, "rejected", error.message)
            if len(batch) == BATCH:
                self._send(client, batch)
                batch = []
        if batch:
            self._send(client, batch)

    def event(self, line: bytes) -> Event:
        """Read one line; Invalid says what is wrong with it."""
        try:
            data = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise Invalid(f"not JSON: {error}") from error
        if not isinstance(data, dict):
            raise Invalid("not a JSON object")
        if self.id_field and self.id_field not in data:
            raise Invalid(f"no field {self.id_field!r}, which should hold the event's id")
        event_id = str(data[self.id_field]) if self.id_field else str(uuid4())
        return Event(self.stream, data, id=event_id, source=self.source)

    def _send(self, client: Publisher, batch: Sequence[tuple[int, Event]]) -> None:
        waiting = list(batch)
        for attempt in range(1, ATTEMPTS + 1):
            reply = client.publish([event for _, event in waiting])
            self.tokens.append(reply.token)
            again: list[tuple[int, Event]] = []
            for (number, event), result in zip(waiting, reply.results, strict=True):
                outcome = pb.Outcome.Name(result.outcome).removeprefix("OUTCOME_").lower()
                if outcome in AGAIN and attempt < ATTEMPTS:
                    again.append((number, event))
                else:
                    self._note(number, outcome, result.reason, result.field)
            waiting = again
            if not waiting:
                return
            time.sleep(self.pause_s)

    def _note(self, line: int, outcome: str, reason: str = "", name: str = "") -> None:
        self.counts[outcome] += 1
        if outcome != "accepted":
            self.refused.append({"line": line, "outcome": outcome, "field": name, "reason": reason})
