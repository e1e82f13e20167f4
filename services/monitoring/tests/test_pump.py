"""What is read ahead stays bounded, and a step is never too large for one transaction."""

from __future__ import annotations

from collections.abc import Iterable

from tidemill_common.kafka import Record, TopicPartition
from tidemill_monitoring import pump
from tidemill_monitoring.pump import Buffer

TP = TopicPartition("events.s", 0)
OTHER = TopicPartition("events.s", 1)


class Reader:
    """Remembers which partitions are no longer read."""

    def __init__(self) -> None:
        self.removed: list[TopicPartition] = []

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        self.removed += partitions


def some(tp: TopicPartition, first: int, count: int, size: int = 10) -> list[Record]:
    return [Record(tp[0], tp[1], first + i, 0, None, b"x" * size, ()) for i in range(count)]


def a_buffer() -> tuple[Buffer, Reader]:
    buffer, reader = Buffer(), Reader()
    buffer.follower = reader  # type: ignore[assignment]
    buffer.next = {TP: 0, OTHER: 0}
    return buffer, reader


def test_records_leave_in_the_order_in_which_they_came_and_none_is_lost() -> None:
    buffer, _ = a_buffer()
    buffer.take(TP, some(TP, 0, 3_000))
    buffer.take(OTHER, some(OTHER, 0, 3_000))
    offsets = []
    while not buffer.empty:
        offsets += [(tp, record.offset) for tp, record in buffer.drain()]
    assert offsets == [(TP, i) for i in range(3_000)] + [(OTHER, i) for i in range(3_000)]
    assert not buffer.filled.is_set()


def test_a_step_is_bounded_by_bytes_but_takes_at_least_one_record() -> None:
    buffer, _ = a_buffer()
    buffer.take(TP, some(TP, 0, 5, size=pump.STEP_BYTES))
    assert len(buffer.drain()) == 1
    assert not buffer.empty


def test_too_much_read_ahead_stops_every_partition_where_it_is() -> None:
    buffer, reader = a_buffer()
    buffer.take(TP, some(TP, 0, 40, size=1024 * 1024))
    buffer.take(OTHER, some(OTHER, 0, 2))
    assert set(reader.removed) == {TP, OTHER}
    assert buffer.paused == {TP: 40, OTHER: 2}
