"""What is written in an encoding is read back, and what is no record of it harms nobody."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Protocol

import fastavro
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import sources
from tidemill.project.schemas import avro, protobuf
from tidemill_ingestion.foreign.avro_values import AvroDecoder
from tidemill_ingestion.foreign.decoding import ARROW, MAX_VALUE_BYTES, Decoded, Decoder, Framed
from tidemill_ingestion.foreign.json_values import MAX_DEPTH, JsonDecoder
from tidemill_ingestion.foreign.protobuf_values import ProtobufDecoder
from tidemill_ingestion.foreign.testing import a_set_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = dict[str, Any]
COLUMNS = {
    "id": pb.FIELD_TYPE_STRING,
    "user.id": pb.FIELD_TYPE_STRING,
    "user.address.city": pb.FIELD_TYPE_STRING,
    "cents": pb.FIELD_TYPE_INT64,
    "tip": pb.FIELD_TYPE_FLOAT64,
    "paid": pb.FIELD_TYPE_BOOL,
    "at": pb.FIELD_TYPE_TIMESTAMP,
    "kind": pb.FIELD_TYPE_STRING,
}
KINDS = ("KIND_RIDE", "KIND_TEST")
AVRO = json.dumps(
    {
        "type": "record",
        "name": "Ride",
        "fields": [
            {"name": "id", "type": "string"},
            {
                "name": "skipped",
                "type": {"type": "map", "values": {"type": "array", "items": "int"}},
            },
            {
                "name": "user",
                "type": [
                    "null",
                    {
                        "type": "record",
                        "name": "User",
                        "fields": [
                            {"name": "id", "type": ["null", "string"]},
                            {
                                "name": "address",
                                "type": [
                                    {
                                        "type": "record",
                                        "name": "Address",
                                        "fields": [{"name": "city", "type": ["string", "null"]}],
                                    },
                                    "null",
                                ],
                            },
                        ],
                    },
                ],
            },
            {"name": "cents", "type": ["null", "long"]},
            {"name": "tip", "type": ["null", "double"]},
            {"name": "paid", "type": ["null", "boolean"]},
            {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
            {
                "name": "kind",
                "type": ["null", {"type": "enum", "name": "K", "symbols": list(KINDS)}],
            },
            {"name": "either", "type": ["long", "string"]},
        ],
    }
)
PROTO = """
syntax = "proto3";
package t;
import "google/protobuf/timestamp.proto";
enum Kind { KIND_RIDE = 0; KIND_TEST = 1; }
message Address { optional string city = 1; }
message User { optional string id = 1; Address address = 2; repeated User friends = 3; }
message Other { int32 a = 1; message Ride { int32 b = 1; } }
message Ride {
  string id = 1;
  User user = 2;
  optional int64 cents = 3;
  optional double tip = 4;
  optional bool paid = 5;
  google.protobuf.Timestamp at = 6;
  optional Kind kind = 7;
  map<string, int32> skipped = 8;
}
"""
RIDE = protobuf.message_class(PROTO, "t.Ride")
COMPILED = a_set_of(RIDE.DESCRIPTOR.file)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
rows = st.fixed_dictionaries(
    {
        "id": st.text(max_size=20),
        "user.id": maybe(st.text(max_size=5)),
        "user.address.city": maybe(st.text(max_size=5)),
        "cents": maybe(st.integers(-(2**63), 2**63 - 1)),
        "tip": maybe(st.floats(allow_nan=False, allow_infinity=False)),
        "paid": maybe(st.booleans()),
        "at": maybe(moments),
        "kind": maybe(st.sampled_from(KINDS)),
    }
)


def nested(row: Row) -> Row:
    """Put what lies in objects into objects; one that would be empty is absent."""
    city, user_id = row["user.address.city"], row["user.id"]
    address = {"city": city} if city is not None else None
    absent = user_id is None and address is None
    flat = {name: value for name, value in row.items() if "." not in name}
    return {**flat, "user": None if absent else {"id": user_id, "address": address}}


def to_us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def rows_of(found: Decoded) -> list[Row]:
    lists = {name: column.to_pylist() for name, column in found.columns.items()}
    return [{name: lists[name][at] for name in COLUMNS} for at in range(len(found.index))]


def with_plain_times(found: Decoded) -> Decoded:
    """Times as integers: bytes may hold one that no datetime can."""
    columns = {
        name: column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for name, column in found.columns.items()
    }
    return replace(found, columns=columns)


class Encoding(Protocol):
    """One way to write a record, by another library than the one that reads it, and its reader."""

    decoder: Decoder

    def encode(self, row: Row) -> bytes: ...


class Json:
    decoder = JsonDecoder(sources.json_columns(COLUMNS))

    def encode(self, row: Row) -> bytes:
        tree = {**nested(row), "more": {"a": [1, {"b": None}]}}
        return json.dumps(tree, default=datetime.isoformat).encode()


class Avro:
    decoder = AvroDecoder(AVRO, avro.columns(AVRO))
    schema = fastavro.parse_schema(json.loads(AVRO))

    def encode(self, row: Row) -> bytes:
        body = io.BytesIO()
        whole = {**nested(row), "skipped": {"a": [1, 2]}, "either": "text"}
        fastavro.schemaless_writer(body, self.schema, whole)
        return body.getvalue()


class Protobuf:
    decoder = ProtobufDecoder(PROTO, "t.Ride", protobuf.columns(PROTO, "t.Ride"), framed=False)

    def encode(self, row: Row) -> bytes:
        tree = {name: value for name, value in nested(row).items() if value is not None}
        if row["at"] is not None:
            seconds, micros = divmod(to_us(row["at"]), 1_000_000)
            tree["at"] = {"seconds": seconds, "nanos": micros * 1_000}
        if "user" in tree:
            tree["user"] = {
                name: value for name, value in tree["user"].items() if value is not None
            }
        return RIDE(**tree).SerializeToString()


class Descriptors(Protobuf):
    decoder = ProtobufDecoder(
        COMPILED, "t.Ride", protobuf.columns(COMPILED, "t.Ride"), framed=False
    )


def _plain() -> Row:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    return {
        "id": "r1",
        "user.id": "u1",
        "user.address.city": "Ghent",
        "cents": 250,
        "tip": 0.5,
        "paid": True,
        "at": at,
        "kind": "KIND_TEST",
    }


def _spoilt(value: bytes, data: st.DataObject) -> bytes:
    """Leave a value as it is, or change a few of its bytes."""
    changed = bytearray(value)
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, max(len(changed) - 1, 0)))
        changed[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    return bytes(changed)


in_each = pytest.mark.parametrize(
    "encoding",
    [Json(), Avro(), Protobuf(), Descriptors()],
    ids=["json", "avro", "protobuf", "descriptors"],
)


@in_each
@given(written=st.lists(rows, max_size=8))
def test_what_is_written_is_read_back(encoding: Encoding, written: list[Row]) -> None:
    found = encoding.decoder.decode([encoding.encode(row) for row in written])
    assert found.bad == {}
    assert rows_of(found) == written


@in_each
@given(values=st.lists(st.binary(max_size=40), max_size=6))
def test_no_bytes_raise_and_each_value_is_good_or_bad(
    encoding: Encoding, values: list[bytes]
) -> None:
    found = encoding.decoder.decode(values)
    assert sorted([*found.index.tolist(), *found.bad]) == list(range(len(values)))
    assert all(len(column) == len(found.index) for column in found.columns.values())


@in_each
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(written=st.lists(rows, min_size=1, max_size=6), data=st.data())
def test_a_value_is_read_the_same_whatever_its_neighbours_are(
    encoding: Encoding, written: list[Row], data: st.DataObject
) -> None:
    values = [_spoilt(encoding.encode(row), data) for row in written]
    together = with_plain_times(encoding.decoder.decode(values))
    alone = [with_plain_times(encoding.decoder.decode([value])) for value in values]
    assert together.bad == {at: one.bad[0] for at, one in enumerate(alone) if one.bad}
    assert str(rows_of(together)) == str([row for one in alone for row in rows_of(one)])


@in_each
def test_a_value_that_is_too_large_is_not_even_parsed(encoding: Encoding) -> None:
    large = encoding.encode({**_plain(), "id": "x" * MAX_VALUE_BYTES})
    found = encoding.decoder.decode([large, encoding.encode(_plain())])
    assert "at most 262144 bytes" in found.bad[0]
    assert found.index.tolist() == [1]


@in_each
def test_a_value_that_is_cut_off_is_bad(encoding: Encoding) -> None:
    whole = encoding.encode(_plain())
    found = encoding.decoder.decode([whole[:-1], whole])
    assert (list(found.bad), found.index.tolist()) == ([0], [1])


def test_json_times_need_an_offset_and_numbers_have_no_quotes() -> None:
    values = [b'{"at": "2026-01-02T03:04:05"}', b'{"cents": "250"}', b"{}"]
    found = Json.decoder.decode(values)
    assert found.bad == {
        0: "Expected `datetime` with a timezone component - at `$.at`",
        1: "Expected `int | null`, got `str` - at `$.cents`",
    }


def test_deep_json_is_refused_before_it_is_parsed() -> None:
    def deep(levels: int) -> bytes:
        return b'{"x": ' + b"[" * levels + b"]" * levels + b"}"

    wide = b'{"x": ' + json.dumps(["[{" * 100] * 100 + [[]] * 100).encode() + b"}"
    values = [deep(MAX_DEPTH), deep(MAX_DEPTH - 1), wide, deep(50_000)]
    found = Json.decoder.decode(values)
    assert found.bad == dict.fromkeys([0, 3], "nested deeper than 32")


def test_bytes_after_an_avro_datum_are_refused() -> None:
    found = Avro.decoder.decode([Avro().encode(_plain()) + b"\x00"])
    assert found.bad == {0: "1 bytes after the end of the datum"}


def test_a_protobuf_time_outside_of_the_calendar_is_bad_alone() -> None:
    never = RIDE(at={"seconds": 2**62}).SerializeToString()
    found = Protobuf.decoder.decode([Protobuf().encode(_plain()), never])
    assert (found.index.tolist(), list(found.bad)) == ([0], [1])


def test_a_number_that_a_protobuf_enum_does_not_name_is_its_own_name() -> None:
    found = Protobuf.decoder.decode([RIDE(kind=9).SerializeToString()])
    assert rows_of(found)[0]["kind"] == "9"


class TestFrames:
    first = json.dumps(
        {"type": "record", "name": "A", "fields": [{"name": "id", "type": "string"}]}
    )
    second = json.dumps(
        {
            "type": "record",
            "name": "A",
            "fields": [{"name": "cents", "type": "int"}, {"name": "id", "type": "string"}],
        }
    )
    types: ClassVar = {"id": ARROW[pb.FIELD_TYPE_STRING], "cents": ARROW[pb.FIELD_TYPE_FLOAT64]}

    def decoder(self) -> Framed:
        texts = {1: self.first, 70_000: self.second}
        return Framed(
            {number: AvroDecoder(text, avro.columns(text)) for number, text in texts.items()},
            self.types,
        )

    @staticmethod
    def framed(number: int, body: bytes) -> bytes:
        return b"\x00" + number.to_bytes(4) + body

    def test_each_value_is_read_by_the_schema_it_names_and_order_is_kept(self) -> None:
        found = self.decoder().decode(
            [
                self.framed(70_000, b"\x06\x02a"),
                self.framed(1, b"\x02b"),
                self.framed(70_000, b"\x08\x02c"),
            ]
        )
        assert found.columns["id"].to_pylist() == ["a", "b", "c"]
        assert found.columns["cents"].to_pylist() == [3.0, None, 4.0]

    def test_no_frame_and_an_unknown_schema_are_said_to_be_so(self) -> None:
        values = [b"", b"\x01\x00\x00\x00\x01\x02a", self.framed(2, b"\x02a"), b"\x00\x00\x00"]
        found = self.decoder().decode(values)
        assert sorted(found.bad) == [0, 1, 2, 3]
        assert found.bad[2] == "no schema of id 2 (known: 1, 70000)"
        assert "no frame" in found.bad[1]

    @pytest.mark.parametrize(
        ("message", "places", "good"),
        [
            ("t.Ride", b"\x02\x06", True),
            ("t.Ride", b"\x00", False),
            ("t.Other.Ride", b"\x04\x04\x00", True),
            ("t.Address", b"\x00", True),
            ("t.Address", b"\x02\x00", True),
            ("t.Ride", b"\x02\x80", False),
            ("t.Ride", b"\xff\xff\xff\xff\xff\xff", False),
            ("t.Ride", b"", False),
        ],
    )
    def test_a_protobuf_frame_says_which_message_follows(
        self, message: str, places: bytes, good: bool
    ) -> None:
        decoder = ProtobufDecoder(PROTO, message, {}, framed=True)
        found = Framed({5: decoder}, {}).decode([self.framed(5, places)])
        assert (found.index.tolist() == [0]) is good


def test_values_of_several_schemas_and_none_at_all_make_empty_columns() -> None:
    values: Sequence[bytes] = []
    found = TestFrames().decoder().decode(values)
    assert {name: len(column) for name, column in found.columns.items()} == {"id": 0, "cents": 0}
