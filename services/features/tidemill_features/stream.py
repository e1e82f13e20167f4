"""faust as the runtime: the group, its assignment, the agent, the graceful stop; no truth in it.

The wiring is the one that was proven: partitions are opened before faust seeks and resumes, nothing
is acknowledged or committed by faust, a rebalance waits for no message, web and leader are off.
Any failure in here sets `failed` and so ends the process, since faust would log it and go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import faust
from faust.assignor import PartitionAssignor

from tidemill.errors import Unavailable
from tidemill_common.kafka import Record, TopicPartition
from tidemill_features.settings import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from tidemill_features.settings import Settings

NEVER_SECONDS: Final = 10.0 * 365 * 86_400
NEVER_RECORDS: Final = 2**60
BUFFERED_RECORDS: Final = 512
FETCH_BYTES: Final = 4 << 20
POLL_RECORDS: Final = 500
HEARTBEAT_SECONDS: Final = 0.5
"""A member learns of a rebalance by its heartbeat, and everybody waits for the last to learn."""
_MS: Final = 1_000


class Assignments(Protocol):
    """What the runtime tells about partitions; each call is awaited before anything goes on."""

    async def revoked(self) -> None:
        """A rebalance begins: finish what is under way."""

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """These are ours from now on: close the others, open the new ones."""

    async def received(self, record: Record) -> None:
        """A record of one of our partitions, in order."""


class FeatureApp(faust.App):
    """A faust app whose partitions are opened before they flow."""

    assignments: Assignments
    failed: asyncio.Future[None]

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
    """Wire the app: one agent over the raw topics that hands every record on."""
    folder = settings.data / "faust"
    folder.mkdir(parents=True, exist_ok=True)
    app = FeatureApp(
        GROUP,
        broker=f"kafka://{settings.kafka}",
        datadir=str(folder),
        store="memory://",
        PartitionAssignor=WholeAssignor,
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        topic_partitions=1,
        key_serializer="raw",
        value_serializer="raw",
        stream_wait_empty=False,
        stream_buffer_maxsize=BUFFERED_RECORDS,
        broker_commit_every=NEVER_RECORDS,
        broker_commit_interval=NEVER_SECONDS,
        broker_commit_livelock_soft_timeout=NEVER_SECONDS,
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=HEARTBEAT_SECONDS,
        broker_max_poll_records=POLL_RECORDS,
        consumer_max_fetch_size=FETCH_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.member,
    )
    app.assignments, app.failed = assignments, failed
    source = app.topic(*sorted(topics), key_serializer="raw", value_serializer="raw")

    async def flow(stream: Any) -> None:
        try:
            async for event in stream.noack().events():
                await assignments.received(_record(event.message))
        except BaseException as error:
            fail(failed, error)
            raise

    app.agent(source, name="features.flow")(flow)
    return app


def _record(message: Any) -> Record:
    return Record(
        message.topic,
        message.partition,
        message.offset,
        round(message.timestamp * _MS),
        message.key,
        message.value,
        tuple(message.headers or ()),
    )
