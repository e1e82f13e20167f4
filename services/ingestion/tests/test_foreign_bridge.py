"""Whatever dies when, each record is appended once: as an event, or as a dead letter."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import Exhausted, Misconfigured, TooLarge, Transient, Unavailable
from tidemill_common import events
from tidemill_common.clock import from_us
from tidemill_common.kafka import Record, Sent, TooManyDeadLetters, TopicPartition
from tidemill_common.testing.clock import FrozenClock
from tidemill_ingestion.foreign.bridge import Bridge
from tidemill_ingestion.foreign.lapses import Lapses
from tidemill_ingestion.foreign.source import compile_source
from tidemill_ingestion.foreign.testing import TOPIC, MemoryTopics, a_foreign_stream, a_record
from tidemill_ingestion.testing import NOW_US

SOURCE = compile_source(a_foreign_stream())
POISON = b"no json"


def a_bridge(topics: MemoryTopics, clock: FrozenClock | None = None) -> Bridge:
    clock = clock or FrozenClock(from_us(NOW_US))
    return Bridge(
        SOURCE,
        topics,
        topics,  # type: ignore[arg-type]  # in memory it is a producer too
        clock,
        Lapses(clock, 5.0),
        group="g",
        batch_events=3,
        timeout=5.0,
    )


async def consume(topics: MemoryTopics, source: Sequence[Record], sizes: Sequence[int]) -> None:
    """Take the source in parts, from what was committed, until the broker or the end is reached."""
    bridge = a_bridge(topics)
    partitions = {TopicPartition(record.topic, record.partition) for record in source}
    bridge.assigned(partitions)
    for tp in sorted(partitions):
        own = [record for record in source if record.partition == tp.partition]
        at = topics.committed.get(tp, 0)
        for size in [*sizes, len(own)]:
            part = own[at : at + size]
            if part:
                note = await bridge.handle(part)
                at += len(part)
                topics.committed[tp], topics.notes[tp] = at, note


def ids(topics: MemoryTopics) -> Counter[str]:
    found: Counter[str] = Counter()
    for partition in (0, 1):
        for record in topics.of("events.rides", partition):
            found.update(events.decode(record.value or b"").column("_id").to_pylist())
    return found


def dead(topics: MemoryTopics) -> list[tuple[int, int]]:
    headers = [dict(one.headers) for one in topics.of("events.rides.dlq", 0)]
    return sorted((int(one["dlq-partition"]), int(one["dlq-offset"])) for one in headers)


def a_source(length: int, bad: frozenset[int], partition: int) -> list[Record]:
    return [
        a_record(n, partition=partition, value=POISON if n in bad else b"") for n in range(length)
    ]


@given(
    length=st.integers(1, 25),
    bad=st.frozensets(st.integers(0, 24), max_size=4),
    deaths=st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=6),
    sizes=st.lists(st.integers(1, 12), max_size=4),
)
def test_each_record_is_appended_once_whenever_its_owner_dies(
    length: int, bad: frozenset[int], deaths: list[tuple[int, bool]], sizes: list[int]
) -> None:
    topics = MemoryTopics()
    source = [*a_source(length, bad, 0), *a_source(length, frozenset(), 1)]

    async def live() -> None:
        for alive, forgets in deaths:
            topics.alive = alive
            try:
                await consume(topics, source, sizes)
            except Transient:
                if forgets:  # it died before it could commit anything
                    topics.committed.clear()
                    topics.notes.clear()
        topics.alive = None
        await consume(topics, source, sizes)

    asyncio.run(live())
    good = {f"{record.partition}:{record.offset}" for record in source if record.value != POISON}
    assert ids(topics) == Counter(good)
    assert dead(topics) == [(0, n) for n in sorted(bad) if n < length]


async def test_events_of_a_partition_keep_the_order_of_their_source() -> None:
    topics = MemoryTopics()
    await consume(topics, a_source(40, frozenset(), 0), [7, 9])
    for partition in (0, 1):
        found = [
            int(name.split(":")[1])
            for record in topics.of("events.rides", partition)
            for name in events.decode(record.value or b"").column("_id").to_pylist()
        ]
        assert found == sorted(found)
        assert found


async def test_a_restart_reads_only_what_came_after_the_last_commit() -> None:
    topics = MemoryTopics()
    source = a_source(60, frozenset(), 0)
    await consume(topics, source, [10] * 6)
    topics.looked = 0
    await consume(topics, source, [])
    assert topics.looked == 0


async def test_a_dead_letter_keeps_the_bytes_and_says_why_and_whence() -> None:
    topics = MemoryTopics()
    bad = a_record(5, partition=2, cents=10**9)._replace(headers=(("ce_id", b"x"),))
    await consume(topics, [bad._replace(partition=2)], [])
    (letter,) = topics.of("events.rides.dlq", 0)
    headers = dict(letter.headers)
    assert (letter.value, letter.key, headers["ce_id"]) == (bad.value, bad.key, b"x")
    assert headers["dlq-topic"] == TOPIC.encode()
    assert headers["dlq-message"].startswith(b"fare: must be finite")
    assert headers["dlq-timestamp"] == str(bad.timestamp_ms).encode()


async def test_a_record_that_no_dead_letter_can_hold_blocks_nothing_and_is_named() -> None:
    topics = MemoryTopics()
    source = [a_record(0), a_record(1, value=b"x" * 2_000_000), a_record(2)]
    await consume(topics, source, [])
    (letter,) = topics.of("events.rides.dlq", 0)
    assert (letter.value, dict(letter.headers)["dlq-offset"]) == (b"", b"1")
    assert b"2000000 bytes" in dict(letter.headers)["dlq-message"]
    assert ids(topics) == Counter(["0:0", "0:2"])


async def test_a_producer_that_takes_no_more_gives_up_what_it_took_of_the_batch() -> None:
    class Full(MemoryTopics):
        taken: ClassVar[list[asyncio.Future[Sent]]] = []

        def enqueue(self, *args: object, **more: object) -> asyncio.Future[Sent]:
            if self.taken:
                raise Exhausted("64 MiB wait for the broker")
            self.taken.append(asyncio.get_running_loop().create_future())
            return self.taken[0]

    topics = Full()
    with pytest.raises(Exhausted):
        await consume(topics, a_source(20, frozenset(), 0), [])
    assert topics.taken[0].cancelled()


async def test_a_burst_of_bad_records_stops_the_source_at_the_tenth() -> None:
    topics = MemoryTopics()
    source = [a_record(n, value=POISON if n > 4 else b"") for n in range(100)]
    with pytest.raises(TooManyDeadLetters):
        await consume(topics, source, [])
    assert dead(topics) == [(0, n) for n in range(5, 15)]
    assert sum(ids(topics).values()) == 5


async def test_a_source_that_is_started_again_after_a_burst_goes_on_behind_it() -> None:
    topics = MemoryTopics()
    source = [a_record(n, value=POISON if 4 < n < 18 else b"") for n in range(40)]
    with pytest.raises(TooManyDeadLetters):
        await consume(topics, source, [])
    await consume(topics, source, [])
    assert dead(topics) == [(0, n) for n in range(5, 18)]
    assert ids(topics) == Counter(f"0:{n}" for n in range(40) if not 4 < n < 18)


async def test_an_owner_that_stood_still_finds_what_the_next_one_appended() -> None:
    topics, clock = MemoryTopics(), FrozenClock(from_us(NOW_US))
    source = a_source(30, frozenset(), 0)
    frozen = a_bridge(topics, clock)
    frozen.assigned([TopicPartition(TOPIC, 0)])
    await frozen.handle(source[:10])
    await consume(topics, source[:20], [])
    clock.advance(3_600.0)
    await frozen.handle(source[10:])
    assert ids(topics) == Counter(f"0:{n}" for n in range(30))


async def test_an_owner_that_stood_still_while_it_decoded_appends_nothing() -> None:
    topics, clock = MemoryTopics(), FrozenClock(from_us(NOW_US))

    class Slow(FrozenClock):
        def now_us(self) -> int:
            clock.advance(3_600.0)
            return clock.now_us()

    bridge = a_bridge(topics, clock)
    bridge._clock = Slow(from_us(NOW_US))
    with pytest.raises(Unavailable, match="stood still"):
        await bridge.handle([a_record(1)])
    assert ids(topics) == Counter()


class Refusing(MemoryTopics):
    def enqueue(self, *args: object, **more: object) -> asyncio.Future[object]:  # type: ignore[override]
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        future.set_exception(TooLarge("too large for the broker"))
        return future


async def test_an_event_that_the_broker_refuses_stops_the_source_and_is_no_dead_letter() -> None:
    topics = Refusing()
    with pytest.raises(Misconfigured, match="cannot be appended"):
        await consume(topics, [a_record(1)], [])
    assert dead(topics) == []
