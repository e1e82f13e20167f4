"""aiokafka's clients over the broker in memory, and the trouble that a process may meet at any step.

They have the methods that tidemill_common.kafka calls and nothing else. Each call that changes the
broker is an effect: a process may die, or be told of an error, just before it or just after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from aiokafka.errors import OffsetOutOfRangeError, ProducerFenced, RequestTimedOutError

from tests.simulation.broker import FencedProducer, MemoryBroker, OutOfRange, Session
from tidemill_common.kafka import Record, TopicPartition

T = TypeVar("T")


class Crash(BaseException):
    """The process is gone: nothing of it runs any more."""


class How(Enum):
    """What kind of trouble: an end without a word, or an error that the process sees."""

    CRASH = "crash"
    ERROR = "error"


@dataclass(slots=True)
class Process:
    """One life of a worker. `trouble` strikes at that many half-effects from now, then never.

    `pace` says for how many turns of the loop others may go first at its next effect.
    """

    broker: MemoryBroker
    trouble: int = -1
    how: How = How.CRASH
    dead: bool = False
    pace: Callable[[], int] = int

    async def turn(self) -> None:
        """Let others go first."""
        for _ in range(self.pace()):
            await asyncio.sleep(0)

    def change(self, act: Callable[[], T]) -> T:
        """Do one effect, unless trouble comes before; trouble may come right after it, too."""
        self._point()
        try:
            result = act()
        except FencedProducer as error:
            raise ProducerFenced from error
        self._point()
        return result

    def _point(self) -> None:
        if self.dead:
            raise Crash
        self.trouble -= 1
        if self.trouble == -1:
            self.dead = self.how is How.CRASH
            raise Crash if self.dead else RequestTimedOutError


PROCESS: ContextVar[Process] = ContextVar("process")
"""Whose clients are being made."""


@dataclass(frozen=True, slots=True)
class _Sent:
    topic: str
    partition: int
    offset: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A record with aiokafka's names."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class _Connections:
    """What a producer talks to its broker over."""

    async def close(self) -> None:
        """Close: the broker is told nothing."""


class _Sender:
    async def close(self) -> None:
        """There is no task to end."""


@dataclass(slots=True)
class _Manager:
    """What makes aiokafka write transactions: an id."""

    transactional_id: str | None


class _Accumulator:
    def waiter(self) -> asyncio.Future[None]:
        """Return what the sender waits for; there is no sender to wake."""
        return asyncio.get_running_loop().create_future()


class MemoryProducer:
    """AIOKafkaProducer with a transactional id."""

    def __init__(self, *, transactional_id: str, **_: Any) -> None:
        self._process = PROCESS.get()
        self._broker = self._process.broker
        self._id = transactional_id
        self._session: Session | None = None
        self._sender = _Sender()
        self.client = _Connections()
        self._txn_manager = _Manager(transactional_id)
        self._message_accumulator = _Accumulator()

    async def start(self) -> None:
        """Fence."""
        await self._process.turn()
        self._session = self._process.change(lambda: self._broker.fence(self._id))

    async def stop(self) -> None:
        """Close: the broker is told nothing."""

    async def begin_transaction(self) -> None:
        """Begin."""
        self._broker.begin(self._own)

    async def send(
        self, topic: str, value: bytes | None, *, partition: int, key: bytes | None, headers: Any
    ) -> asyncio.Future[_Sent]:
        """Append; the future has the answer."""
        tp = TopicPartition(topic, partition)
        done: asyncio.Future[_Sent] = asyncio.get_running_loop().create_future()
        alone = self._txn_manager.transactional_id is None
        append = self._broker.append_alone if alone else self._broker.append
        await self._process.turn()
        try:
            offset = self._process.change(
                lambda: append(tp, value, key=key, headers=headers, session=self._own)
            )
        except (ProducerFenced, RequestTimedOutError) as error:
            done.set_exception(error)
        else:
            done.set_result(_Sent(topic, partition, offset, self._broker.now_ms))
        return done

    async def send_offsets_to_transaction(self, offsets: Mapping[Any, Any], group: str) -> None:
        """Add a group's offsets."""
        wanted = {TopicPartition(*tp): found.offset for tp, found in offsets.items()}
        self._process.change(lambda: self._broker.add_offsets(self._own, group, wanted))

    async def commit_transaction(self) -> None:
        """Commit."""
        await self._process.turn()
        self._process.change(lambda: self._broker.end(self._own, commit=True))

    async def abort_transaction(self) -> None:
        """Abort."""
        self._process.change(lambda: self._broker.end(self._own, commit=False))

    @property
    def _own(self) -> Session:
        if self._session is None:
            message = "the producer was not started"
            raise RuntimeError(message)
        return self._session


class MemoryConsumer:
    """AIOKafkaConsumer without a group."""

    def __init__(self, *, isolation_level: str, **_: Any) -> None:
        self._broker = PROCESS.get().broker
        self._committed = isolation_level == "read_committed"
        self._positions: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Disconnect."""

    async def beginning_offsets(self, partitions: Iterable[Any]) -> dict[Any, int]:
        """Return where the partitions begin."""
        return {tp: self._broker.start_of(TopicPartition(*tp)) for tp in partitions}

    async def end_offsets(self, partitions: Iterable[Any]) -> dict[Any, int]:
        """Return where they end, as this isolation sees it."""
        return {
            tp: self._broker.end_of(TopicPartition(*tp), committed=self._committed)
            for tp in partitions
        }

    async def offsets_for_times(self, times: Mapping[Any, int]) -> dict[Any, Any]:
        """Return the first record at or after each time."""
        found = {tp: self._broker.offset_at(TopicPartition(*tp), at) for tp, at in times.items()}
        return {
            tp: None if offset is None else _Sent(tp[0], tp[1], offset, times[tp])
            for tp, offset in found.items()
        }

    def assign(self, partitions: Iterable[Any]) -> None:
        """Read these partitions from now on."""
        self._positions = {TopicPartition(*tp): 0 for tp in partitions}

    def unsubscribe(self) -> None:
        """Read nothing."""
        self._positions = {}

    def assignment(self) -> set[TopicPartition]:
        """Return what is read."""
        return set(self._positions)

    def seek(self, partition: Any, offset: int) -> None:
        """Go on there."""
        self._positions[TopicPartition(*partition)] = offset

    async def position(self, partition: Any) -> int:
        """Return the next offset."""
        return self._positions[TopicPartition(*partition)]

    def highwater(self, partition: Any) -> int:
        """Return the end of a partition."""
        return self._broker.end_of(TopicPartition(*partition), committed=False)

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[Any, list[_Found]]:
        """Return what is there; let others run first, as a fetch would."""
        await asyncio.sleep(0)
        given: dict[Any, list[_Found]] = {}
        for tp, start in list(self._positions.items()):
            try:
                records, position = self._broker.read(
                    tp, start, committed=self._committed, limit=max_records
                )
            except OutOfRange as error:
                raise OffsetOutOfRangeError({tp: start}) from error
            self._positions[tp] = position
            if records:
                given[tp] = [_found(record) for record in records]
        return given


class MemoryAdmin:
    """AIOKafkaAdminClient."""

    def __init__(self) -> None:
        self._process = PROCESS.get()
        self._broker = self._process.broker

    async def list_consumer_group_offsets(self, group: str) -> dict[Any, Any]:
        """Return a group's offsets."""
        committed = self._broker.committed(group)
        return {tp: _Sent(tp[0], tp[1], offset, 0) for tp, offset in committed.items()}

    async def delete_records(self, wanted: Mapping[Any, Any], *, timeout_ms: int) -> None:
        """Trim partitions, one after another."""
        for tp, found in wanted.items():
            self._process.change(
                partial(self._broker.trim, TopicPartition(*tp), found.before_offset)
            )


def _found(record: Record) -> _Found:
    return _Found(*record)
