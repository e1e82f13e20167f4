"""A stream with a source, its records, and topics in memory to bridge into."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Unavailable
from tidemill.project import normalise
from tidemill_common import topics
from tidemill_common.kafka import Record, Sent, TopicPartition
from tidemill_ingestion.foreign.progress import Progress, bridged_to, dead_to, places
from tidemill_ingestion.foreign.source import ForeignSource
from tidemill_ingestion.testing import NOW_US

TOPIC = "rides.raw"
NOW_MS = NOW_US // 1_000


def a_foreign_stream(source: dict[str, Any] | None = None, **changes: Any) -> pb.Stream:
    """Return a normalised stream of rides whose source are JSON objects."""
    values: dict[str, Any] = {
        "name": "rides",
        "key": ["rider"],
        "partitions": 2,
        "fields": [
            pb.Field(name="rider", type=pb.FIELD_TYPE_STRING, required=True),
            pb.Field(name="fare", type=pb.FIELD_TYPE_FLOAT64, maximum=1_000),
            pb.Field(name="paid", type=pb.FIELD_TYPE_BOOL),
        ],
        "source": pb.Source(
            **{
                "topic": TOPIC,
                "format": pb.FORMAT_JSON,
                "columns": {
                    "ride": pb.FIELD_TYPE_STRING,
                    "user.id": pb.FIELD_TYPE_STRING,
                    "cents": pb.FIELD_TYPE_INT64,
                    "at": pb.FIELD_TYPE_TIMESTAMP,
                    "paid": pb.FIELD_TYPE_BOOL,
                },
                "fields": {"rider": '"user.id"', "fare": "cents / 100.0"},
                **(source or {}),
            }
        ),
    }
    stream = pb.Stream(**{**values, **changes})
    return normalise(pb.Project(name="p", streams=[stream])).streams[0]


def a_set_of(file: Any) -> bytes:
    """Return a file and all that it imports as compiled descriptors."""
    files, waiting = FileDescriptorSet(), [file]
    while waiting:
        each = waiting.pop()
        each.CopyToProto(files.file.add())
        waiting += [one for one in each.dependencies if one not in waiting]
    return files.SerializeToString()


def a_record(offset: int, *, partition: int = 0, value: bytes | None = b"", **data: Any) -> Record:
    """Return a record with these members, or with this value."""
    ride = {"ride": f"r{offset}", "user": {"id": f"u{offset % 5}"}, "cents": 100 * offset, **data}
    written = orjson.dumps(ride) if value == b"" else value
    return Record(TOPIC, partition, offset, NOW_MS - 1_000, f"k{offset}".encode(), written, ())


@dataclass(slots=True)
class MemoryTopics:
    """A producer and its topics; the broker goes away after `alive` more records, if that is set.

    `notes` and `committed` are what a group would keep.
    """

    records: dict[TopicPartition, list[Record]] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    notes: dict[TopicPartition, str] = field(default_factory=dict)
    alive: int | None = None
    looked: int = 0

    def of(self, topic: str, partition: int) -> list[Record]:
        """Return the records of a partition."""
        return self.records.setdefault(TopicPartition(topic, partition), [])

    def enqueue(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> asyncio.Future[Sent]:
        """Append, or fail as a broker that is away."""
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        if self.alive == 0:
            future.set_exception(Unavailable("the broker is away"))
            return future
        if self.alive is not None:
            self.alive -= 1
        log, number = self.of(topic, partition or 0), partition or 0
        log.append(Record(topic, number, len(log), NOW_MS, key, value, tuple(headers)))
        future.set_result(Sent(topic, number, len(log) - 1, NOW_MS))
        return future

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timeout: float = 30.0,
    ) -> Sent:
        """Append and wait."""
        async with asyncio.timeout(timeout):
            return await self.enqueue(topic, value, key=key, partition=partition, headers=headers)

    async def progress(
        self, source: ForeignSource, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Progress]:
        """Look through the topics from where the notes say."""
        schema = source.schema
        targets = [self.of(schema.topic, number) for number in range(schema.partitions)]
        targets.append(self.of(topics.dead_letters(schema.topic).name, 0))
        found = {}
        for tp in partitions:
            begin = places(self.notes.get(tp, ""), len(targets))
            found[tp] = Progress.fresh(begin, self.committed.get(tp, 0))
            for number, (log, first) in enumerate(zip(targets, begin, strict=True)):
                reached = dead_to if number == schema.partitions else bridged_to
                for record in log[first:]:
                    self.looked += 1
                    done = reached(record.headers, *tp)
                    found[tp].done[number] = max(found[tp].done[number], done)
        return found
