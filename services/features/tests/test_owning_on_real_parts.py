"""A worker stays in its group while its partitions open, however long that takes."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from pathlib import Path

import pytest

from tidemill.project import loads, normalise
from tidemill_common.kafka import Broker, TopicPartition, TransactionalProducer, administering
from tidemill_features.definitions import work_of
from tidemill_features.flushing import PartitionState
from tidemill_features.opening import Opener
from tidemill_features.owning import Owned, owning
from tidemill_features.settings import GROUP, Settings
from tidemill_features.standby import standing_by
from tidemill_features.stream import feature_app

pytestmark = pytest.mark.stack

PROJECT = """
project: {name}
streams:
  {name}:
    key: [user]
    partitions: 2
    fields:
      user: {{type: string, required: true}}
views:
  {name}_users:
    stream: {name}
    entity: [user]
    aggregations:
      - {{function: count, windows: [1h]}}
"""
SESSION_S = 6.0
OPENING_S = 8.0
"""Longer than the session."""
AFTER_S = 2.0
"""Seconds in which a member learns that it was expelled."""


class SlowOpener(Opener):
    """Opens a large state."""

    async def open(
        self, tp: TopicPartition, stack: contextlib.AsyncExitStack
    ) -> tuple[PartitionState, TransactionalProducer]:
        """Take longer than a session."""
        await asyncio.sleep(OPENING_S)
        return await super().open(tp, stack)


class Told:
    """Hands on what the runtime tells, and counts it."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned
        self.assignments = 0

    async def revoked(self) -> None:
        """Hand it on."""
        await self._owned.revoked()

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """Hand it on."""
        self.assignments += 1
        await self._owned.assigned(partitions)


async def test_an_opening_that_takes_longer_than_the_session_does_not_cost_the_membership(
    kafka: Broker, tmp_path: Path
) -> None:
    name = f"slow_{uuid.uuid4().hex[:12]}"
    work = work_of(normalise(loads(PROJECT.format(name=name)).project), "00000001-slow")
    settings = Settings(
        data=tmp_path,
        listen="127.0.0.1:0",
        kafka=kafka.address,
        registry="127.0.0.1:1",
        instance=f"member of {name}",
        session_seconds=SESSION_S,
    )
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with administering(kafka) as admin:
        await admin.ensure(work.topics())
        async with (
            standing_by(kafka, work) as standby,
            owning(SlowOpener(kafka, admin, standby, work, ""), settings, failed) as owned,
        ):
            told = Told(owned)
            app = feature_app(settings, [work.streams[name].topic], told, failed)
            await app.start()
            try:
                async with asyncio.timeout(60.0):
                    await owned.opened.wait()
                assert len(owned.partitions()) == work.streams[name].spec.partitions
                await asyncio.sleep(AFTER_S)
                assert told.assignments == 1
                assert not failed.done()
            finally:
                await owned.close()
                await app.stop()
                await admin.leave(GROUP, settings.member)
                await admin.delete_topics([topic.name for topic in work.topics()])
