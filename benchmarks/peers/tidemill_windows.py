"""Tidemill on the windowed row, as a user runs it: publish over gRPC, read features over gRPC.

`publish` takes the events' JSON through ingestion's Publish in batches while the features worker
runs; ingestion, the worker and the replica that answers reads are all counted. `json_topic` bridges
the very topic that the peers read. `backlog` publishes everything first and then starts the worker,
as the peers read a topic that is full. `columns` starts the worker on columnar records: the engine
alone. A run is done when the replica has it all.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psutil

from benchmarks.harness import applied, where
from benchmarks.peers.expected import AGGREGATIONS, Row, compare, values_of
from benchmarks.peers.outcome import Outcome
from benchmarks.peers.processes import Meter, PeerFailed, Usage
from benchmarks.peers.tidemill_feeding import READY_S, fill, publish_all, requests, take_up
from benchmarks.peers.topics import Topics
from benchmarks.peers.workload import PARTITIONS, WINDOWS_MINUTES, Workload
from tidemill.client import Client
from tidemill.errors import TidemillError
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill.project import loads, normalise
from tidemill_common.feature_views import stream_spec
from tidemill_common.kafka import Broker, administering
from tidemill_local.library import LocalStack

SERVICES = ("registry", "ingestion", "ingestion-bridge", "features-worker", "features-server")
ENGINE = ("features-worker", "features-server")
BRIDGE = "ingestion-bridge"
MEASURED = ("ingestion", *ENGINE)
WINDOW_NAMES = ("1h", "6h", "1d")
ENTITIES = 1_000
POLL_S = 0.02
SETTLE_S = 2.0
SESSION_S = 9.0
STREAM = """
project: peers
streams:
  {name}:
    key: [key]
    event_id_field: id
    partitions: 2
    replay: true
    lateness: 1d
    fields:
      id: {{type: string, required: true}}
      key: {{type: string, required: true}}
      at: {{type: int64, required: true}}
      value: {{type: float64, required: true, resolution: 0.01}}
{source}views:
  {name}:
    stream: {name}
    entity: [key]
    aggregations:
"""
SOURCE = """
    source:
      topic: {topic}
      format: json
      columns: {{id: string, key: string, at: int64, value: float64}}
      time: CAST(at * 1000 AS TIMESTAMP)
      available: CAST(at * 1000 AS TIMESTAMP)
"""


def project(name: str, topic: str = "") -> str:
    """Return the project file: six aggregations, three windows each, sliding by five minutes.

    `topic` is the topic of others that the stream is read from, if there is one.
    """
    source = SOURCE.format(topic=topic).lstrip("\n") if topic else ""
    windows = ", ".join(f"{{length: {one}, hop: 5m}}" for one in WINDOW_NAMES)
    lines = [
        f"      - {{function: {one}, {'' if one == 'count' else 'field: value, '}"
        f"name: {one}, windows: [{windows}]}}\n"
        for one in AGGREGATIONS
    ]
    return STREAM.format(name=name, source=source) + "".join(lines)


class Tidemill:
    """Runs Tidemill on a stack that is there; its processes run only while it is measured."""

    def __init__(self, stack: LocalStack, filled: Topics, limit_s: float) -> None:
        self._stack, self._filled, self._limit_s = stack, filled, limit_s
        self._runs = itertools.count(1)

    def publish(self, load: Workload) -> Outcome:
        """Publish the events' JSON over gRPC and wait until the replica has them all."""
        name = f"published{next(self._runs)}"
        bodies = requests(name, load)
        with applied(self._stack, project(name)) as client, self._started(MEASURED):
            self._await_view(client, name)
            address = where(self._stack).of("ingestion")
            take_up(address, pb.PublishRequest.FromString(bodies[0]).events[0])
            time.sleep(SETTLE_S)
            usage = self._measured(
                MEASURED,
                lambda: asyncio.run(publish_all(address, bodies)),
                lambda: self._has(client, name),
            )
            return self._outcome(client, name, load, usage)

    def json_topic(self, load: Workload) -> Outcome:
        """Bridge the topic that the peers read; begun when the bridge has committed first."""
        name = f"bridged{next(self._runs)}"
        topic = self._filled.of(load)
        with applied(self._stack, project(name, topic)) as client, self._started(ENGINE):
            self._await_view(client, name)
            self._stack.start_process(BRIDGE)
            try:
                self._await(lambda: self._bridged(name) > 0, "the first batch of the bridge")
                before = self._bridged(name)
                usage = self._measured(
                    (BRIDGE, *ENGINE),
                    lambda: self._await(lambda: self._bridged(name) == load.records, "the bridge"),
                    lambda: self._has(client, name),
                )
                outcome = self._outcome(client, name, load, usage)
            finally:
                self._stack.stop_process(BRIDGE)
        return Outcome(load.records - before, usage, outcome.verdict)

    def backlog(self, load: Workload) -> Outcome:
        """Publish everything with the engine stopped, then let it drain: two costs, added up."""
        name = f"backlog{next(self._runs)}"
        bodies = requests(name, load)
        with applied(self._stack, project(name)) as client:
            with self._started(("ingestion",)):
                address = where(self._stack).of("ingestion")
                take_up(address, pb.PublishRequest.FromString(bodies[0]).events[0])
                published = self._measured(
                    ("ingestion",), lambda: asyncio.run(publish_all(address, bodies)), lambda: True
                )
            drained = self._drained(client, name, load)
        share = load.events / max(drained.events, 1)  # what the first flush had is not in it
        usage = Usage(
            published.seconds + drained.usage.seconds * share,
            published.cpu_seconds + drained.usage.cpu_seconds * share,
            max(published.peak_mib, drained.usage.peak_mib),
            {**published.by_process, **drained.usage.by_process},
        )
        return Outcome(load.events, usage, drained.verdict)

    def columns(self, load: Workload) -> Outcome:
        """Start the engine on a backlog of columnar records; begun at its first flush."""
        name = f"columns{next(self._runs)}"
        spec = stream_spec(normalise(loads(project(name)).project), name)
        asyncio.run(fill(self._stack.address("kafka"), spec, load))
        with applied(self._stack, project(name)) as client:
            return self._drained(client, name, load)

    def _drained(self, client: Client, name: str, load: Workload) -> Outcome:
        worker, replica = "features-worker", "features-server"
        with self._started((replica,)):
            self._stack.start_process(worker)
            try:
                self._await(lambda: self._position(client, name) > 0, "the first flush")
                states = self._states(client, name)
                done = sum(at / max(end, 1) for at, end in states) / PARTITIONS
                usage = self._measured(
                    (worker, replica), lambda: None, lambda: self._has(client, name)
                )
                outcome = self._outcome(client, name, load, usage)
            finally:
                self._stop(worker)
        return Outcome(round(load.events * (1 - done)), outcome.usage, outcome.verdict)

    @contextmanager
    def _started(self, names: Iterable[str]) -> Iterator[None]:
        begun: list[str] = []
        try:
            for name in names:
                self._stack.start_process(name)
                begun.append(name)
                self._stack.wait_up(name, READY_S)
            yield
        finally:
            for name in reversed(begun):
                self._stop(name)

    def _stop(self, name: str) -> None:
        """Stop a process; a worker that came back in its session would get its old partitions."""
        self._stack.stop_process(name)
        if name == "features-worker":
            time.sleep(SESSION_S)

    def _measured(
        self, names: Iterable[str], work: Callable[[], None], done: Callable[[], bool]
    ) -> Usage:
        meters = {name: Meter([psutil.Process(self._stack.pid(name))]) for name in names}
        begun = time.perf_counter()
        before = {name: meter.cpu_seconds() for name, meter in meters.items()}
        work()
        self._await(done, "every event in the replica")
        seconds = time.perf_counter() - begun
        used = {name: meter.cpu_seconds() - before[name] for name, meter in meters.items()}
        peak = sum(meter.peak for meter in meters.values()) / 2**20
        return Usage(seconds, sum(used.values()), peak, {n: round(u, 3) for n, u in used.items()})

    def _await(self, ready: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + self._limit_s
        while not ready():
            if time.monotonic() > end:
                raise PeerFailed(f"not done after {self._limit_s:.0f} s: {what}")
            time.sleep(POLL_S)

    def _await_view(self, client: Client, name: str) -> None:
        self._await(lambda: len(self._states(client, name)) == PARTITIONS, "the view")

    def _states(self, client: Client, name: str) -> list[tuple[int, int]]:
        try:
            views = client.describe_views().views
        except TidemillError:
            return []  # the service is taking the project up
        return [(one.position, one.source_end) for one in views if one.view == name and one.ready]

    def _bridged(self, name: str) -> int:
        """Return how many records of the source the bridge has committed."""

        async def ask() -> int:
            async with administering(Broker(self._stack.address("kafka"))) as admin:
                return sum((await admin.committed(f"tidemill-bridge.{name}")).values())

        return asyncio.run(ask())

    def _position(self, client: Client, name: str) -> int:
        return sum(position for position, _ in self._states(client, name))

    def _has(self, client: Client, name: str) -> bool:
        states = self._states(client, name)
        return len(states) == PARTITIONS and all(at >= end > 0 for at, end in states)

    def _outcome(self, client: Client, name: str, load: Workload, usage: Usage) -> Outcome:
        rows = list(values(client, name, load))
        return Outcome(load.events, usage, compare(values_of(load), rows))


def values(client: Client, name: str, load: Workload) -> Iterator[Row]:
    """Read every key over gRPC as of the end of the run."""
    at = datetime.fromtimestamp(load.end_ms / 1_000, UTC)
    wanted = [f"{one}_{window}" for window in WINDOW_NAMES for one in AGGREGATIONS]
    for start in range(0, load.keys, ENTITIES):
        keys = [f"k{number}" for number in range(start, min(start + ENTITIES, load.keys))]
        reply = client.get_features(name, [{"key": key} for key in keys], features=wanted, at=at)
        for key, entity in zip(keys, reply.entities, strict=True):
            for index, minutes in enumerate(WINDOWS_MINUTES):
                six = tuple(entity.values[index * 6 : index * 6 + 6])
                if six[0] > 0 and not math.isnan(six[0]):
                    yield key, minutes, six
