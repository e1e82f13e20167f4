"""A replica that dies and starts again while its log goes on says what one that saw all of it says."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import Unavailable
from tidemill.project import loads, normalise
from tidemill_common.feature_replica import FeatureReplica, replicating
from tidemill_common.feature_views import ViewSpec, stream_spec, view_spec
from tidemill_common.kafka import (
    Admin,
    Broker,
    Producer,
    TopicPartition,
    administering,
    producing,
)
from tidemill_tiles.codec import Kind, decode_header
from tidemill_tiles.columns import event_batch
from tidemill_tiles.owner import Owner
from tidemill_tiles.replica import Replica

pytestmark = pytest.mark.stack

PROJECT = """
project: shop
streams:
  STREAM: {key: [user], partitions: 1, fields: {user: {type: string, required: true}}}
views:
  users: {stream: STREAM, entity: [user], aggregations: [{function: count, windows: [lifetime]}]}
"""
USERS = [f"u{number}" for number in range(300)]
CHUNK_BYTES = 1_000
"""A snapshot takes dozens of flushes."""
LIVES = 12
PATIENCE_S = 20.0
SEED = 7


@dataclass
class Writing:
    """Stands for the owner of a log: counts, flushes, writes snapshots, and trims behind them."""

    view: ViewSpec
    producer: Producer
    admin: Admin
    owner: Owner
    counts: Counter[str] = field(default_factory=Counter)
    written: list[bytes] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    complete: int = 0

    @property
    def log(self) -> TopicPartition:
        """Return what it writes."""
        return TopicPartition(self.view.log(self.view.streams[0]).name, 0)

    async def flush(self, users: list[str]) -> None:
        """Apply an event of each of these users and write what changed, and a chunk."""
        self.counts.update(users)
        position = max(0, self.owner.position) + len(users)
        batch = event_batch(
            self.view.plan,
            pa.table({"user": users}),
            time_us=np.full(len(users), 1, dtype=np.int64),
            tie=np.arange(2 * len(users), dtype=np.uint64).reshape(-1, 2),
            stream=self.view.streams[0],
        )
        self.owner.apply(batch, np.ones(len(users), dtype=np.bool_))
        for record in self.owner.flush(
            position=position, watermark_us=1, newest_available_us=1, chunk_bytes=CHUNK_BYTES
        ):
            sent = await self.producer.send(self.log.topic, record, partition=0)
            self.written.append(record)
            kind = decode_header(record).kind
            if kind is Kind.SNAPSHOT_BEGIN:
                self.begins.append(sent.offset)
            self.complete += kind is Kind.SNAPSHOT_END

    async def go_on(self, dice: random.Random) -> None:
        """Write flush after flush, one snapshot after the other, and trim to each that is whole."""
        while True:
            if not self.owner.snapshotting:
                if self.begins:
                    await self.admin.delete_records({self.log: self.begins[-1]})
                self.owner.begin_snapshot()
            await self.flush(dice.choices(USERS, k=3))
            await asyncio.sleep(0)

    def take_over(self) -> None:
        """Let another owner go on that knows the log only."""
        replica = Replica(self.view.plan)
        for record in self.written:
            replica.apply(record)
        self.owner = replica.promote("2")


@pytest.fixture
def project() -> project_pb2.Project:
    return normalise(loads(PROJECT.replace("STREAM", f"visits_{uuid.uuid4().hex[:12]}")).project)


@contextlib.asynccontextmanager
async def writing(kafka: Broker, project: project_pb2.Project) -> AsyncIterator[Writing]:
    view = view_spec(project, "users")
    async with producing(kafka, linger_ms=0) as producer, administering(kafka) as admin:
        await admin.ensure([stream_spec(project, view.streams[0]).topic, *view.logs()])
        made = Writing(view, producer, admin, Owner(view.plan, "1"))
        await made.flush(USERS)
        yield made


@contextlib.asynccontextmanager
async def a_life(kafka: Broker, project: project_pb2.Project) -> AsyncIterator[FeatureReplica]:
    """Run a replica that knows nothing yet."""
    async with replicating(kafka) as replica:
        await replica.adopt(project, "1")
        yield replica


async def is_exact(replica: FeatureReplica, made: Writing) -> None:
    """Wait until the replica is where its log is, and compare all that it says."""
    async with asyncio.timeout(PATIENCE_S):
        await replica.caught_up()
        while replica.positions()[made.log.topic] != [made.owner.position]:
            await asyncio.sleep(0.01)
    found = replica.read("users", [(user,) for user in USERS])
    assert found.values[:, 0].tolist() == [made.counts[user] for user in USERS]


async def test_a_replica_that_dies_and_starts_again_while_snapshots_are_written_is_exact(
    kafka: Broker, project: project_pb2.Project
) -> None:
    dice = random.Random(SEED)
    async with writing(kafka, project) as made, a_life(kafka, project) as witness:
        going_on = asyncio.create_task(made.go_on(dice))
        for _ in range(LIVES):
            async with a_life(kafka, project):
                await asyncio.sleep(dice.uniform(0.0, 0.1))
        async with a_life(kafka, project) as last:
            async with asyncio.timeout(PATIENCE_S):
                await last.caught_up()
            going_on.cancel()
            await asyncio.gather(going_on, return_exceptions=True)
            await made.flush(USERS)  # also what a flush that was cut off has not written
            assert made.complete > 1
            await is_exact(last, made)
            await is_exact(witness, made)


async def test_a_snapshot_that_was_cut_short_is_no_state_and_the_next_whole_one_is(
    kafka: Broker, project: project_pb2.Project
) -> None:
    async with writing(kafka, project) as made:
        made.owner.begin_snapshot()
        for _ in range(3):
            await made.flush(USERS[:2])
        assert (len(made.begins), made.complete) == (1, 0)
        made.take_over()
        await made.flush(USERS[:2])
        async with a_life(kafka, project) as replica:  # all of the log is there
            await is_exact(replica, made)
        await made.admin.delete_records({made.log: made.begins[-1]})
        async with a_life(kafka, project) as replica:
            await replica._following().caught_up()
            with pytest.raises(Unavailable, match="the state of 'users' is being read"):
                replica.read("users", [("u1",)])
            made.owner.begin_snapshot()
            while not made.complete:
                await made.flush(USERS[:2])
            await is_exact(replica, made)
