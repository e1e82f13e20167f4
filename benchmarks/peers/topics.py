"""Topics of the run: filled with a workload's JSON, or read to their end."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.peers.workload import PARTITIONS, SENTINEL, Workload

READ_MS = 1_000
CHUNK = 20_000


async def create(kafka: str, names: Iterable[str], *, changelog: bool = False) -> None:
    """Create topics of as many partitions as the workload has."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        configs = {"cleanup.policy": "compact"} if changelog else {}
        await admin.create_topics(
            [NewTopic(name, PARTITIONS, 1, topic_configs=configs) for name in names]
        )
    finally:
        await admin.close()


async def fill(kafka: str, topic: str, load: Workload) -> None:
    """Create a topic and append each event as a record of its own, then the sentinels."""
    await create(kafka, [topic])
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, acks="all", linger_ms=20, max_batch_size=1 << 18
    )
    await producer.start()
    try:
        places = zip(load.json(), load.key.tolist(), load.partition().tolist(), strict=True)
        last = None
        for number, (value, key, partition) in enumerate(places):
            last = await producer.send(topic, value, key=b"k%d" % key, partition=partition)
            if number % CHUNK == 0:
                await last
        if last is not None:
            await last
        for partition in range(PARTITIONS):
            key = f"{SENTINEL}{partition}".encode()
            await producer.send_and_wait(
                topic, load.sentinel(partition), key=key, partition=partition
            )
        await producer.flush()
    finally:
        await producer.stop()


async def read(kafka: str, topic: str) -> list[bytes]:
    """Return every committed value of a topic."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        found: list[bytes] = []
        while any([await consumer.position(one) < ends[one] for one in places]):
            batches = await consumer.getmany(timeout_ms=READ_MS)
            found += [record.value for records in batches.values() for record in records]
        return found
    finally:
        await consumer.stop()
