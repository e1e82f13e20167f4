"""Foreign topics: events/s and CPU per event of the bridge, for each encoding, and its latency."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import fastavro
import numpy as np
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.harness import applied, quantiles, running, write
from tidemill.project import loads, normalise
from tidemill.project.schemas import protobuf
from tidemill_common import events
from tidemill_common.kafka import Broker, Record, administering
from tidemill_ingestion.foreign.source import compile_source
from tidemill_local.library import LocalStack
from tidemill_tiles.kernels import warm_up

PARTITIONS = 4
AVRO = {
    "type": "record",
    "name": "Ride",
    "fields": [
        {"name": "ride_id", "type": "string"},
        {
            "name": "user",
            "type": {
                "type": "record",
                "name": "User",
                "fields": [
                    {"name": "id", "type": "string"},
                    {"name": "tier", "type": ["null", "string"], "default": None},
                ],
            },
        },
        {"name": "cents", "type": "long"},
        {"name": "tip", "type": ["null", "double"], "default": None},
        {"name": "at_ms", "type": "long"},
        {"name": "paid", "type": "boolean"},
    ],
}
PROTO = """
syntax = "proto3";
package rides.v1;
message User { string id = 1; optional string tier = 2; }
message Ride {
  string ride_id = 1;
  User user = 2;
  int64 cents = 3;
  optional double tip = 4;
  int64 at_ms = 5;
  bool paid = 6;
}
"""
SOURCES = {
    "json": "format: json\n      columns: {ride_id: string, user.id: string, user.tier: string, "
    "cents: int64, tip: float64, at_ms: int64, paid: bool}",
    "avro": f"format: avro\n      schema: '{json.dumps(AVRO)}'",
    "protobuf": "format: protobuf\n      message: rides.v1.Ride\n      schema: |\n"
    + "".join(f"        {line}\n" for line in PROTO.splitlines()),
}
STREAM = """
  {name}:
    key: [rider]
    partitions: 4
    event_id_field: ride_id
    event_time_field: at
    fields:
      ride_id: {{type: string, required: true}}
      rider: {{type: string, required: true}}
      tier: string
      fare: float64
      tip: float64
      paid: bool
      at: {{type: timestamp, required: true}}
    source:
      topic: {name}.raw
      {source}
      fields:
        rider: '"user.id"'
        tier: '"user.tier"'
        fare: cents / 100.0
        at: CAST(at_ms * 1000 AS TIMESTAMP)
"""
RATE = 1_000
LATENCY_SECONDS = 8
IN_PROCESS_RECORDS = 20_000


def project(names: Sequence[str]) -> str:
    """Streams of these encodings."""
    streams = "".join(STREAM.format(name=name, source=SOURCES[name]) for name in names)
    return f"project: bench\nstreams:{streams}"


def encoders() -> dict[str, Callable[[dict[str, Any]], bytes]]:
    """How others write a ride."""
    schema = fastavro.parse_schema(AVRO)
    ride = protobuf.message_class(PROTO, "rides.v1.Ride")

    def avro(row: dict[str, Any]) -> bytes:
        body = io.BytesIO()
        fastavro.schemaless_writer(body, schema, row)
        return body.getvalue()

    def proto(row: dict[str, Any]) -> bytes:
        return ride(**row).SerializeToString()

    return {"json": lambda row: json.dumps(row).encode(), "avro": avro, "protobuf": proto}


def a_ride(number: int, at_ms: int) -> dict[str, Any]:
    """Return one of 10,000 riders' rides."""
    tier = {} if number % 2 else {"tier": "gold"}
    return {
        "ride_id": f"ride-{number}",
        "user": {"id": f"user-{number * 7919 % 10_000}", **tier},
        "cents": number % 5_000,
        "tip": number % 700 / 7,
        "at_ms": at_ms,
        "paid": number % 3 == 0,
    }


def in_process(name: str, values: Sequence[bytes]) -> float:
    """Return the CPU microseconds of decoding, mapping and checking one record."""
    source = compile_source(normalise(loads(project([name])).project).streams[0])
    now_us = time.time_ns() // 1_000
    records = [
        Record(f"{name}.raw", 0, number, now_us // 1_000, None, value, ())
        for number, value in enumerate(values)
    ]
    batches = [records[at : at + 2_000] for at in range(0, len(records), 2_000)]
    for batch in batches[:2]:
        assert not source.events(batch, now_us).refusals
    begun = time.process_time()
    for batch in batches:
        source.events(batch, now_us)
    return (time.process_time() - begun) / len(records) * 1e6


async def make_topics(address: str, names: Sequence[str]) -> None:
    """Make the topics of others."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(f"{name}.raw", PARTITIONS, 1) for name in names])
    finally:
        await admin.close()


async def fill(address: str, name: str, values: Sequence[bytes]) -> None:
    """Write a backlog."""
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=20, max_batch_size=262_144)
    await producer.start()
    try:
        for number, value in enumerate(values):
            await producer.send(f"{name}.raw", value, partition=number % PARTITIONS)
        await producer.flush()
    finally:
        await producer.stop()


async def drained(stack: LocalStack, name: str, records: int) -> dict[str, float]:
    """Follow the group's offsets until all is bridged; count what the process used meanwhile."""
    broker = Broker(stack.address("kafka"), "bench")
    bridge = psutil.Process(stack.pid("ingestion-bridge"))
    group = f"tidemill-bridge.{name}"

    def cpu() -> float:
        times = bridge.cpu_times()
        return float(times.user + times.system)

    async with administering(broker) as admin:
        done = 0
        while not done:
            await asyncio.sleep(0.02)
            done = sum((await admin.committed(group)).values())
        first, begun, used = done, time.perf_counter(), cpu()
        while done < records:
            await asyncio.sleep(0.02)
            done = sum((await admin.committed(group)).values())
        seconds, used = time.perf_counter() - begun, cpu() - used
    return {
        "events": done - first,
        "events_per_second": round((done - first) / seconds),
        "events_per_cpu_second": round((done - first) / used),
        "cpu_us_per_event": round(used / (done - first) * 1e6, 2),
    }


async def latencies(address: str, encode: Callable[[dict[str, Any]], bytes]) -> list[float]:
    """Write JSON rides at a steady rate; return the seconds until each is in events.json."""
    consumer = AIOKafkaConsumer(
        "events.json", bootstrap_servers=address, auto_offset_reset="latest", fetch_max_wait_ms=20
    )
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=0)
    await consumer.start()
    await producer.start()
    await consumer.seek_to_end()
    for partition in consumer.assignment():
        await consumer.position(partition)  # the end as it is now
    total = RATE * LATENCY_SECONDS
    found: list[float] = []
    try:

        async def produce() -> None:
            begun = time.monotonic()
            for number in range(total):
                await asyncio.sleep(max(0.0, begun + number / RATE - time.monotonic()))
                row = a_ride(10**9 + number, time.time_ns() // 1_000_000)
                row["tip"] = time.monotonic()
                await producer.send("json.raw", encode(row), partition=number % PARTITIONS)

        producing = asyncio.create_task(produce())
        async with asyncio.timeout(LATENCY_SECONDS + 30):
            while len(found) < total:
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    now = time.monotonic()
                    for record in records:
                        tips = events.decode(record.value).column("tip").to_pylist()
                        found += [now - tip for tip in tips]
        await producing
    finally:
        await producer.stop()
        await consumer.stop()
    return found[RATE:]


def main() -> None:
    """Measure each encoding alone, then the latency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    options = parser.parse_args()
    warm_up()
    now_ms = time.time_ns() // 1_000_000
    encode = encoders()
    values = {
        name: [each(a_ride(number, now_ms)) for number in range(options.records)]
        for name, each in encode.items()
    }
    figures: dict[str, dict[str, float]] = {}
    names = list(encode)
    with running(["registry", "ingestion", "ingestion-bridge"]) as stack:
        kafka = stack.address("kafka")
        asyncio.run(make_topics(kafka, names))
        for place, name in enumerate(names):
            asyncio.run(fill(kafka, name, values[name]))
            with applied(stack, project(names[: place + 1])):
                figures[name] = asyncio.run(drained(stack, name, options.records))
            alone = in_process(name, values[name][:IN_PROCESS_RECORDS])
            figures[name]["cpu_us_decode_map_check"] = round(alone, 2)
            figures[name]["bytes_per_event"] = round(float(np.mean([*map(len, values[name])])), 1)
        found = asyncio.run(latencies(kafka, encode["json"]))
    write(
        "foreign_topics",
        {
            "what": "backlog of one event a record, 7 mapped fields, one bridge process",
            "reach": ">= 50,000 events per CPU-second for each encoding",
            **figures,
            "latency_json_1000_per_second": quantiles(found),
        },
    )


if __name__ == "__main__":
    main()
