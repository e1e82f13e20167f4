"""A column becomes its field's type, or it is said why not."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from tidemill_ingestion.casting import cast

TIME = pa.timestamp("us", "UTC")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "wanted", "values"),
    [
        (pa.array([1, None], pa.int8()), pa.int64(), [1, None]),
        (pa.array([1]), pa.float64(), [1.0]),
        (pa.array([1.0, None]), pa.int64(), [1, None]),
        (pa.array([0.5], pa.float32()), pa.float64(), [0.5]),
        (pa.array([2], pa.decimal128(5, 1)), pa.float64(), [2.0]),
        (pa.array(["a", None]), pa.string(), ["a", None]),
        (pa.array(["a"], pa.large_string()), pa.string(), ["a"]),
        (pa.array(["a"], pa.string_view()), pa.string(), ["a"]),
        (pa.array(["a", "a"]).dictionary_encode(), pa.string(), ["a", "a"]),
        (pa.array([7, 7]).dictionary_encode(), pa.int64(), [7, 7]),
        (pa.array([True]), pa.bool_(), [True]),
        (pa.array([None, None]), pa.bool_(), [None, None]),
        (pa.array([NOON], pa.timestamp("ns", "Europe/Berlin")), TIME, [NOON]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_what_is_the_same_value_is_taken(
    column: pa.Array, wanted: pa.DataType, values: list[object]
) -> None:
    found = cast(column, wanted)
    assert found.type == wanted
    assert found.to_pylist() == values


@pytest.mark.parametrize(
    ("column", "wanted", "said"),
    [
        (pa.array(["1"]), pa.int64(), "a string is no int64"),
        (pa.array(["1"]), pa.float64(), "a string is no double"),
        (pa.array(["true"]), pa.bool_(), "a string is no bool"),
        (pa.array(["2026-01-01T12:00:00Z"]), TIME, "a string is no timestamp"),
        (pa.array(["1"]).dictionary_encode(), pa.int64(), "a string is no int64"),
        (pa.array([1]), pa.string(), "a int64 is no string"),
        (pa.array([1]), pa.bool_(), "a int64 is no bool"),
        (pa.array([1]), TIME, "a int64 is no timestamp"),
        (pa.array([True]), pa.int64(), "a bool is no int64"),
        (pa.array([b"a"]), pa.string(), "a binary is no string"),
        (pa.array([1], pa.date32()), TIME, "is no timestamp"),
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us")), TIME, "no time zone"),
        (pa.array([1.5]), pa.int64(), "truncated"),
        (pa.array([2**60 + 1]), pa.float64(), "not in range"),
        (pa.array([[1]]), pa.int64(), "is no int64"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_what_would_be_a_guess_is_refused_with_its_reason(
    column: pa.Array, wanted: pa.DataType, said: str
) -> None:
    with pytest.raises(pa.ArrowInvalid, match=said):
        cast(column, wanted)
