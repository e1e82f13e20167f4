"""Records that a consumer could not process: their original bytes, with the reason and the origin.

A dead letter keeps key, value and headers byte for byte; why and whence stand in further headers.
No stack trace is kept: it could hold personal data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill_common import metrics, topics
from tidemill_common.events import header
from tidemill_common.kafka.broker import Record, Sent, TopicPartition
from tidemill_common.kafka.reading import read_range

if TYPE_CHECKING:
    from tidemill.errors import TidemillError
    from tidemill_common.kafka.broker import Broker
    from tidemill_common.kafka.producer import Producer

PREFIX = "dlq-"
ATTEMPT = "attempt"
MAX_MESSAGE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Who set a record aside, and doing what."""

    group: str
    service: str
    stage: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that was set aside; `position` is its offset in the dead-letter topic.

    `written_ms` is the timestamp that the record had in its own topic.
    """

    position: int
    topic: str
    partition: int
    offset: int
    row: int | None
    group: str
    service: str
    stage: str
    error: str
    message: str
    attempt: int
    written_ms: int
    record: Record


def to_headers(
    record: Record,
    error: TidemillError,
    origin: Origin,
    *,
    row: int | None = None,
    attempt: int = 1,
) -> list[tuple[str, bytes]]:
    """Return the record's own headers, then those that say why and whence."""
    message = error.message.encode()[:MAX_MESSAGE_BYTES].decode("utf-8", "ignore")
    facts = {
        "dlq-group": origin.group,
        "dlq-service": origin.service,
        "dlq-stage": origin.stage,
        "dlq-error": error.reason,
        "dlq-message": message,
        "dlq-topic": record.topic,
        "dlq-partition": str(record.partition),
        "dlq-offset": str(record.offset),
        "dlq-timestamp": str(record.timestamp_ms),
        "dlq-row": "" if row is None else str(row),
        ATTEMPT: str(attempt),
    }
    own = [item for item in record.headers if not item[0].startswith(PREFIX) and item[0] != ATTEMPT]
    return [*own, *((name, text.encode()) for name, text in facts.items())]


async def write(
    producer: Producer,
    record: Record,
    error: TidemillError,
    origin: Origin,
    *,
    row: int | None = None,
    value: bytes | None = None,
    attempt: int = 1,
    topic: str = "",
) -> Sent:
    """Set a record (or `value`, one row of it) aside; when this returns it is durable.

    It goes to the dead letters of its own topic, or of `topic`.
    """
    sent = await producer.send(
        topics.dead_letters(topic or record.topic).name,
        record.value if value is None else value,
        key=record.key,
        headers=to_headers(record, error, origin, row=row, attempt=attempt),
    )
    metrics.counter(
        "tidemill_dead_letters_total", topic=record.topic, group=origin.group, error=error.reason
    ).inc()
    return sent


async def read(
    broker: Broker, topic: str, *, start: int | None = None, limit: int = 100
) -> list[DeadLetter]:
    """Return up to `limit` dead letters of `topic` (without .dlq) from position `start` on."""
    tp = TopicPartition(topics.dead_letters(topic).name, 0)
    return [from_record(record) for record in await read_range(broker, tp, start, limit)]


def from_record(found: Record) -> DeadLetter:
    """Read a record of a dead-letter topic; the inner record is the original one."""

    def text(name: str) -> str:
        return header(found.headers, f"{PREFIX}{name}") or ""

    def number(name: str) -> int:
        value = text(name)
        return int(value) if value.isdigit() else 0

    own = [item for item in found.headers if not item[0].startswith(PREFIX) and item[0] != ATTEMPT]
    topic, partition, offset = text("topic"), number("partition"), number("offset")
    return DeadLetter(
        position=found.offset,
        topic=topic,
        partition=partition,
        offset=offset,
        row=number("row") if text("row") else None,
        group=text("group"),
        service=text("service"),
        stage=text("stage"),
        error=text("error"),
        message=text("message"),
        attempt=int(header(found.headers, ATTEMPT) or "1"),
        written_ms=number("timestamp") if text("timestamp") else found.timestamp_ms,
        record=Record(
            topic, partition, offset, found.timestamp_ms, found.key, found.value, tuple(own)
        ),
    )
