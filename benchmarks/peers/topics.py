"""Topics of the run: filled with a workload's JSON, or read to their end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from benchmarks.peers.workload import PARTITIONS, SENTINEL, Workload
from tidemill_common.kafka import Broker, TopicPartition, administering, producing
from tidemill_common.kafka.reading import read_range
from tidemill_common.topics import Topic

WAITING = 20_000
FLUSH_S = 60.0
AT_MOST = 20_000_000


def topic_of(name: str) -> Topic:
    """Describe a topic of the benchmark."""
    me = ("benchmark",)
    return Topic(
        name=name,
        family=name,
        message="one JSON event or result a record",
        key="the event's key",
        producers=me,
        consumers=me,
        retention_ms=-1,
        partitions=PARTITIONS,
    )


async def create(kafka: str, name: str) -> None:
    """Create a topic with as many partitions as a workload has."""
    async with administering(Broker(kafka)) as admin:
        await admin.ensure([topic_of(name)])


async def fill(kafka: str, topic: str, load: Workload) -> None:
    """Create a topic and append each event as a record of its own, then the sentinels."""
    await create(kafka, topic)
    async with producing(Broker(kafka)) as producer:
        places = zip(load.json(), load.key.tolist(), load.partition().tolist(), strict=True)
        for value, key, partition in places:
            producer.enqueue(topic, value, key=b"k%d" % key, partition=partition)
            if producer.waiting > WAITING:
                await producer.flush(FLUSH_S)
        await producer.flush(FLUSH_S)
        for partition in range(PARTITIONS):
            key = f"{SENTINEL}{partition}".encode()
            await producer.send(topic, load.sentinel(partition), key=key, partition=partition)


@dataclass(slots=True)
class Topics:
    """The topics that everybody reads; each workload's is filled once."""

    kafka: str
    names: dict[Workload, str] = field(default_factory=dict)

    def of(self, load: Workload) -> str:
        """Return the topic of a workload."""
        if load not in self.names:
            name = f"readings-{len(self.names)}"
            asyncio.run(fill(self.kafka, name, load))
            self.names[load] = name
        return self.names[load]


async def read(kafka: str, topic: str) -> list[bytes]:
    """Return every committed value of a topic."""
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    broker = Broker(kafka)
    found = await asyncio.gather(*(read_range(broker, one, None, AT_MOST) for one in places))
    return [record.value for records in found for record in records if record.value is not None]
