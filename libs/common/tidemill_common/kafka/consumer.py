"""Consume topics at least once: handle, then commit; wait, dead-letter or crash on a failure.

1. Poll; a partition that waits stays paused, and polling goes on so that the group keeps us.
2. Hand the records of one partition, in order, to the handler.
3. It raises Transient: the same records again after a pause. Rejected: one by one, and the guilty
   one is set aside durably. Anything else ends the consumer: no offset moves past a bug.
4. Commit explicit offsets every second or 500 records, on a revoke and on stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata

from tidemill.errors import Misconfigured, TidemillError
from tidemill_common import metrics, telemetry
from tidemill_common.kafka import dead_letters
from tidemill_common.kafka.broker import (
    Broker,
    Record,
    TopicPartition,
    in_parts,
    to_error,
    to_records,
)
from tidemill_common.kafka.partition_state import PartitionState
from tidemill_common.kafka.reading import GROUP_REQUEST_TIMEOUT_MS, settings, stop
from tidemill_common.verdict import Backoff, Wait, verdict

if TYPE_CHECKING:
    from tidemill_common.kafka.producer import Producer

Handler = Callable[[Sequence[Record]], Awaitable[str | None]]
"""What it returns is kept beside the committed offset: see `Admin.notes`."""

POLL_MS = 200
COMMIT_SECONDS = 1.0
COMMIT_RECORDS = 500
MAX_POLL_INTERVAL_MS = 300_000
REBALANCE_TIMEOUT_MS = 60_000
_FINISH_SECONDS = 10.0
_JOIN_SECONDS = 5.0
logger = logging.getLogger(__name__)


class TooManyDeadLetters(TidemillError):
    """A partition gives so many bad records that the cause lies elsewhere: a person must look."""

    reason = "TOO_MANY_DEAD_LETTERS"


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the loop of rebalances; aiokafka swallows errors here, so they end the loop instead."""

    def __init__(self, loop: _Loop) -> None:
        self._loop = loop

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002 (eager: all of them)
        """Finish, commit and forget, within bounds."""
        await self._loop.revoked()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Begin with nothing known."""
        self._loop.assigned(assigned)


class _Loop:
    """The state of one call of `consume`."""

    def __init__(
        self,
        client: Any,
        handler: Handler,
        producer: Producer,
        origin: dead_letters.Origin,
        first: Literal["start", "end"],
        max_records: int,
        assigned: Callable[[Collection[TopicPartition]], None] | None,
    ) -> None:
        self._client = client
        self._handler = handler
        self._producer = producer
        self._origin = origin
        self._first = first
        self._max_records = max_records
        self._on_assigned = assigned
        self._partitions: dict[Any, PartitionState] = {}
        self._lags: dict[Any, int] = {}
        self._free = asyncio.Event()
        self._free.set()
        self._committed_at = time.monotonic()
        self._fatal: BaseException | None = None

    def assigned(self, assigned: Any) -> None:
        """Begin with what is assigned now; results of an earlier assignment count no more."""
        self._partitions = {partition: PartitionState() for partition in assigned}
        if self._on_assigned is not None:
            self._on_assigned([TopicPartition(*partition) for partition in assigned])

    async def revoked(self) -> None:
        """Let the running handler finish, commit what is done, forget the rest."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FINISH_SECONDS):
                    await self._free.wait()
            await self.commit()
        except KafkaError as error:
            self._fatal = error
        finally:
            self._partitions = {}

    async def run(self, stop_event: asyncio.Event) -> None:
        """Poll, handle, commit, until told to stop; what is done is committed whatever happens."""
        try:
            while not stop_event.is_set():
                if self._fatal is not None:
                    raise to_error(self._fatal) from self._fatal
                await self._poll()
                await self._work()
                await self._commit_in_time()
        finally:
            with contextlib.suppress(KafkaError):
                await self.commit()

    async def _poll(self) -> None:
        """Take new records; a partition whose records wait is paused and gives none."""
        try:
            async with asyncio.timeout(_JOIN_SECONDS):
                batches = await self._client.getmany(
                    timeout_ms=self._poll_ms(), max_records=self._max_records
                )
        except TimeoutError:
            return
        except NoOffsetForPartitionError as error:
            await self._begin(error.args[0])
            return
        except OffsetOutOfRangeError as error:
            raise Misconfigured(
                f"the position of {self._origin.group} no longer exists: {error.args[0]}",
                hint="records were trimmed or the topic was made again; set the group's offsets",
            ) from error
        except KafkaError as error:
            raise to_error(error) from error
        for partition, found in batches.items():
            if partition in self._partitions:
                self._partitions[partition].parts.extend(in_parts(to_records(found)))

    def _poll_ms(self) -> int:
        """Poll no longer than until the next waiting partition is due."""
        now = time.monotonic()
        waits = [state.due - now for state in self._partitions.values() if state.parts]
        return max(1, min(POLL_MS, *(int(wait * 1000) for wait in waits), POLL_MS))

    async def _begin(self, partition: Any) -> None:
        """Set the first position of a group, explicitly, and commit it."""
        ask = self._client.beginning_offsets if self._first == "start" else self._client.end_offsets
        offset = (await ask([partition]))[partition]
        with contextlib.suppress(IllegalStateError, CommitFailedError):
            self._client.seek(partition, offset)
            await self._client.commit({partition: OffsetAndMetadata(offset, "")})

    async def _work(self) -> None:
        """Handle what is due, partition by partition."""
        for partition, state in list(self._partitions.items()):
            if state.parts and state.due <= time.monotonic():
                self._free.clear()
                try:
                    await self._work_on(partition, state)
                finally:
                    self._free.set()

    async def _work_on(self, partition: Any, state: PartitionState) -> None:
        """Handle the parts of one partition until they are done or one must wait."""
        while state.parts and self._partitions.get(partition) is state:
            part, bad, kept = state.parts[0], False, None
            try:
                kept = await self._call(part)
            except TidemillError as error:
                state.attempt += 1
                decision = verdict(error, state.attempt, Backoff())
                if isinstance(decision, Wait):
                    self._wait(partition, state, decision.seconds, error)
                    return
                if len(part) > 1:
                    state.parts.popleft()
                    state.parts.extendleft([record] for record in reversed(part))
                    state.attempt = 0
                    continue
                if not await self._set_aside(partition, state, part[0], decision.error):
                    return
                bad = True
            self._finished(partition, state, part, kept, bad=bad)

    async def _call(self, part: Sequence[Record]) -> str | None:
        """Call the handler inside a span that links to where the records come from."""
        topic = part[0].topic
        carried = [record.headers for record in part if record.headers]
        links = [link for link in map(telemetry.link_to, carried) if link]
        spanning = (
            telemetry.span(
                f"process {topic}",
                kind=telemetry.SpanKind.CONSUMER,
                links=links,
                attributes={
                    "messaging.destination.name": topic,
                    "messaging.batch.message_count": len(part),
                },
            )
            if links
            else contextlib.nullcontext()
        )
        began = time.monotonic()
        with spanning:
            kept = await self._handler(part)
        metrics.histogram(
            "messaging_process_duration_seconds", topic=topic, group=self._origin.group
        ).observe(time.monotonic() - began)
        return kept

    async def _set_aside(
        self, partition: Any, state: PartitionState, record: Record, error: TidemillError
    ) -> bool:
        """Write a dead letter and say whether it is durable; else the partition waits."""
        try:
            await dead_letters.write(
                self._producer, record, error, self._origin, attempt=state.attempt
            )
        except TidemillError as failure:
            decision = verdict(failure, state.attempt, Backoff())
            if not isinstance(decision, Wait):
                raise
            self._wait(partition, state, decision.seconds, failure)
            return False
        logger.warning(
            "consumer.dead_lettered",
            extra={"topic": record.topic, "offset": record.offset, "error": error.reason},
        )
        return True

    def _wait(
        self, partition: Any, state: PartitionState, seconds: float, error: TidemillError
    ) -> None:
        """Pause a partition; its records are handed over again later."""
        state.due = time.monotonic() + seconds
        with contextlib.suppress(IllegalStateError):
            self._client.pause(partition)
        logger.warning(
            "consumer.waiting",
            extra={
                "topic": partition.topic,
                "partition": partition.partition,
                "seconds": round(seconds, 3),
                "attempt": state.attempt,
                "error": error.message,
            },
        )

    def _finished(
        self,
        partition: Any,
        state: PartitionState,
        part: Sequence[Record],
        kept: str | None,
        *,
        bad: bool,
    ) -> None:
        """Move past `part`, unless the partition was taken away; stop if too much is bad."""
        if self._partitions.get(partition) is not state:
            return
        state.parts.popleft()
        state.note(len(part), bad=bad)
        state.attempt = 0
        state.next_offset = part[-1].offset + 1
        state.kept = kept or ""
        state.uncommitted += len(part)
        if not state.parts:
            with contextlib.suppress(IllegalStateError):
                self._client.resume(partition)
        metrics.counter(
            "messaging_client_consumed_messages_total",
            topic=partition.topic,
            group=self._origin.group,
        ).inc(len(part))
        if state.is_too_bad():
            raise TooManyDeadLetters(
                f"{partition.topic}/{partition.partition}: {state.row} dead letters in a row,"
                f" {sum(state.outcomes)} of the last {len(state.outcomes)}",
                hint="look at them with `tidemill dlq list`, correct the cause, start again",
            )

    async def _commit_in_time(self) -> None:
        """Commit when a second has passed or enough records are done."""
        waiting = sum(state.uncommitted for state in self._partitions.values())
        if waiting >= COMMIT_RECORDS or (
            waiting and time.monotonic() - self._committed_at >= COMMIT_SECONDS
        ):
            await self.commit()

    async def commit(self) -> None:
        """Commit what is done; a commit that comes too late means it will be done again."""
        done = {
            partition: OffsetAndMetadata(state.next_offset, state.kept)
            for partition, state in self._partitions.items()
            if state.uncommitted and state.next_offset is not None
        }
        self._committed_at = time.monotonic()
        if not done:
            return
        states = dict(self._partitions)
        try:
            await self._client.commit(done)
        except (CommitFailedError, IllegalStateError) as error:
            logger.info("consumer.commit_too_late", extra={"error": type(error).__name__})
            return
        except KafkaError as error:
            if not error.retriable:
                raise
            logger.warning("consumer.commit_failed", extra={"error": type(error).__name__})
            return
        for partition, position in done.items():
            state = states[partition]
            if state.next_offset == position.offset:
                state.uncommitted = 0
            self._report(partition, position.offset)

    def _report(self, partition: Any, offset: int) -> None:
        """Say how far behind this member is with the partitions of a topic, all together."""
        with contextlib.suppress(IllegalStateError):
            highwater = self._client.highwater(partition)
            if highwater is not None:
                self._lags[partition] = max(0, highwater - offset)
                mine = (one for one in self._partitions if one.topic == partition.topic)
                metrics.gauge(
                    "tidemill_consumer_lag_records",
                    topic=partition.topic,
                    group=self._origin.group,
                ).set(sum(self._lags.get(one, 0) for one in mine))


async def consume(
    topics: Sequence[str],
    handler: Handler,
    broker: Broker,
    stop_event: asyncio.Event,
    *,
    group: str,
    producer: Producer,
    instance: str = "",
    first: Literal["start", "end"] = "start",
    max_records: int = COMMIT_RECORDS,
    session_ms: int = 30_000,
    heartbeat_ms: int = 3_000,
    service: str = "",
    stage: str = "handle",
    assigned: Callable[[Collection[TopicPartition]], None] | None = None,
) -> None:
    """Consume until told to stop; the handler gets records of one partition, at least once.

    `first` says where a new group begins, `instance` makes a restart keep its partitions.
    `assigned` is told of all partitions that are this member's now, before their records come.
    The topics' dead-letter topics must exist. Raises what the handler raises beside Transient and
    Rejected, TooManyDeadLetters, Misconfigured if a position no longer exists.
    """
    client = AIOKafkaConsumer(
        **settings(broker, "read_committed", GROUP_REQUEST_TIMEOUT_MS),
        group_id=group,
        group_instance_id=instance or None,
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=heartbeat_ms,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
        partition_assignment_strategy=[StickyPartitionAssignor],
    )
    origin = dead_letters.Origin(group, service or broker.client, stage)
    loop = _Loop(client, handler, producer, origin, first, max_records, assigned)
    try:
        try:
            client.subscribe(list(topics), listener=_Listener(loop))
            await client.start()
        except KafkaError as error:
            raise to_error(error) from error
        await loop.run(stop_event)
    finally:
        await stop(client)
