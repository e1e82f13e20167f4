"""Tidemill on the windowed row, as a user runs it: publish over gRPC, read features over gRPC.

`publish` takes the events' JSON through ingestion's Publish in batches while the features worker
runs; ingestion, the worker and the replica that answers reads are all counted. `backlog` publishes
everything first and then starts the worker, as the peers read a topic that is full. `columns`
starts the worker on columnar records: the engine alone. A run is done when the replica has it all.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import grpc
import numpy as np
import psutil
import pyarrow as pa

from benchmarks.harness import applied, where
from benchmarks.peers.expected import AGGREGATIONS, Row, compare, values_of
from benchmarks.peers.outcome import Outcome
from benchmarks.peers.processes import Meter, PeerFailed, Usage
from benchmarks.peers.workload import PARTITIONS, WINDOWS_MINUTES, Workload
from tidemill.client import Client
from tidemill.errors import TidemillError
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill.ingestion.v1.ingestion_service_pb2_grpc import IngestionServiceStub
from tidemill.project import loads, normalise
from tidemill_common import events
from tidemill_common.feature_views import StreamSpec, stream_spec
from tidemill_common.kafka import Broker, administering, producing
from tidemill_local.library import LocalStack

SERVICES = ("registry", "ingestion", "features-worker", "features-server")
MEASURED = ("ingestion", "features-worker", "features-server")
WINDOW_NAMES = ("1h", "6h", "1d")
BATCH = 500
CALLERS = 8
ENTITIES = 1_000
POLL_S = 0.02
READY_S = 90.0
SETTLE_S = 2.0
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
views:
  {name}:
    stream: {name}
    entity: [key]
    aggregations:
"""


def project(name: str) -> str:
    """Return the project file: six aggregations, three windows each, sliding by five minutes."""
    windows = ", ".join(f"{{length: {one}, hop: 5m}}" for one in WINDOW_NAMES)
    lines = [
        f"      - {{function: {one}, {'' if one == 'count' else 'field: value, '}"
        f"name: {one}, windows: [{windows}]}}\n"
        for one in AGGREGATIONS
    ]
    return STREAM.format(name=name) + "".join(lines)


class Tidemill:
    """Runs Tidemill on a stack that is there; its processes run only while it is measured."""

    def __init__(self, stack: LocalStack, limit_s: float) -> None:
        self._stack, self._limit_s, self._runs = stack, limit_s, itertools.count(1)

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
                self._stack.stop_process(worker)
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
                self._stack.stop_process(name)

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

    def _position(self, client: Client, name: str) -> int:
        return sum(position for position, _ in self._states(client, name))

    def _has(self, client: Client, name: str) -> bool:
        states = self._states(client, name)
        return len(states) == PARTITIONS and all(at >= end > 0 for at, end in states)

    def _outcome(self, client: Client, name: str, load: Workload, usage: Usage) -> Outcome:
        rows = list(values(client, name, load))
        return Outcome(load.events, usage, compare(values_of(load), rows))


def requests(name: str, load: Workload) -> list[bytes]:
    """Return serialised requests: the events' JSON as the peers read it, and their times."""
    made: list[bytes] = []
    data, times = load.json(), load.at_ms.tolist()
    for start in range(0, load.events, BATCH):
        request = pb.PublishRequest()
        for body, at in zip(data[start : start + BATCH], times[start:], strict=False):
            event = request.events.add(source="bench", stream=name, data=body)
            event.time.FromMilliseconds(at)
            event.available_time.CopyFrom(event.time)
        made.append(request.SerializeToString())
    return made


def take_up(address: str, event: pb.Event) -> None:
    """Publish the first event until it is accepted; published again it counts once."""
    with grpc.insecure_channel(address) as channel:
        stub = IngestionServiceStub(channel)
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            request = pb.PublishRequest(events=[event])
            reply = stub.Publish(request, timeout=10, wait_for_ready=True)
            if reply.results[0].outcome == pb.OUTCOME_ACCEPTED:
                return
            time.sleep(0.2)
    raise PeerFailed(f"the stream was not taken up: {reply.results[0].reason}")


async def publish_all(address: str, bodies: list[bytes]) -> None:
    """Publish in order per caller; every event must be accepted."""
    waiting = iter(bodies)
    async with grpc.aio.insecure_channel(address) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/tidemill.ingestion.v1.IngestionService/Publish",
            request_serializer=None,
            response_deserializer=None,
        )

        async def caller() -> None:
            for body in waiting:
                reply = pb.PublishResponse.FromString(await method(body, timeout=60))
                for one in reply.results:
                    if one.outcome != pb.OUTCOME_ACCEPTED:
                        raise PeerFailed(f"an event was not accepted: {one.reason}")

        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(caller())


async def fill(kafka: str, spec: StreamSpec, load: Workload) -> None:
    """Append the workload as columnar records of 500 events."""
    async with administering(Broker(kafka)) as admin, producing(Broker(kafka)) as producer:
        await admin.ensure([spec.topic])
        partitions = load.partition()
        for partition in range(PARTITIONS):
            mine = np.flatnonzero(partitions == partition)
            for start in range(0, len(mine), BATCH):
                value = events.encode(columns(spec, load, mine[start : start + BATCH]))
                producer.enqueue(spec.topic.name, value, partition=partition)
                if producer.waiting > BATCH:
                    await producer.flush(READY_S)
        await producer.flush(READY_S)


def columns(spec: StreamSpec, load: Workload, rows: np.ndarray) -> pa.RecordBatch:
    """Return some of the workload's events as the record that ingestion would append."""
    schema = events.event_schema(spec.columns)
    ids = pa.array([f"e{one}" for one in rows.tolist()])
    at = pa.array(load.at_ms[rows] * 1_000).cast(events.TIMESTAMP)
    found = {
        "_id": ids,
        "_source": pa.array(["bench"] * len(rows)),
        "_time": at,
        "_available": at,
        "_replay_of": pa.nulls(len(rows), pa.string()),
        "id": ids,
        "key": pa.array([f"k{one}" for one in load.key[rows].tolist()]),
        "at": pa.array(load.at_ms[rows]),
        "value": pa.array(load.cents[rows] / 100),
    }
    return pa.RecordBatch.from_arrays([found[name] for name in schema.names], schema=schema)


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
