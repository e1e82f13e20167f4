"""faust takes part in the group, and leaves every record to the owner of its partition."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from tidemill_common import topics
from tidemill_common.kafka import Broker, TopicPartition, administering, producing
from tidemill_features.settings import GROUP, Settings
from tidemill_features.stream import feature_app

pytestmark = pytest.mark.stack

POLLS = 3.0
"""Seconds in which faust asks for records several times."""


class Seen:
    """What the runtime said."""

    def __init__(self) -> None:
        self.owned: asyncio.Future[set[TopicPartition]] = asyncio.Future()

    async def revoked(self) -> None:
        """Nothing is under way."""

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """Keep what was assigned."""
        if not self.owned.done():
            self.owned.set_result(partitions)


async def test_partitions_are_assigned_and_nothing_is_read(kafka: Broker, tmp_path: Path) -> None:
    topic = topics.events(f"test_{uuid.uuid4().hex[:12]}")
    settings = Settings(
        data=tmp_path,
        listen="127.0.0.1:0",
        kafka=kafka.address,
        registry="127.0.0.1:1",
        instance=f"member of {topic.name}",
    )
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    seen = Seen()
    partitions = {TopicPartition(topic.name, number) for number in range(topic.partitions)}
    async with producing(kafka, linger_ms=0) as producer, administering(kafka) as admin:
        await admin.ensure([topic])
        for tp in partitions:
            await producer.send(topic.name, b"before", partition=tp.partition)
        app = feature_app(settings, [topic.name], seen, failed)
        await app.start()
        try:
            assert await asyncio.wait_for(seen.owned, 30) == partitions
            for tp in partitions:
                await producer.send(topic.name, b"after", partition=tp.partition)
            await asyncio.sleep(POLLS)
            assert app.monitor.messages_received_total == 0
            assert await admin.given(GROUP, settings.member) == {topic.name}
            assert not failed.done()
        finally:
            await app.stop()
            await admin.leave(GROUP, settings.member)
            await admin.delete_topics([topic.name])
