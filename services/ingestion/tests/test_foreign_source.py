"""What events records become, and which records become none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Misconfigured
from tidemill.project.schemas import protobuf
from tidemill_common.kafka import Record
from tidemill_ingestion.foreign.source import Bridged, compile_source
from tidemill_ingestion.foreign.testing import (
    NOW_MS,
    TOPIC,
    a_foreign_stream,
    a_record,
    a_set_of,
)
from tidemill_ingestion.testing import NOW_US


def events(stream: pb.Stream, *records: Record) -> Bridged:
    return compile_source(stream).events(records, NOW_US)


def rows(found: Bridged) -> list[dict[str, object]]:
    return [] if found.batch is None else found.batch.rows.to_pylist()


def reasons(found: Bridged) -> dict[int, str]:
    return {at: f"{one.field}: {one.reason}" for at, one in found.refusals.items()}


def test_a_record_becomes_the_event_that_the_expressions_say() -> None:
    found = events(a_foreign_stream(), a_record(7, partition=3, paid=True))
    assert rows(found) == [
        {
            "_id": "3:7",
            "_source": TOPIC,
            "_time": datetime.fromtimestamp((NOW_MS - 1_000) / 1_000, UTC),
            "_available": datetime.fromtimestamp(NOW_MS / 1_000, UTC),
            "_replay_of": None,
            "rider": "u2",
            "fare": 7.0,
            "paid": True,
        }
    ]


def test_id_and_time_are_what_their_expressions_give() -> None:
    stream = a_foreign_stream({"id": "'ride-' || ride", "time": "at"})
    (row,) = rows(events(stream, a_record(1, at="2026-01-02T03:04:05Z")))
    assert (row["_id"], row["_time"]) == ("ride-r1", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_what_a_record_has_beside_its_value_can_be_read() -> None:
    stream = a_foreign_stream(
        {"id": "_key || '/' || CAST(_partition AS VARCHAR) || '/' || CAST(_offset AS VARCHAR)"}
    )
    good, keyless = a_record(4, partition=1), a_record(5)._replace(key=b"\xff")
    found = events(stream, good, keyless)
    assert [row["_id"] for row in rows(found)] == ["k4/1/4"]
    assert reasons(found) == {1: "id: an event needs an id"}


def test_only_records_that_the_filter_keeps_are_events_and_the_others_are_not_even_mapped() -> None:
    stream = a_foreign_stream(
        {"filter": "cents > 100", "fields": {"rider": '"user.id"', "fare": "CAST(ride AS DOUBLE)"}}
    )
    found = events(
        stream, a_record(1, ride="no number"), a_record(2, ride="2.5"), a_record(3, cents=None)
    )
    assert [row["fare"] for row in rows(found)] == [2.5]
    assert (found.left_out, found.refusals) == (2, {})


def test_an_expression_that_fails_for_one_record_refuses_that_record_only() -> None:
    stream = a_foreign_stream({"fields": {"rider": '"user.id"', "fare": "CAST(ride AS DOUBLE)"}})
    records = [a_record(n, ride="x" if n in {3, 8} else str(n)) for n in range(10)]
    found = events(stream, *records)
    assert sorted(found.refusals) == [3, 8]
    assert "cannot be computed" in found.refusals[3].reason
    assert found.batch is not None
    assert found.batch.index.tolist() == [0, 1, 2, 4, 5, 6, 7, 9]
    assert [row["fare"] for row in rows(found)] == [0, 1, 2, 4, 5, 6, 7, 9]


def test_the_rules_of_the_stream_hold_for_foreign_events_too() -> None:
    found = events(
        a_foreign_stream({"time": "at"}),
        a_record(1, user=None, at="2026-01-02T03:04:05Z"),
        a_record(2, cents=1_000_000, at="2026-01-02T03:04:05Z"),
        a_record(3),
        a_record(4, at="2099-01-01T00:00:00Z"),
        a_record(5, user={"id": "a\x1fb"}, at="2026-01-02T03:04:05Z"),
        a_record(6, value=b"no json"),
        a_record(7, at="2026-01-02T03:04:05Z"),
    )
    said = reasons(found)
    assert said[0] == "rider: a required field is missing"
    assert said[1] == "fare: must be finite and lie between -2.68435e+08 and 1000"
    assert said[2] == "time: the event has no time"
    assert said[3] == "time: the event time lies more than 5 min in the future"
    assert said[4].startswith("rider: a string may not hold")
    assert "malformed" in said[5]
    assert [row["_id"] for row in rows(found)] == ["0:7"]


def test_a_record_without_a_value_is_no_event_and_no_dead_letter() -> None:
    found = events(
        a_foreign_stream(), a_record(1, value=None), a_record(2), a_record(3, value=None)
    )
    assert (found.empty, found.refusals, len(rows(found))) == (2, {}, 1)


def test_a_replayed_stream_says_when_its_events_became_available() -> None:
    stream = a_foreign_stream({"time": "at", "available": "at"}, replay=True)
    (row,) = rows(events(stream, a_record(1, at="2020-01-02T03:04:05Z")))
    assert row["_available"] == row["_time"] == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_events_of_one_key_share_a_partition() -> None:
    found = events(a_foreign_stream(), *(a_record(n) for n in range(50)))
    assert found.batch is not None
    riders = found.batch.rows.column("rider").to_pylist()
    places = set(zip(riders, found.batch.partitions.tolist(), strict=True))
    assert len(places) == len(set(riders))


def test_a_source_that_cannot_be_read_is_misconfigured() -> None:
    stream = a_foreign_stream()
    stream.source.format = pb.FORMAT_AVRO
    stream.source.schema = '{"type": "record"'
    with pytest.raises(Misconfigured, match="the source of rides: not JSON"):
        compile_source(stream)


PROTO = """
syntax = "proto3";
package t;
import "google/protobuf/timestamp.proto";
message Other { int32 a = 1; }
message Ride { string rider = 1; double fare = 2; google.protobuf.Timestamp at = 3; }
"""


@pytest.mark.parametrize("frame", [b"", b"\x00\x00\x00\x00\x07\x02\x02"], ids=["bare", "framed"])
def test_compiled_descriptors_read_records_with_and_without_frames_of_any_id(frame: bytes) -> None:
    ride = protobuf.message_class(PROTO, "t.Ride")
    source = {
        "format": pb.FORMAT_PROTOBUF,
        "columns": {},
        "message": "t.Ride",
        "descriptors": a_set_of(ride.DESCRIPTOR.file),
        "framed": bool(frame),
        "fields": {},
        "time": "at",
    }
    stream = a_foreign_stream(source)
    good = frame + ride(rider="u1", fare=2.5, at={"seconds": 5}).SerializeToString()
    other = b"\x00\x00\x00\x00\x07\x00" + good.removeprefix(frame)
    found = events(stream, a_record(1, value=good), a_record(2, value=other))
    assert [(row["rider"], row["fare"]) for row in rows(found)] == [("u1", 2.5)]
    assert rows(found)[0]["_time"] == datetime.fromtimestamp(5, UTC)
    assert list(found.refusals) == [1]
