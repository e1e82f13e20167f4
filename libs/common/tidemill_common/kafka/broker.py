"""Where the broker is, what a record is, and what an error of aiokafka means to the platform."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from aiokafka import errors as kafka_errors

from tidemill import errors
from tidemill_common.topics import MAX_RECORD_BYTES

RETRY_BACKOFF_MS = 100
FETCH_WAIT_MS = 200
PARTITION_FETCH_BYTES = 4 * MAX_RECORD_BYTES
TOTAL_FETCH_BYTES = 16 * MAX_RECORD_BYTES
PART_BYTES = 16 << 20
"""Of what a handler gets at once: a fetch is bounded as it travels, compressed."""

_FENCED = (kafka_errors.ProducerFenced, kafka_errors.InvalidProducerEpoch)
_TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
_REFUSED = (
    kafka_errors.InvalidTopicError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.CorruptRecordException,
    kafka_errors.UnsupportedForMessageFormatError,
    kafka_errors.PolicyViolationError,
)


@dataclass(frozen=True, slots=True)
class Broker:
    """The address of a cluster and the name this process has there."""

    address: str
    client: str = "tidemill"


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """One record as it lies in a partition."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Sent(NamedTuple):
    """Where a record went."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


_VALUE = attrgetter("value")
_MEMBERS = attrgetter("topic", "partition", "offset", "timestamp", "key", "value", "headers")


def to_records(found: Iterable[Any]) -> list[Record]:
    """Return aiokafka's records as ours; runs in C, because a topic of others has many."""
    return list(map(partial(tuple.__new__, Record), map(_MEMBERS, found)))


def in_parts(records: list[Record], limit: int = PART_BYTES) -> list[list[Record]]:
    """Halve records until no part has more than `limit` bytes of values, or it is one record."""
    if len(records) <= 1 or sum(map(len, filter(None, map(_VALUE, records)))) <= limit:
        return [records]
    middle = len(records) // 2
    return in_parts(records[:middle], limit) + in_parts(records[middle:], limit)


def to_error(error: BaseException) -> errors.TidemillError:
    """Say what an error of aiokafka means; what is not known to be final counts as transient."""
    name = type(error).__name__
    if isinstance(error, _FENCED):
        return errors.Fenced(f"a newer owner writes here ({name})")
    if isinstance(error, _TOO_LARGE):
        return errors.TooLarge(f"the broker takes records up to {MAX_RECORD_BYTES} bytes")
    if isinstance(error, _REFUSED):
        return errors.Invalid(f"the broker refuses the record ({name})")
    return errors.Unavailable(f"the broker does not answer as it should ({name})")
