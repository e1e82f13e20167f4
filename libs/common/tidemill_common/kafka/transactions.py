"""Write to several partitions, and commit what was read, all or nothing.

aiokafka's own `async with producer.transaction()` commits although a send in it failed, if its
future was not awaited. Here a block only collects; leaving it sends, awaits every future, adds the
offsets and commits, so a transaction with a failed record cannot commit, and a block that raises
has sent nothing.

A transaction costs three round trips and markers. What is whole in one record per partition needs
none: `append` writes with the same producer id and epoch, each record visible as soon as the broker
has it. The fence holds for it too, once the newer owner has written to the partition (`fence`): the
leader refuses an epoch that is older than the newest it has seen there.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer import sender
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition

from tidemill.errors import Fenced, OutcomeUnknown, TidemillError, TooLarge, Unavailable
from tidemill_common.kafka.broker import Broker, Sent, TopicPartition, to_error
from tidemill_common.kafka.producer import Headers, abandon, settings
from tidemill_common.topics import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Collection,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    StableEnds = Callable[[Iterable[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]

REQUEST_TIMEOUT_MS = 10_000
TRANSACTION_TIMEOUT_MS = 20_000
BACKOFF_SECONDS = 0.002
_STEP_SECONDS = 15.0
_ABORT_SECONDS = 2.0
_CLOSE_SECONDS = 3.0
_SETTLING_SECONDS = 0.001
_FENCE = b"fence"
_OVERHEAD_BYTES = 100

# Between transactions aiokafka waits 20 ms for the markers of the last one; 2 ms are enough and
# make back-to-back transactions four times as fast.
sender.BACKOFF_OVERRIDE = BACKOFF_SECONDS


class Transaction:
    """What one block will write; nothing leaves the process before the block is left."""

    def __init__(self) -> None:
        """Begin empty."""
        self.records: list[dict[str, Any]] = []
        self.offsets: dict[str, dict[KafkaPartition, OffsetAndMetadata]] = {}
        self.sent: list[Sent] = []

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        """Add a record; TooLarge if the broker would refuse it."""
        size = len(value or b"") + len(key or b"") + _OVERHEAD_BYTES
        if size > MAX_RECORD_BYTES:
            raise TooLarge(f"{size} bytes for {topic}: a record has at most {MAX_RECORD_BYTES}")
        self.records.append(
            {
                "topic": topic,
                "value": value,
                "partition": partition,
                "key": key,
                "headers": list(headers),
            }
        )

    def commit_offsets(self, offsets: Mapping[TopicPartition, int], group: str) -> None:
        """Move the group to `offsets` (the next to read) together with the records."""
        known = self.offsets.setdefault(group, {})
        for (topic, partition), offset in offsets.items():
            known[KafkaPartition(topic, partition)] = OffsetAndMetadata(offset, "")


class TransactionalProducer:
    """The only live writer of its transactional id; use `transactional`."""

    def __init__(
        self, broker: Broker, transactional_id: str, stable_ends: StableEnds | None = None
    ) -> None:
        """Prepare; `start` fences every older producer of the same id.

        `stable_ends` tells up to where read-committed readers see partitions; `appending` needs it.
        """
        self._client = AIOKafkaProducer(
            # Records of the feature log come packed; aiokafka would compress them in the loop. Each
            # batch is a round trip of its own, and a large flush has more than ten records.
            **settings(broker) | {"compression_type": None, "max_batch_size": MAX_RECORD_BYTES},
            linger_ms=0,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        )
        self._id = transactional_id
        self._stable_ends = stable_ends
        self._unsettled: dict[TopicPartition, int] = {}
        self._busy = False
        self.broken = False

    async def start(self) -> None:
        """Connect and fence: from here on no older producer of this id can write."""
        try:
            await self._client.start()
        except KafkaError as error:
            raise to_error(error) from error

    async def stop(self) -> None:
        """Close within bounds; what was not committed is aborted by the broker."""
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await (abandon(self._client) if self.broken else self._client.stop())

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Collect in the block, write all of it when it is left; one transaction at a time.

        Fenced: a newer owner exists, nothing was committed. OutcomeUnknown: the commit was sent and
        not answered. Unavailable and others: not committed. After any of them `broken` is True:
        open a new producer, re-read the state, seek.
        """
        with self._one_at_a_time():
            collected = Transaction()
            yield collected
            await self._write(collected)

    @contextlib.asynccontextmanager
    async def appending(self) -> AsyncIterator[Transaction]:
        """Collect in the block, append each record for itself when it is left.

        Nothing binds the records together: after a failure any of them may be there, and `broken`
        is True. Fenced only if the newer owner has called `fence` for the partition. Offsets belong
        into a transaction.
        """
        with self._one_at_a_time():
            collected = Transaction()
            yield collected
            if collected.offsets:
                message = f"{self._id}: offsets are committed by a transaction"
                raise RuntimeError(message)
            await self._append(collected)

    async def fence(self, partitions: Collection[TopicPartition]) -> None:
        """Let the leaders of `partitions` refuse what older owners append from here on.

        Writes a record without a value to each: read a partition to its end only afterwards.
        """
        async with self.appending() as collected:
            for topic, partition in partitions:
                collected.send(topic, None, partition=partition, key=_FENCE)

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if self.broken or self._busy:
            message = f"{self._id}: a producer that is {'broken' if self.broken else 'busy'}"
            raise RuntimeError(message)
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    async def _append(self, collected: Transaction) -> None:
        """Send outside of a transaction and await each acknowledgement; broken unless all came."""
        self.broken = True
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                await self._settled({(one["topic"], one["partition"]) for one in collected.records})
                with self._outside_of_transactions():
                    collected.sent = await _places(await self._sent(collected.records))
        except (KafkaError, TimeoutError) as error:
            raise self._meaning(error) from error
        self.broken = False

    async def _settled(self, places: Collection[tuple[str, int]]) -> None:
        """Wait for the markers of the last transaction: before them a leader takes no other write.

        A commit is answered when it is certain, a moment before its markers are written.
        """
        waiting = {tp: at for tp, at in self._unsettled.items() if tp in places}
        while waiting:
            if self._stable_ends is None:
                message = f"{self._id}: only a producer that knows stable ends can append"
                raise RuntimeError(message)
            ends = await self._stable_ends(waiting)
            waiting = {tp: at for tp, at in waiting.items() if ends[tp] <= at}
            if waiting:
                await asyncio.sleep(_SETTLING_SECONDS)
        for place in places:
            self._unsettled.pop(TopicPartition(*place), None)

    @contextlib.contextmanager
    def _outside_of_transactions(self) -> Iterator[None]:
        """Make aiokafka write plain idempotent batches, with the epoch and sequences it has.

        Its transactional id is what it goes by: batches are marked, partitions are added to a
        transaction and its coordinator is asked if there is one. The sender is woken at the end,
        because without an id it does not wait for transactional work.
        """
        manager = self._client._txn_manager  # noqa: SLF001 (no public way)
        manager.transactional_id = None
        try:
            yield
        finally:
            manager.transactional_id = self._id
            waiter = self._client._message_accumulator.waiter()  # noqa: SLF001 (as above)
            if not waiter.done():
                waiter.set_result(None)

    async def _write(self, collected: Transaction) -> None:
        """Send, await, add offsets, commit; broken unless all of it succeeded."""
        self.broken = True
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                await self._client.begin_transaction()
                await self._send_all(collected)
        except (KafkaError, TimeoutError) as error:
            await self._abort()
            raise self._meaning(error) from error
        await self._commit()
        for sent in collected.sent:
            self._unsettled[TopicPartition(sent.topic, sent.partition)] = sent.offset
        self.broken = False

    async def _send_all(self, collected: Transaction) -> None:
        """Send every record and every offset, and await each acknowledgement."""
        futures = await self._sent(collected.records)
        # The offsets travel beside the records: a record that is refused aborts them with it.
        for group, offsets in collected.offsets.items():
            await self._client.send_offsets_to_transaction(offsets, group)
        collected.sent = await _places(futures)

    async def _sent(self, records: Sequence[dict[str, Any]]) -> list[asyncio.Future[Any]]:
        futures = []
        for record in records:
            future = await self._client.send(**record)
            future.add_done_callback(_look)  # of several failures only the first is raised
            futures.append(future)
        return futures

    async def _commit(self) -> None:
        """End the transaction; an end that is not answered is unknown, not failed."""
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                await self._client.commit_transaction()
        except (KafkaError, TimeoutError) as error:
            meaning = self._meaning(error)
            if isinstance(meaning, Fenced):
                raise meaning from error
            raise OutcomeUnknown(f"{self._id}: the commit was not answered") from error

    async def _abort(self) -> None:
        """Try to abort soon; else the broker does after the transaction's timeout."""
        with contextlib.suppress(KafkaError, TimeoutError, AssertionError):
            async with asyncio.timeout(_ABORT_SECONDS):
                await self._client.abort_transaction()

    def _meaning(self, error: BaseException) -> TidemillError:
        """Name this producer in the error."""
        if isinstance(error, TimeoutError):
            return Unavailable(f"{self._id}: no answer in {_STEP_SECONDS:g} s")
        meaning = to_error(error)
        meaning.facts["transactional_id"] = self._id
        return meaning


async def _places(futures: Iterable[asyncio.Future[Any]]) -> list[Sent]:
    """Await every acknowledgement and say where the records are."""
    found = await asyncio.gather(*futures)
    return [Sent(each.topic, each.partition, each.offset, each.timestamp or 0) for each in found]


def _look(future: asyncio.Future[Any]) -> None:
    """Count the failure of a future as seen."""
    if not future.cancelled():
        future.exception()


@contextlib.asynccontextmanager
async def transactional(
    broker: Broker, transactional_id: str, stable_ends: StableEnds | None = None
) -> AsyncIterator[TransactionalProducer]:
    """Give the one live producer of `transactional_id`; entering fences every older one."""
    producer = TransactionalProducer(broker, transactional_id, stable_ends)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()
