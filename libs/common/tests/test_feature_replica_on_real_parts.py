"""A replica goes over to a generation when its new views are built, and is whole if it does not."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import NotFound, Unavailable
from tidemill.project import loads, normalise
from tidemill_common.feature_replica import FeatureReplica, replicating
from tidemill_common.feature_views import ViewSpec, stream_spec, view_spec
from tidemill_common.kafka import Broker, Producer, administering, producing
from tidemill_common.project_source import Held
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.owner import Owner

pytestmark = pytest.mark.stack

PROJECT = """
project: shop
streams:
  STREAM: {key: [user], partitions: 1, fields: {user: {type: string, required: true}}}
views:
  users: {stream: STREAM, entity: [user], aggregations: [{function: count, windows: [1h]}]}
"""
MOMENTS_S = (0.0, 0.001, 0.002, 0.005, 0.01, 0.1)
PATIENCE_S = 20.0
A_WHILE_S = 0.5


@dataclass
class Writing:
    """Stands for the owners: appends what they would to the logs of the first partition."""

    producer: Producer
    owners: dict[str, Owner] = field(default_factory=dict)

    async def decided(self, view: ViewSpec, position: int) -> None:
        """Say that the stream is decided below a position."""
        log = view.log(view.streams[0]).name
        owner = self.owners.setdefault(log, Owner(view.plan, "1"))
        for record in owner.flush(
            position=position, watermark_us=NO_TIME, newest_available_us=NO_TIME
        ):
            await self.producer.send(log, record, partition=0)


@dataclass(frozen=True)
class Generations:
    """A project, and what became of it: the view is changed; only a description is."""

    first: project_pb2.Project
    changed: project_pb2.Project
    described: project_pb2.Project
    stream: str


@pytest.fixture
def generations() -> Generations:
    stream = f"visits_{uuid.uuid4().hex[:12]}"
    text = PROJECT.replace("STREAM", stream)
    described = normalise(loads(text).project)
    described.views[0].description = "visitors"
    return Generations(
        first=normalise(loads(text).project),
        changed=normalise(loads(text.replace("[1h]", "[2h]")).project),
        described=described,
        stream=stream,
    )


@contextlib.asynccontextmanager
async def reading(
    kafka: Broker, generations: Generations
) -> AsyncIterator[tuple[FeatureReplica, Writing]]:
    """Give a replica of the first generation, whose view has decided three records."""
    async with producing(kafka, linger_ms=0) as producer, replicating(kafka) as replica:
        writing = Writing(producer)
        async with administering(kafka) as admin:
            await admin.ensure([stream_spec(generations.first, generations.stream).topic])
        await replica.adopt(generations.first, "1")
        await writing.decided(view_spec(generations.first, "users"), 3)
        async with asyncio.timeout(PATIENCE_S):
            await replica.caught_up()
        yield replica, writing


async def is_waiting(task: asyncio.Task[None]) -> bool:
    return not (await asyncio.wait({task}, timeout=A_WHILE_S))[0]


async def test_a_changed_view_is_read_when_it_has_decided_what_its_stream_held_and_the_old_one_did(
    kafka: Broker, generations: Generations
) -> None:
    old, new = (view_spec(one, "users") for one in (generations.first, generations.changed))
    topic = stream_spec(generations.first, generations.stream).topic
    async with reading(kafka, generations) as (replica, writing):
        await writing.producer.send(topic.name, b"1", partition=0)
        await writing.producer.send(topic.name, b"2", partition=0)
        adopting = asyncio.create_task(replica.adopt(generations.changed, "2"))
        for position in (0, 1, 2):  # begun; not at the stream's end; behind the old one
            assert await is_waiting(adopting)
            await writing.decided(new, position)
        assert await is_waiting(adopting)
        assert replica.spec("users").version == old.version
        await writing.decided(new, 3)
        await asyncio.wait_for(adopting, PATIENCE_S)
        assert replica.spec("users").version == new.version


async def test_a_generation_that_changes_no_view_waits_for_nothing(
    kafka: Broker, generations: Generations
) -> None:
    topic = stream_spec(generations.first, generations.stream).topic
    async with reading(kafka, generations) as (replica, writing):
        for _ in range(4):  # one more than is decided
            await writing.producer.send(topic.name, b"1", partition=0)
        await asyncio.wait_for(replica.adopt(generations.described, "2"), PATIENCE_S)
        assert replica.generation == "2"


async def test_an_adopting_that_was_cancelled_while_it_began_to_follow_can_be_begun_again(
    kafka: Broker, generations: Generations
) -> None:
    new = view_spec(generations.changed, "users")
    async with reading(kafka, generations) as (replica, writing):
        for moment in MOMENTS_S:
            adopting = asyncio.create_task(replica.adopt(generations.changed, "2"))
            while len(replica._logs) < 2:
                await asyncio.sleep(0)
            await asyncio.sleep(moment)
            adopting.cancel()
            await asyncio.gather(adopting, return_exceptions=True)
            assert replica.generation == "1"
            assert replica.ready
        adopting = asyncio.create_task(replica.adopt(generations.changed, "2"))
        await writing.decided(new, 3)
        await asyncio.wait_for(adopting, PATIENCE_S)
        assert replica.views.keys() == {"users"}
        assert replica.spec("users").version == new.version


async def is_built(replica: FeatureReplica) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while replica.next is None or not replica.next.is_built:
            await asyncio.sleep(0.01)


async def test_a_held_generation_is_read_by_its_version_until_it_takes_over(
    kafka: Broker, generations: Generations
) -> None:
    old, new = (view_spec(one, "users") for one in (generations.first, generations.changed))
    topic, user = stream_spec(generations.first, generations.stream).topic, [("ada",)]
    async with reading(kafka, generations) as (replica, writing):
        await writing.producer.send(topic.name, b"1", partition=0)
        await replica.hold(Held(generations.changed, "2"))
        with pytest.raises(Unavailable, match="is being read"):
            replica.read("users", user, version=new.version)
        await writing.decided(new, 0)  # has begun
        async with asyncio.timeout(PATIENCE_S):
            while not replica.view("users", new.version).ready:
                await asyncio.sleep(0.01)
        with pytest.raises(Unavailable, match=f"version {new.version} of 'users' is being built"):
            replica.read("users", user, version=new.version)
        await writing.decided(new, 1)
        await is_built(replica)
        for version in (old.version, new.version):
            assert replica.read("users", user, version=version).version == version
        assert replica.read("users", user).version == replica.spec("users").version == old.version
        one, other = replica.versions("users").values()
        assert await replica.records_apart(one, other, A_WHILE_S) == 2
        with pytest.raises(NotFound, match="no version 'f00'"):
            replica.read("users", user, version="f00")
        adopting = asyncio.create_task(replica.adopt(generations.changed, "2"))
        assert await is_waiting(adopting)  # it would go back
        await writing.decided(new, 3)
        await asyncio.wait_for(adopting, PATIENCE_S)
        assert set(replica.versions("users")) == {new.version}
        assert len(replica._logs) == 1


async def test_what_is_held_no_longer_is_forgotten_and_what_is_held_again_takes_its_place(
    kafka: Broker, generations: Generations
) -> None:
    old, new = (view_spec(one, "users") for one in (generations.first, generations.changed))
    async with reading(kafka, generations) as (replica, writing):
        await replica.hold(Held(generations.described, "3"))
        assert replica.next is not None
        assert replica.next.is_built  # it adds nothing
        await replica.hold(Held(generations.changed, "2"))
        await writing.decided(new, 3)
        await is_built(replica)
        adopting = asyncio.create_task(replica.adopt(generations.changed, "2"))
        await asyncio.sleep(0)
        adopting.cancel()
        await asyncio.gather(adopting, return_exceptions=True)
        assert replica.next is not None
        assert replica.next.is_built
        await replica.hold(None)
        assert len(replica._logs) == 1
        assert set(replica.versions("users")) == {old.version}
        with pytest.raises(NotFound, match=f"no version '{new.version}'"):
            replica.spec("users", new.version)
