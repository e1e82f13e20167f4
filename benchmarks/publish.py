"""Accepted events/s through Publish in batches of 100, one ingestion process."""

from __future__ import annotations

import argparse
import asyncio
import time

import grpc
import orjson

from benchmarks.harness import applied, quantiles, running, where, write
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill.ingestion.v1.ingestion_service_pb2_grpc import IngestionServiceStub

PROJECT = """
project: bench
streams:
  clicks:
    key: [user]
    partitions: 4
    fields:
      user: {type: string, required: true}
      page: {type: string}
      price: {type: float64}
      count: {type: int64}
"""
BATCH = 100
USERS = 10_000
CLIENTS = 8


def requests(number: int) -> list[bytes]:
    """Return serialised requests, so that the client costs as little as may be."""
    return [
        pb.PublishRequest(
            events=[
                pb.Event(
                    id=f"{batch}-{row}",
                    source="bench",
                    stream="clicks",
                    data=orjson.dumps(
                        {
                            "user": f"user-{(batch * BATCH + row) * 7919 % USERS}",
                            "page": "/a/b",
                            "price": row * 1.25,
                            "count": row,
                        }
                    ),
                )
                for row in range(BATCH)
            ]
        ).SerializeToString()
        for batch in range(number)
    ]


async def publish_all(address: str, bodies: list[bytes]) -> tuple[float, list[float], int]:
    """Publish with CLIENTS callers; return seconds, latencies and accepted events."""
    waiting = iter(bodies)
    latencies: list[float] = []
    accepted = 0
    async with grpc.aio.insecure_channel(address) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/tidemill.ingestion.v1.IngestionService/Publish",
            request_serializer=None,
            response_deserializer=None,
        )

        async def caller() -> None:
            nonlocal accepted
            for body in waiting:
                begun = time.perf_counter()
                reply = await method(body, timeout=30)
                latencies.append(time.perf_counter() - begun)
                results = pb.PublishResponse.FromString(reply).results
                accepted += sum(1 for one in results if one.outcome == pb.OUTCOME_ACCEPTED)

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as callers:
            for _ in range(CLIENTS):
                callers.create_task(caller())
        return time.perf_counter() - begun, latencies, accepted


def main() -> None:
    """Measure, after a warm-up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=6_000)
    options = parser.parse_args()
    with running(["registry", "ingestion"]) as stack, applied(stack, PROJECT):
        address = where(stack).of("ingestion")
        wait_for_stream(address)
        asyncio.run(publish_all(address, requests(200)))
        bodies = requests(options.batches)
        seconds, latencies, accepted = asyncio.run(publish_all(address, bodies))
    write(
        "publish",
        {
            "what": f"Publish, batches of {BATCH}, {CLIENTS} callers, one ingestion process",
            "reach": ">= 50,000 accepted events/s",
            "accepted": accepted,
            "sent": len(bodies) * BATCH,
            "events_per_second": round(accepted / seconds),
            "batch_latency": quantiles(latencies),
        },
    )


def wait_for_stream(address: str) -> None:
    """Wait until ingestion has taken the project up."""
    event = pb.Event(id="probe", source="bench", stream="clicks", data=b'{"user":"probe"}')
    with grpc.insecure_channel(address) as channel:
        stub = IngestionServiceStub(channel)
        for _ in range(100):
            reply = stub.Publish(pb.PublishRequest(events=[event]), timeout=10, wait_for_ready=True)
            if reply.results[0].outcome == pb.OUTCOME_ACCEPTED:
                return
            time.sleep(0.2)
    raise SystemExit(f"the stream was not taken up: {reply.results[0].reason}")


if __name__ == "__main__":
    main()
