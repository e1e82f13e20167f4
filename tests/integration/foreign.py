"""Apps that know nothing of the platform: they write rides to topics of their own, three ways."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import fastavro
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tidemill.project.schemas import protobuf

PARTITIONS = 3
HIGHEST_CENTS = 100_000
RIDERS = 40

AVRO_1 = {
    "type": "record",
    "name": "Ride",
    "namespace": "rides.v1",
    "fields": [
        {"name": "ride_id", "type": "string"},
        {
            "name": "user",
            "type": {
                "type": "record",
                "name": "User",
                "fields": [{"name": "id", "type": "string"}],
            },
        },
        {"name": "cents", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["RIDE", "TEST"]}},
    ],
}
AVRO_2 = {
    **AVRO_1,
    "fields": [
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        *AVRO_1["fields"],
        {"name": "tip", "type": ["null", "double"], "default": None},
    ],
}
AVRO_IDS = {7: AVRO_1, 12: AVRO_2}
PROTO = """
syntax = "proto3";
package rides.v1;
import "google/protobuf/timestamp.proto";
message Other { string ride_id = 1; }
message User { string id = 1; }
enum Kind { KIND_RIDE = 0; KIND_TEST = 1; }
message Ride {
  string ride_id = 1;
  User user = 2;
  int64 cents = 3;
  google.protobuf.Timestamp at = 4;
  Kind kind = 5;
}
"""
_STREAM = """
  {name}:
    key: [rider]
    event_id_field: ride_id
    event_time_field: at
    fields:
      ride_id: {{type: string, required: true}}
      rider: {{type: string, required: true}}
      cents: {{type: int64, minimum: 0, maximum: {highest}}}
      at: {{type: timestamp, required: true}}
    source:
      topic: {name}.raw
{source}
      fields: {{rider: '"user.id"'{more}}}
"""
_VIEW = """
  {name}_riders:
    stream: {name}
    entity: [rider]
    aggregations:
      - {{function: count, windows: [lifetime]}}
      - {{function: sum, field: cents, windows: [lifetime, 1d]}}
"""


def project(highest_json: int = HIGHEST_CENTS) -> str:
    """Three streams with their sources; JSON's fares may be up to `highest_json` cents."""
    avro = "".join(
        f"        {number}: '{json.dumps(schema)}'\n" for number, schema in AVRO_IDS.items()
    )
    proto = "".join(f"        {line}\n" for line in PROTO.splitlines())
    sources = {
        "js": "      format: json\n"
        "      columns: {ride_id: string, user.id: string, cents: int64, at_ms: int64, kind: string}\n"
        "      filter: kind = 'RIDE'",
        "av": f"      format: avro\n      schemas:\n{avro}      filter: kind = 'RIDE'",
        "pr": f"      format: protobuf\n      message: rides.v1.Ride\n      schema: |\n{proto}"
        "      filter: kind = 'KIND_RIDE'",
    }
    more = {"js": ", at: CAST(at_ms * 1000 AS TIMESTAMP)", "av": "", "pr": ""}
    streams = "".join(
        _STREAM.format(
            name=name,
            source=source,
            more=more[name],
            highest=highest_json if name == "js" else HIGHEST_CENTS,
        )
        for name, source in sources.items()
    )
    views = "".join(_VIEW.format(name=name) for name in sources)
    return f"project: foreign\nstreams:{streams}views:{views}"


@dataclass(frozen=True, slots=True)
class Ride:
    """What an app has to tell."""

    number: int
    cents: int
    at_ms: int
    kind: str = "RIDE"

    @property
    def id(self) -> str:
        return f"r{self.number}"

    @property
    def rider(self) -> str:
        return f"u{self.number * 7919 % RIDERS}"


def to_json(ride: Ride) -> bytes:
    return json.dumps(
        {
            "ride_id": ride.id,
            "user": {"id": ride.rider, "name": "é"},
            "cents": ride.cents,
            "at_ms": ride.at_ms,
            "kind": ride.kind,
            "more": [{"a": 1}],
        }
    ).encode()


def to_avro(ride: Ride) -> bytes:
    number = 7 if ride.number % 2 else 12
    row: dict[str, Any] = {
        "ride_id": ride.id,
        "user": {"id": ride.rider},
        "cents": ride.cents,
        "at": ride.at_ms,
        "kind": ride.kind,
        "tags": ["a", "b"],
        "tip": None,
    }
    body = io.BytesIO()
    fastavro.schemaless_writer(body, AVRO_IDS[number], row)
    return b"\x00" + number.to_bytes(4) + body.getvalue()


RIDE = protobuf.message_class(PROTO, "rides.v1.Ride")


def to_protobuf(ride: Ride) -> bytes:
    seconds, millis = divmod(ride.at_ms, 1_000)
    message = RIDE(
        ride_id=ride.id,
        user={"id": ride.rider},
        cents=ride.cents,
        at={"seconds": seconds, "nanos": millis * 1_000_000},
        kind=f"KIND_{ride.kind}",
    )
    return message.SerializeToString()


ENCODERS = {"js": to_json, "av": to_avro, "pr": to_protobuf}


@dataclass(slots=True)
class App:
    """Writes one topic and remembers what it wrote, apart from the platform."""

    name: str
    now_ms: int
    seed: int = 1
    rides: list[Ride] = field(default_factory=list)
    poison: list[bytes] = field(default_factory=list)
    _count: int = 0

    def records(self, number: int, *, poison_every: int = 400) -> Iterator[bytes]:
        """Yield records: rides, one in ten of them twice, tests, and now and then poison."""
        chance = random.Random(f"{self.name}{self.seed}{self._count}")
        encode = ENCODERS[self.name]
        for _ in range(number):
            self._count += 1
            if self._count % poison_every == 0:
                value = _spoilt(encode(self._ride(chance)), self._count // poison_every)
                self.poison.append(value)
                yield value
                continue
            ride = self._ride(chance, "TEST" if self._count % 11 == 0 else "RIDE")
            copies = 2 if self._count % 10 == 0 else 1
            if ride.kind == "RIDE":
                self.rides += [ride] * copies
            yield from [encode(ride)] * copies

    def _ride(self, chance: random.Random, kind: str = "RIDE") -> Ride:
        ahead = chance.randrange(3_600_000)
        return Ride(self._count, chance.randrange(HIGHEST_CENTS), self.now_ms - ahead, kind)

    def expected(self) -> dict[str, tuple[int, int]]:
        """Rides and cents of every rider; a ride that was written twice counts once."""
        found: dict[str, tuple[int, int]] = {}
        for ride in set(self.rides):
            count, cents = found.get(ride.rider, (0, 0))
            found[ride.rider] = (count + 1, cents + ride.cents)
        return found

    def ids(self) -> Counter[str]:
        """How often each ride was written."""
        return Counter(ride.id for ride in self.rides)


def _spoilt(value: bytes, number: int) -> bytes:
    """Make bytes that are no ride: each time in another way."""
    return [b"\xff" * 20 + str(number).encode(), value[: len(value) // 2], value + b"\xff"][
        number % 3
    ]


async def make_topics(address: str, names: Sequence[str]) -> None:
    """Make the apps' topics as any admin would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(f"{name}.raw", PARTITIONS, 1) for name in names])
    finally:
        await admin.close()


async def write(address: str, name: str, records: Sequence[bytes]) -> None:
    """Write records as any app would: one value a record, partitions in turn."""
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", linger_ms=5)
    await producer.start()
    try:
        sends = [
            await producer.send(f"{name}.raw", value, partition=number % PARTITIONS)
            for number, value in enumerate(records)
        ]
        for sent in sends:
            await sent
    finally:
        await producer.stop()
