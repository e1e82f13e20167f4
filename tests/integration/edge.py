"""Ingestion as tests of its edges see it: one stream, its ways in, and its raw topic."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from tidemill import Event
from tidemill.client import Client
from tidemill.errors import TidemillError
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill.transport import channel
from tidemill_common import events
from tidemill_common.kafka import Broker, Record, TopicPartition, administering
from tidemill_common.kafka.ranges import stretch
from tidemill_local.library import LocalStack

PROJECT = """
project: edges
streams:
  reading:
    key: [sensor]
    replay: true
    fields:
      sensor: {type: string, required: true}
      level: {type: float64, minimum: 0, maximum: 1000}
      at: {type: timestamp}
views:
  sensors:
    stream: reading
    entity: [sensor]
    aggregations:
      - {function: count, windows: [1h]}
"""
STREAM, TOPIC = "reading", "events.reading"
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
NOW = datetime.now(UTC) - timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Edge:
    """A stack with one stream, and what lies in its raw topic."""

    stack: LocalStack
    client: Client

    def raw(self) -> list[Record]:
        """Return every record of the raw topic, read from the broker itself."""
        return asyncio.run(_records(Broker(self.stack.address("kafka"), "test")))

    def ids(self) -> Counter[str]:
        """Count the events of the raw topic by id; what is no record of events has none."""
        found: Counter[str] = Counter()
        for record in self.raw():
            try:
                found.update(events.decode(record.value or b"").column("_id").to_pylist())
            except TidemillError:
                continue
        return found

    def post(
        self, body: bytes, kind: str, path: str = "/events", method: str = "POST"
    ) -> tuple[int, dict[str, Any]]:
        """Send one HTTP request."""
        connection = http.client.HTTPConnection(self.stack.address("ingestion-http"), timeout=20)
        try:
            connection.request(method, path, body, {"content-type": kind})
            reply = connection.getresponse()
            text = reply.read()
            is_json = "json" in (reply.getheader("content-type") or "")
            return reply.status, json.loads(text) if is_json else {}
        finally:
            connection.close()

    def rpc(self, ask: Callable[[grpc.aio.Channel], Any]) -> Any:
        """Run a coroutine against ingestion's own channel."""

        async def run() -> Any:
            async with channel(self.stack.address("ingestion")) as opened:
                return await ask(opened)

        return asyncio.run(run())


async def _records(broker: Broker) -> list[Record]:
    partitions = [TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)]
    async with administering(broker) as admin:
        ends = await admin.end_offsets(partitions)
    return [r for tp in partitions async for some in stretch(broker, tp, 0, ends[tp]) for r in some]


def a_reading(event_id: str, **data: Any) -> Event:
    return Event(STREAM, {"sensor": "s1", "level": 1.0, **data}, id=event_id, source="t", time=NOW)


def accepted(reply: pb.PublishResponse, ids: Sequence[str]) -> list[str]:
    pairs = zip(ids, reply.results, strict=True)
    return [one for one, result in pairs if result.outcome == pb.OUTCOME_ACCEPTED]


def outcomes(results: Sequence[pb.EventResult]) -> list[str]:
    return [pb.Outcome.Name(r.outcome).removeprefix("OUTCOME_").lower() for r in results]


def a_cloud_event(event_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "web",
        "type": STREAM,
        "time": NOW.isoformat(),
        "data": {"sensor": "s2", "level": 2.5},
        **changes,
    }


@dataclass(slots=True)
class Publisher:
    """Publishes ten readings at a time and keeps what became of each attempt."""

    client: Client
    name: str
    accepted: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)
    errors: list[TidemillError] = field(default_factory=list)
    failure: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Publish until stopped; nothing is repeated."""
        number = 0
        while not self._stop.is_set():
            ids = [f"{self.name}{number + i}" for i in range(10)]
            number += 10
            batch = [a_reading(one, sensor=f"s{n}") for n, one in enumerate(ids)]
            try:
                reply = self.client.publish(batch, timeout=15.0)
            except TidemillError as error:
                self.errors.append(error)
            else:
                self.accepted.update(accepted(reply, ids))
                self.seen.update(outcomes(reply.results))
            time.sleep(0.02)

    def stop(self) -> None:
        """End."""
        self._stop.set()
