"""faust as the runtime: the group, its assignment, the graceful stop; no truth in it, no records.

faust says which partitions are ours; their records are read from where their state is (`owning`),
since each record's way through faust's thread and tasks costs more than its flush. So nothing
is read, acknowledged or committed by faust, a rebalance waits for no message, web and leader are
off. Any failure in here sets `failed` and so ends the process, since faust would log it and go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import faust
from faust.assignor import PartitionAssignor
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver

from tidemill.errors import Unavailable
from tidemill_common.kafka import TopicPartition
from tidemill_features.settings import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from tidemill_features.settings import Settings

NEVER_SECONDS: Final = 10.0 * 365 * 86_400
NEVER_RECORDS: Final = 2**60
FETCH_BYTES: Final = 1
"""Of what is fetched before a new partition is paused, and dropped."""
HEARTBEAT_SECONDS: Final = 0.5
"""A member learns of a rebalance by its heartbeat, and everybody waits for the last to learn."""

REQUEST_SECONDS: Final = 10.0
"""Beyond a session: who joins waits for members until theirs has ended, and for no answer longer.

Of a connection whose other side is gone without saying so faust would know after 90 seconds.
"""
LOOK_SECONDS: Final = 0.01


class Assignments(Protocol):
    """What the runtime tells about partitions; each call is awaited before anything goes on."""

    async def revoked(self) -> None:
        """A rebalance begins: finish what is under way."""

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """These are ours from now on: close the others, begin to open the new ones."""


class MemberThread(driver.AIOKafkaConsumerThread):
    """Where faust's consumer lives: it takes part in the group and polls, but reads nothing.

    The polls come from the process's own loop: once that hangs they end, and with them, after
    aiokafka's `max_poll_interval_ms`, the membership.
    """

    async def _fetch_records(
        self, consumer: Any, active_partitions: set[Any], *args: Any, **options: Any
    ) -> Any:
        consumer.pause(*(active_partitions & consumer.assignment()))
        await super()._fetch_records(consumer, active_partitions, *args, **options)
        return {}  # around a rebalance a partition is not paused for a moment


class Member(driver.Consumer):
    """faust's consumer with a thread that reads nothing."""

    def _new_consumer_thread(self) -> MemberThread:
        return MemberThread(self, loop=self.loop, beacon=self.beacon)


class MemberTransport(driver.Transport):
    """faust's transport with such a consumer."""

    Consumer = Member


class FeatureApp(faust.App):
    """A faust app that says which partitions are ours."""

    assignments: Assignments
    failed: asyncio.Future[None]

    def _new_transport(self) -> MemberTransport:
        return MemberTransport(self.conf.broker_consumer, self)

    async def _on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        try:
            await self.assignments.assigned({TopicPartition(*tp) for tp in assigned})
        except BaseException as error:
            fail(self.failed, error)
            raise
        await super()._on_partitions_assigned(assigned, generation_id)

    async def _on_partitions_revoked(self, revoked: set[Any]) -> None:
        try:
            await self.assignments.revoked()
        except BaseException as error:
            fail(self.failed, error)
            raise
        await super()._on_partitions_revoked(revoked)


class WholeAssignor(PartitionAssignor):
    """Gives every topic of the group out, or none: faust would leave out what it cannot see.

    A leader that joins while the broker comes up may hold metadata without a topic. The group
    would then stand with that topic owned by nobody until the next refresh, minutes later.
    """

    app: FeatureApp

    def assign(self, cluster: Any, member_metadata: MutableMapping[str, Any]) -> Any:
        """Assign, or end the process with `Unavailable`; it starts anew with fresh metadata."""
        asked = {topic for one in member_metadata.values() for topic in one.subscription}
        unseen = sorted(topic for topic in asked if not cluster.partitions_for_topic(topic))
        if unseen:
            error = Unavailable(f"the broker does not show {', '.join(unseen)} yet")
            failed = self.app.failed
            # faust runs its consumer in a thread of its own.
            failed.get_loop().call_soon_threadsafe(fail, failed, error)
            raise error
        return super().assign(cluster, member_metadata)


class NoTables(TableManager):
    """Joins the group as soon as the agent has said what it reads.

    faust gives tables a second to be declared first. There are none, and that second would be part
    of each pause of partitions: at a start, after a crash, at a change of generation.
    """

    async def on_start(self) -> None:
        """Let the group be joined; before its topics are known it would be joined for none."""
        while not self.app.topics and not self.should_stop:
            await self.sleep(LOOK_SECONDS)
        await self._update_channels()
        await self.recovery.start()


def fail(failed: asyncio.Future[None], error: BaseException) -> None:
    """Keep the first failure; a cancellation is none."""
    if not failed.done() and not isinstance(error, asyncio.CancelledError):
        failed.set_exception(error)


def feature_app(
    settings: Settings,
    topics: Iterable[str],
    assignments: Assignments,
    failed: asyncio.Future[None],
) -> FeatureApp:
    """Wire the app: one agent over the raw topics, for faust subscribes to what agents read."""
    folder = settings.data / "faust"
    folder.mkdir(parents=True, exist_ok=True)
    app = FeatureApp(
        GROUP,
        broker=f"kafka://{settings.kafka}",
        datadir=str(folder),
        store="memory://",
        PartitionAssignor=WholeAssignor,
        TableManager=NoTables,
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        topic_partitions=1,
        key_serializer="raw",
        value_serializer="raw",
        stream_wait_empty=False,
        broker_commit_every=NEVER_RECORDS,
        broker_commit_interval=NEVER_SECONDS,
        broker_commit_livelock_soft_timeout=NEVER_SECONDS,
        broker_session_timeout=settings.session_seconds,
        broker_request_timeout=settings.session_seconds + REQUEST_SECONDS,
        broker_heartbeat_interval=HEARTBEAT_SECONDS,
        consumer_max_fetch_size=FETCH_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.member,
    )
    app.assignments, app.failed = assignments, failed
    source = app.topic(*sorted(topics), key_serializer="raw", value_serializer="raw")

    async def membership(stream: Any) -> None:
        async for _ in stream.noack():
            pass

    app.agent(source, name="features.membership")(membership)
    return app
