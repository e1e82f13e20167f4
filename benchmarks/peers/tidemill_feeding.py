"""How a workload reaches Tidemill: as requests over gRPC, or as columnar records."""

from __future__ import annotations

import asyncio
import time

import grpc
import numpy as np
import pyarrow as pa

from benchmarks.peers.processes import PeerFailed
from benchmarks.peers.workload import PARTITIONS, Workload
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill.ingestion.v1.ingestion_service_pb2_grpc import IngestionServiceStub
from tidemill_common import events
from tidemill_common.feature_views import StreamSpec
from tidemill_common.kafka import Broker, administering, producing

BATCH = 500
CALLERS = 8
READY_S = 90.0


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
