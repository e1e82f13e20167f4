"""Kafka's log as a model: partitions, transactions, fencing, the offsets of groups, trimming.

What it promises, as test_broker_contract.py shows of it and of the real broker:

1. A record takes the next offset of its partition. The end of a transaction, either way, writes a
   marker into each partition the transaction wrote: it takes an offset and is never read.
2. read_committed sees nothing at or behind the first record of an open transaction (the last
   stable offset), and nothing of aborted ones. read_uncommitted sees every record.
3. Whoever starts a producer aborts what an older one of its transactional id left open; the older
   one fails at its next step.
4. Offsets of a group that are part of a transaction move with its commit only.
5. Trimmed records are gone for every reader, and a position below the start is an error.
6. A producer may also append outside of a transaction. A partition refuses that only from a
   producer that is older than the newest of its id that has written there, so a newer one must
   write to a partition before it can rely on the older one's silence.

Pure: no clock (`now_ms` is moved by whoever uses it), no I/O, no waiting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from tidemill_common.kafka import Record, TopicPartition

Headers = Sequence[tuple[str, bytes]]


class FencedProducer(Exception):
    """A newer producer of this transactional id exists."""


class OutOfRange(Exception):
    """A position that no longer exists."""


class Fate(Enum):
    """Where a transaction stands."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(slots=True, eq=False)
class Transaction:
    """What one transaction has written so far."""

    fate: Fate = Fate.OPEN
    partitions: set[TopicPartition] = field(default_factory=set)
    offsets: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An offset of a partition: a record, or (None) a marker."""

    record: Record | None
    transaction: Transaction | None


@dataclass(slots=True)
class _Log:
    entries: list[_Entry] = field(default_factory=list)
    start: int = 0
    epochs: dict[str, int] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return len(self.entries)

    def stable_end(self) -> int:
        """Return the first offset of an open transaction, or the end."""
        for offset in range(self.start, self.end):
            transaction = self.entries[offset].transaction
            if transaction is not None and transaction.fate is Fate.OPEN:
                return offset
        return self.end


@dataclass(slots=True, eq=False)
class Session:
    """One producer of a transactional id; made by `MemoryBroker.fence`."""

    transactional_id: str
    epoch: int
    transaction: Transaction | None = None


class MemoryBroker:
    """Holds everything; every method is one step that takes effect at once or not at all."""

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms
        self._logs: dict[TopicPartition, _Log] = defaultdict(_Log)
        self._epochs: dict[str, Session] = {}
        self._groups: dict[tuple[str, TopicPartition], int] = {}

    def append(
        self,
        tp: TopicPartition,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        session: Session | None = None,
    ) -> int:
        """Append a record, as part of the session's transaction if there is one."""
        transaction = None
        if session is not None:
            transaction = self._open(session)
            transaction.partitions.add(tp)
            self._logs[tp].epochs[session.transactional_id] = session.epoch
        log = self._logs[tp]
        record = Record(*tp, log.end, self.now_ms, key, value, tuple(headers))
        log.entries.append(_Entry(record, transaction))
        return record.offset

    def append_alone(
        self,
        tp: TopicPartition,
        value: bytes | None,
        *,
        session: Session,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> int:
        """Append a record outside of a transaction, unless a newer producer has written here."""
        epochs = self._logs[tp].epochs
        if session.epoch < epochs.get(session.transactional_id, 0):
            raise FencedProducer(session.transactional_id)
        epochs[session.transactional_id] = session.epoch
        return self.append(tp, value, key=key, headers=headers)

    def fence(self, transactional_id: str) -> Session:
        """Start a producer; what an older one left open is aborted."""
        old = self._epochs.get(transactional_id)
        session = Session(transactional_id, 0 if old is None else old.epoch + 1)
        if old is not None and old.transaction is not None:
            for tp in old.transaction.partitions:
                self._logs[tp].epochs[transactional_id] = session.epoch
            self._end(old, Fate.ABORTED)
        self._epochs[transactional_id] = session
        return session

    def begin(self, session: Session) -> None:
        """Begin a transaction; the broker learns of it with its first record."""
        session.transaction = Transaction()

    def add_offsets(
        self, session: Session, group: str, offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Let a group's offsets move with the transaction."""
        transaction = self._open(session)
        transaction.offsets.update({(group, tp): offset for tp, offset in offsets.items()})

    def end(self, session: Session, *, commit: bool) -> None:
        """Commit or abort."""
        self._open(session)
        self._end(session, Fate.COMMITTED if commit else Fate.ABORTED)

    def expire(self) -> None:
        """Abort every open transaction, as the broker does after their timeout."""
        for session in self._epochs.values():
            if session.transaction is not None:
                self._end(session, Fate.ABORTED)
                session.epoch += 1

    def read(
        self, tp: TopicPartition, start: int, *, committed: bool, limit: int = 10_000
    ) -> tuple[list[Record], int]:
        """Return records from `start` on, and the position behind them and what is never read."""
        log = self._logs[tp]
        if not log.start <= start:
            raise OutOfRange(f"{tp} begins at {log.start}, {start} is gone")
        end = log.stable_end() if committed else log.end
        found: list[Record] = []
        position = start
        while position < end and len(found) < limit:
            entry = log.entries[position]
            if entry.record is not None and (not committed or _is_committed(entry)):
                found.append(entry.record)
            position += 1
        return found, position

    def start_of(self, tp: TopicPartition) -> int:
        """Return the first offset that is there."""
        return self._logs[tp].start

    def end_of(self, tp: TopicPartition, *, committed: bool) -> int:
        """Return the end: for read_committed, the last stable offset."""
        log = self._logs[tp]
        return log.stable_end() if committed else log.end

    def offset_at(self, tp: TopicPartition, timestamp_ms: int) -> int | None:
        """Return the first record appended at that time or later."""
        for record in self._records(tp):
            if record.timestamp_ms >= timestamp_ms:
                return record.offset
        return None

    def trim(self, tp: TopicPartition, before: int) -> None:
        """Forget what lies below `before`."""
        log = self._logs[tp]
        log.start = max(log.start, min(before, log.end))

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return a group's offsets."""
        return {tp: offset for (name, tp), offset in self._groups.items() if name == group}

    def _records(self, tp: TopicPartition) -> Iterator[Record]:
        log = self._logs[tp]
        for entry in log.entries[log.start :]:
            if entry.record is not None:
                yield entry.record

    def _open(self, session: Session) -> Transaction:
        """Return the session's transaction; FencedProducer if it is no longer the newest."""
        newest = self._epochs[session.transactional_id]
        if newest is not session or session.transaction is None:
            raise FencedProducer(session.transactional_id)
        return session.transaction

    def _end(self, session: Session, fate: Fate) -> None:
        transaction, session.transaction = session.transaction, None
        if transaction is None:
            return
        transaction.fate = fate
        for tp in sorted(transaction.partitions):
            self._logs[tp].entries.append(_Entry(None, None))
        if fate is Fate.COMMITTED:
            self._groups.update(transaction.offsets)


def _is_committed(entry: _Entry) -> bool:
    return entry.transaction is None or entry.transaction.fate is Fate.COMMITTED
