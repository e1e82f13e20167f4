"""What the edge lets in, what it refuses, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill_common.topics import key_bytes, partition_of
from tidemill_ingestion.schema import StreamSchema, compile_stream
from tidemill_ingestion.testing import NOW_US, a_stream, an_event
from tidemill_ingestion.validation import (
    MAX_EVENT_BYTES,
    MAX_ID,
    RawEvent,
    check_columns,
    check_events,
)

MINUTE_US = 60_000_000


def refusal_of(schema: StreamSchema, event: RawEvent) -> tuple[str, str]:
    """Reason and field of an event that stands between two good ones."""
    checked = check_events(schema, [an_event(1), event, an_event(3)], NOW_US)
    assert checked.batch is not None
    assert checked.batch.index.tolist() == [0, 2]
    assert list(checked.refusals) == [1]
    return checked.refusals[1].reason, checked.refusals[1].field


def test_good_events_become_columns_in_order(clicks: StreamSchema) -> None:
    checked = check_events(clicks, [an_event(n) for n in range(5)], NOW_US)
    assert checked.batch is not None
    assert not checked.refusals
    rows = checked.batch.rows
    assert rows.schema.equals(clicks.arrow)
    assert rows.column("_id").to_pylist() == [f"e{n}" for n in range(5)]
    assert rows.column("price").to_pylist() == [n * 1.5 for n in range(5)]
    assert rows.column("count").null_count == 5


def test_an_event_goes_to_the_partition_of_its_key(clicks: StreamSchema) -> None:
    checked = check_events(clicks, [an_event(n) for n in range(50)], NOW_US)
    assert checked.batch is not None
    users = checked.batch.rows.column("user").to_pylist()
    assert checked.batch.partitions.tolist() == [partition_of(key_bytes([u]), 4) for u in users]


@pytest.mark.parametrize(
    ("data", "field", "part"),
    [
        ({"price": 1}, "user", "missing required"),
        ({"user": "a", "prise": 1}, "prise", "unknown field"),
        ({"user": "a", "price": "1"}, "price", "Expected `float"),
        ({"user": "a", "price": -1}, "price", ">= 0"),
        ({"user": "a", "price": 2.0**60}, "price", "<="),
        ({"user": "a", "count": 2**62}, "count", "<="),
        ({"user": "a", "count": 1.5}, "count", "Expected `int"),
        ({"user": "a", "at": "2013-01-01T10:00:00"}, "at", "timezone"),
        ({"user": "a", "paid": 1}, "paid", "Expected `bool"),
        ({"user": "a\x1fb"}, "user", "U+001F"),
        ({"user": "x" * 70_000}, "user", "length"),
        (b"[1]", "", "Expected `object`"),
        (b"", "", "truncated"),
        (b'{"user":"a"}\n{"user":"b"}', "", "malformed"),
        (b'{"user":"a"', "", "truncated"),
        (b'\xff{"user":"a"}', "", "malformed"),
        (b'{"user":NaN}', "", "malformed"),
        (b'{"user":"' + b"x" * MAX_EVENT_BYTES + b'"}', "", "at most"),
        (b'{"user":' + b"[" * 5000 + b"]" * 5000 + b"}", "user", "Expected `str`"),
    ],
)
def test_bad_data_is_refused_with_its_field_and_its_neighbours_pass(
    clicks: StreamSchema, data: Any, field: str, part: str
) -> None:
    reason, named = refusal_of(clicks, an_event(2, data=data))
    assert part.lower() in reason.lower()
    assert named == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "x" * (MAX_ID + 1)}, "id"),
        ({"time_us": NOW_US + 6 * MINUTE_US}, "time"),
        ({"available_us": NOW_US}, "availabletime"),
    ],
)
def test_a_bad_envelope_is_refused(
    clicks: StreamSchema, changes: dict[str, Any], field: str
) -> None:
    assert refusal_of(clicks, an_event(2, **changes))[1] == field


def test_only_a_replay_may_state_when_it_was_available(history: StreamSchema) -> None:
    event = an_event(1, time_us=NOW_US - 10, available_us=NOW_US - 5)
    checked = check_events(history, [event], NOW_US)
    assert checked.batch is not None
    assert checked.batch.rows.column("_available").cast("int64").to_pylist() == [NOW_US - 5]


def test_what_is_known_before_it_happens_is_refused(history: StreamSchema) -> None:
    event = an_event(1, time_us=NOW_US - 5, available_us=NOW_US - 10)
    checked = check_events(history, [event], NOW_US)
    assert checked.batch is None
    assert "before the event time" in checked.refusals[0].reason


def test_a_live_event_is_available_when_it_comes_in(clicks: StreamSchema) -> None:
    checked = check_events(clicks, [an_event(1, time_us=NOW_US - MINUTE_US)], NOW_US)
    assert checked.batch is not None
    assert checked.batch.rows.column("_available").cast("int64").to_pylist() == [NOW_US]


def test_declared_fields_give_the_id_and_the_time() -> None:
    schema = compile_stream(a_stream(event_id_field="user", event_time_field="at"))
    data = {"user": "u1", "at": "2020-01-01T00:00:00Z"}
    checked = check_events(schema, [an_event(1, data=data)], NOW_US)
    assert checked.batch is not None
    assert checked.batch.rows.column("_id").to_pylist() == ["u1"]
    assert checked.batch.rows.column("_time").cast("int64").to_pylist() == [1_577_836_800_000_000]


def test_columns_are_held_to_the_rules_of_events(clicks: StreamSchema) -> None:
    good = check_events(clicks, [an_event(n) for n in range(4)], NOW_US).batch
    assert good is not None
    price = good.rows.schema.get_field_index("price")
    broken = good.rows.set_column(
        price, good.rows.schema.field(price), pa.array([1.0, np.inf, -1.0, None])
    )
    checked = check_columns(clicks, broken, NOW_US, states=False)
    assert sorted(checked.refusals) == [1, 2]
    assert {refusal.field for refusal in checked.refusals.values()} == {"price"}


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_make_it_fail_and_every_event_has_one_fate(lines: list[bytes]) -> None:
    schema = compile_stream(a_stream())
    checked = check_events(schema, [an_event(n, data=line) for n, line in enumerate(lines)], NOW_US)
    accepted = checked.batch.index.tolist() if checked.batch is not None else []
    assert sorted([*accepted, *checked.refusals]) == list(range(len(lines)))


@given(
    st.lists(st.sampled_from([b'{"user":"}', b'{","price":1}', b'{"user":"a"}', b" "]), max_size=6)
)
def test_pieces_of_objects_never_merge_into_another_event(lines: list[bytes]) -> None:
    schema = compile_stream(a_stream())
    checked = check_events(schema, [an_event(n, data=line) for n, line in enumerate(lines)], NOW_US)
    accepted = checked.batch.index.tolist() if checked.batch is not None else []
    assert accepted == [n for n, line in enumerate(lines) if line == b'{"user":"a"}']
