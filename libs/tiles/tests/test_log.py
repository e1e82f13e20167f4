"""The feature log is the state: whoever follows it holds what its owner holds."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import Corrupt, FailedPrecondition, Misconfigured
from tidemill_tiles import codec
from tidemill_tiles.codec import Kind, decode_header
from tidemill_tiles.definitions import Aggregation, Function
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.owner import Owner
from tidemill_tiles.plan import plan_of
from tidemill_tiles.replica import Replica
from tidemill_tiles.testing.builders import (
    SECOND,
    WINDOWS,
    Event,
    a_batch,
    a_view,
    sketched_functions,
    some_events,
)
from tidemill_tiles.testing.oracle import dump

GOLDEN = Path(__file__).parent / "golden"
KEYS = [f"{origin}\x1f{runway}".encode() for origin in ("JFK", "LGA", "EWR") for runway in (0, 1)]
PAIRS = [
    (Function.COUNT, None),
    (Function.VAR, "delay"),
    (Function.LAST, "delay"),
    (Function.DISTINCT, "gate"),
    (Function.DISTINCT, "count"),
]
PLAIN = tuple(Aggregation("", function, field) for function, field in PAIRS)
FINITE = tuple(
    replace(one, name=f"a{number}_{place}", window_us=window, hop_us=hop)
    for place, (window, hop) in enumerate(WINDOWS)
    for number, one in enumerate([*PLAIN, *sketched_functions()])
    if window is not None
)
PLAN = plan_of(a_view(aggregations=FINITE, lateness_us=5 * SECOND))


ROOM = 500
"""Bytes of a row of these tests, about."""


def flushed(owner: Owner, position: int, watermark: int, chunk_rows: int = 5) -> list[bytes]:
    return owner.flush(
        position=position,
        watermark_us=watermark,
        newest_available_us=watermark + 1,
        chunk_bytes=chunk_rows * ROOM,
    )


def followed(records: list[bytes]) -> Replica:
    replica = Replica(PLAN)
    for record in records:
        replica.apply(record)
    return replica


def starts(records: list[bytes]) -> list[int]:
    """Return where a log may be trimmed to: the begins of complete snapshots."""
    headers = [decode_header(record) for record in records]
    ended = {one.snapshot for one in headers if one.kind is Kind.SNAPSHOT_END}
    return [
        number
        for number, one in enumerate(headers)
        if one.kind is Kind.SNAPSHOT_BEGIN and one.snapshot in ended
    ]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), some_events(limit=20, size=12), st.integers(0, 40)),
        st.tuples(st.just("snapshot"), st.integers(1, 9)),
        st.tuples(st.just("erase"), st.integers(0, len(KEYS) - 1)),
        st.tuples(st.just("takeover")),
    ),
    max_size=14,
)


def run(steps: list[Any]) -> tuple[Owner, list[bytes], Replica]:
    """Let an owner live through the steps while a replica follows every record."""
    owner, follower, clock = Owner(PLAN, "g1"), Replica(PLAN), 0
    log: list[bytes] = []
    for number, step in enumerate([*steps, ("apply", [], 0)]):
        match step:
            case ("apply", events, forward):
                clock += forward * SECOND
                moved = [_moved(event, clock) for event in events]
                owner.apply(a_batch(PLAN, moved))
            case ("snapshot", _):
                owner.begin_snapshot()
            case ("erase", key):
                owner.erase(hash_keys([KEYS[key]]))
            case _:
                owner = followed(log).promote("g2") if log else owner
        chunk = step[1] if step[0] == "snapshot" else 3
        records = flushed(owner, number, clock, chunk)
        log += records
        for record in records:
            follower.apply(record)
        assert dump(follower.table) == dump(owner.table)
    return owner, log, follower


def _moved(event: Event, by: int) -> Event:
    return Event(
        event.origin, event.runway, event.time + by, event.tie, event.delay, event.count,
        event.late, event.gate, event.left_at,
    )  # fmt: skip


@given(STEPS)
@settings(max_examples=60)
def test_a_follower_holds_what_its_owner_holds_after_every_flush(steps: list[Any]) -> None:
    owner, log, follower = run(steps)
    assert follower.ready
    assert follower.position == owner.position == len(steps)
    assert follower.watermark_us == owner.watermark_us
    assert follower.newest_available_us == owner.newest_available_us
    assert follower.generation == owner.generation
    assert dump(followed(log).table) == dump(owner.table)


@given(STEPS)
@settings(max_examples=60)
def test_a_log_trimmed_to_any_complete_snapshot_restores_the_same_state(steps: list[Any]) -> None:
    owner, log, _ = run([*steps, ("snapshot", 50), ("snapshot", 50), *steps])
    assert starts(log)
    for start in starts(log):
        replica = followed(log[start:])
        assert replica.ready
        assert dump(replica.table) == dump(owner.table)


@given(STEPS)
@settings(max_examples=20)
def test_a_promoted_replica_goes_on_as_the_owner_would_have(steps: list[Any]) -> None:
    owner, log, _ = run(steps)
    heir = followed(log).promote("g1")
    event = Event("JFK", 1, owner.watermark_us + 5, 1, 2.0, 3, None, "Z", None)
    for writer in (owner, heir):
        writer.apply(a_batch(PLAN, [event]))
        flushed(writer, 99, event.time)
    one, other = dump(owner.table), dump(heir.table)
    assert sorted(one["rows"].values()) == sorted(other["rows"].values())
    assert len(one["entities"]) == len(other["entities"])


def an_event(number: int, time: int = 1) -> Event:
    return Event(f"A{number}", 0, time, number, 1.5, number % 7, True, f"G{number % 3}", 0)


def test_every_flush_writes_at_least_one_record_and_only_the_last_one_moves_the_position() -> None:
    owner = Owner(PLAN, "g")
    assert [decode_header(one).kind for one in flushed(owner, 0, 0)] == [Kind.GENESIS]
    records = flushed(owner, 7, 9)
    assert [decode_header(one).kind for one in records] == [Kind.ROWS]
    owner.apply(a_batch(PLAN, [an_event(number) for number in range(3_000)]))
    owner.begin_snapshot()
    records = flushed(owner, 8, 10, chunk_rows=100_000)
    headers = [decode_header(one) for one in records]
    assert [one.last for one in headers] == [False] * (len(headers) - 1) + [True]
    assert max(map(len, records)) <= codec.MAX_RECORD_BYTES
    assert sum(one.kind is Kind.ROWS for one in headers) > 1
    replica = Replica(PLAN)
    replica.apply(flushed(Owner(PLAN, "g"), 0, 0)[0])
    for record in records[:-1]:
        replica.apply(record)
        assert replica.position == 0
    replica.apply(records[-1])
    assert (replica.position, replica.watermark_us) == (8, 10)
    assert dump(replica.table) == dump(owner.table)


def test_a_replica_is_not_ready_before_a_complete_snapshot() -> None:
    owner = Owner(PLAN, "g")
    owner.apply(a_batch(PLAN, [an_event(number) for number in range(20)]))
    log = flushed(owner, 0, 0)
    owner.begin_snapshot()
    log += [record for _ in range(9) for record in flushed(owner, 1, 1)]
    assert not owner.snapshotting
    begin = starts(log)[0]
    replica = Replica(PLAN)
    for record in log[1:begin]:
        replica.apply(record)
    assert replica.table.entities == 0
    end = [decode_header(one).kind for one in log].index(Kind.SNAPSHOT_END)
    for record in log[begin:end]:
        replica.apply(record)
        assert not replica.ready
        with pytest.raises(FailedPrecondition):
            replica.promote("g")
    replica.apply(log[end])
    assert replica.ready


@pytest.mark.parametrize("limit", [1, 1_000, 20_000])
def test_a_chunk_takes_so_many_bytes_and_one_row_at_least(limit: int) -> None:
    owner = Owner(PLAN, "g")
    for start in range(0, 60, 20):  # the same entities: their sketches grow
        owner.apply(a_batch(PLAN, [an_event(number % 10) for number in range(start, start + 20)]))
    log = flushed(owner, 0, 0)
    owner.begin_snapshot()
    chunks: list[list[bytes]] = []
    while owner.snapshotting:
        records = owner.flush(position=1, watermark_us=0, newest_available_us=0, chunk_bytes=limit)
        log += records
        chunks.append([one for one in records if decode_header(one).kind is Kind.CHUNK])
    head = codec.HEADER.size + codec.COUNTS.size
    sizes = [sum(len(one) - head for one in some) for some in chunks]
    rows = [sum(codec.decode_body(PLAN, one)[0].rows for one in some) for some in chunks]
    assert sum(rows) == owner.table.tiles
    assert all(size <= limit or count == 1 for size, count in zip(sizes, rows, strict=True))
    assert min(rows[:-1], default=1) >= 1
    assert dump(followed(log[starts(log)[0] :]).table) == dump(owner.table)


def test_a_snapshot_that_was_given_up_ends_nothing() -> None:
    owner = Owner(PLAN, "g")
    owner.apply(a_batch(PLAN, [an_event(number) for number in range(40)]))
    log = flushed(owner, 0, 0)
    owner.begin_snapshot()
    log += flushed(owner, 1, 1)
    owner = followed(log).promote("h")
    owner.begin_snapshot()
    while owner.snapshotting:
        log += flushed(owner, 2, 2)
    begins = [decode_header(one) for one in log if decode_header(one).kind is Kind.SNAPSHOT_BEGIN]
    assert [one.snapshot for one in begins] == [1, 2]
    assert dump(followed(log).table) == dump(followed(log[starts(log)[0] :]).table)


def test_a_snapshot_makes_followers_drop_what_it_did_not_name() -> None:
    owner = Owner(PLAN, "g")
    owner.apply(a_batch(PLAN, [an_event(1), an_event(1, 90 * SECOND), an_event(2)]))
    log = flushed(owner, 0, 0)
    follower = followed(log)
    owner.table.evict(90 * SECOND)  # rows are lost, and no record says so
    owner.begin_snapshot()
    records = flushed(owner, 1, 0, chunk_rows=100)
    for record in records[:-1]:
        follower.apply(record)
    assert follower.table.tiles > owner.table.tiles
    follower.apply(records[-1])
    assert dump(follower.table) == dump(owner.table)


@given(st.data())
@settings(max_examples=60)
def test_damaged_bytes_are_refused_and_change_nothing(data: st.DataObject) -> None:
    owner = Owner(PLAN, "g")
    genesis = flushed(owner, 0, 0)
    owner.apply(a_batch(PLAN, [an_event(number) for number in range(5)]))
    record = flushed(owner, 1, 1)[0]
    place = data.draw(st.integers(0, len(record) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    flipped = record[:place] + bytes([record[place] ^ bit]) + record[place + 1 :]
    replica = followed(genesis)
    for damaged in (flipped, record[:place], record + b"\0"):
        with pytest.raises(Corrupt):
            replica.apply(damaged)
    assert replica.table.entities == 0


def resealed(record: bytes, at: int, layout: str, value: int) -> bytes:
    """Return a record with another number in its body and a checksum that fits."""
    plain = unpacked(record)
    struct.pack_into(layout, plain, codec.HEADER.size + at, value)
    return codec.sealed(plain, decode_header(record))


def unpacked(record: bytes) -> bytearray:
    """Return a record as it was before it was sealed, its header empty."""
    return bytearray(codec.HEADER.size) + codec.body_of(record)


def test_counts_and_limits_are_checked_before_anything_is_allocated() -> None:
    owner = Owner(PLAN, "g")
    genesis = flushed(owner, 0, 0)
    owner.apply(a_batch(PLAN, [an_event(number) for number in range(5)]))
    record = flushed(owner, 1, 1)[0]
    shape, _ = codec.decode_body(PLAN, record)
    slots = codec.COUNTS.size + 16 * shape.entities + 8 * shape.values
    slots += 8 * shape.rows * (2 + len(PLAN.cells))
    levels = codec.plain_bytes(record) - codec.HEADER.size - shape.key_bytes - shape.rows
    counts = levels - 4 * shape.rows * len(PLAN.set_columns)
    for at, layout, value in (
        (0, "<I", 2**31),
        (4, "<I", 2**32 - 1),
        (12, "<I", 2**30),
        (slots, "<I", codec.MAX_SLOTS),
        (slots + 4 * shape.entities, "<I", 4_097),
        (slots + 8 * shape.entities, "<I", 77),
        (levels, "B", 200),
        (counts, "<I", 10_000),
    ):
        with pytest.raises(Corrupt):
            followed(genesis).apply(resealed(record, at, layout, value))


@pytest.mark.parametrize(
    ("function", "width"),
    [
        (Function.DISTINCT, 1),
        (Function.QUANTILE, 1),
        (Function.EWMA, 4),
        (Function.LAST_K, 3),
        (Function.TOP_K, 2),
    ],
)
def test_a_block_whose_entries_do_not_ascend_or_are_cut_is_refused(
    function: Function, width: int
) -> None:
    kinds = [one for one in (*PLAIN, *sketched_functions()) if one.function is function]
    one = max(kinds[:3], key=lambda each: each.place or 0)
    plan = plan_of(a_view(aggregations=(replace(one, name="one"),)))
    owner, replica = Owner(plan, "g"), Replica(plan)
    replica.apply(flushed(owner, 0, 0)[0])
    events = [
        replace(
            an_event(0),
            time=SECOND * (1 + n),
            tie=n,
            count=n,
            gate=f"{n}",
            delay=float(n),
            left_at=n * 2**20,
            late=n > 0,
        )
        for n in range(2)
    ]
    owner.apply(a_batch(plan, events))
    record = flushed(owner, 1, 1)[0]
    shape, columns = codec.decode_body(plan, record)
    assert shape.values == 2 * width
    start = codec.COUNTS.size + 16 * shape.entities + 8 * shape.rows * (2 + len(plan.cells))
    entries = columns[-1].tolist()
    turned = unpacked(record)
    struct.pack_into(
        f"<{2 * width}Q", turned, codec.HEADER.size + start, *entries[width:], *entries[:width]
    )
    with pytest.raises(Corrupt, match="ascending"):
        replica.apply(codec.sealed(turned, decode_header(record)))
    assert replica.table.tiles == 0
    replica.apply(record)
    assert dump(replica.table) == dump(owner.table)


def test_a_record_of_another_version_of_the_view_is_refused() -> None:
    other = plan_of(a_view(lateness_us=1))
    with pytest.raises(Corrupt, match="view version"):
        Replica(PLAN).apply(flushed(Owner(other, "g"), 0, 0)[0])


def test_a_generation_that_is_too_long_is_refused() -> None:
    with pytest.raises(Misconfigured):
        Owner(PLAN, "g" * 65)


@pytest.mark.parametrize(
    ("golden", "kinds"),
    [("feature_log_v1.bin", PLAIN), ("feature_log_v1_sketches.bin", tuple(sketched_functions()))],
)
def test_the_bytes_of_format_one_are_read_and_written_for_ever(
    golden: str, kinds: tuple[Aggregation, ...]
) -> None:
    one = tuple(
        replace(each, name=f"f{number}", window_us=10 * SECOND, hop_us=SECOND)
        for number, each in enumerate(kinds)
    )
    plan = plan_of(a_view(aggregations=one))
    owner = Owner(plan, "golden")
    records = flushed(owner, 0, NO_TIME)
    owner.apply(a_batch(plan, [an_event(number, 1 + number * SECOND) for number in range(4)]))
    owner.begin_snapshot()
    records += flushed(owner, 4, 4 * SECOND, chunk_rows=9)
    owner.erase(hash_keys([b"A1\x1f0"]))
    records += flushed(owner, 5, 5 * SECOND)
    written = b"".join(struct.pack("<I", len(one)) + one for one in records)
    assert written == (GOLDEN / golden).read_bytes()
    replica = Replica(plan)
    for record in records:
        replica.apply(record)
    assert sorted(replica.table.entity_keys()) == [b"A0\x1f0", b"A2\x1f0", b"A3\x1f0"]
