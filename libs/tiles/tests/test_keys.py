"""Keys, ids and numbers enter the engine the same way, alone or in columns."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import Invalid
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.definitions import Field
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.fixed import representable, to_fixed
from tidemill_tiles.keys import (
    event_id_hashes,
    hash_key,
    hash_keys,
    key_column,
    key_column_of,
    partition_of,
    partitions_of,
)

TEXT = st.text(st.characters(exclude_characters="\x1f", codec="utf-8"), max_size=40)
ROWS = st.lists(
    st.tuples(st.one_of(st.none(), TEXT), st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
              st.one_of(st.none(), st.booleans())),
    max_size=30,
)  # fmt: skip


@given(ROWS, st.integers(0, 5), st.sampled_from([pa.string(), pa.large_string()]))
@settings(max_examples=60)
def test_a_column_of_keys_is_each_key_alone(
    rows: list[tuple[str | None, int | None, bool | None]], skip: int, kind: pa.DataType
) -> None:
    columns = [
        pa.array([row[0] for row in rows], kind).slice(skip),
        pa.chunked_array([pa.array([row[1] for row in rows], pa.int64())]).slice(skip),
        pa.array([row[2] for row in rows], pa.bool_()).slice(skip),
    ]
    keys = key_column(columns)
    assert len(keys) == len(rows[skip:])
    partitions = partitions_of(keys, 7).tolist()
    for number, row in enumerate(rows[skip:]):
        if None in row:
            assert not keys.valid[number]
            assert partitions[number] == -1
            continue
        key = canonical_key([part for part in row if part is not None])
        assert keys.key(number) == key
        assert keys.hashes[number].tolist() == hash_key(key).tolist()
        assert partitions[number] == partition_of(key, 7) == xxhash.xxh3_64_intdigest(key) % 7


def test_a_single_text_column_is_taken_as_it_is() -> None:
    keys = key_column([pa.array(["LGA", None, "JFK"]).slice(1)])
    assert keys.valid.tolist() == [False, True]
    assert keys.key(1) == b"JFK"


def test_canonical_keys_join_text_by_the_unit_separator() -> None:
    assert canonical_key(["Ü", -7, True, False]) == b"\xc3\x9c\x1f-7\x1ftrue\x1ffalse"
    with pytest.raises(Invalid, match=r"U\+001F"):
        canonical_key(["a\x1fb"])


def test_the_hash_is_murmur_3_of_128_bits() -> None:
    assert [hex(int(word)) for word in hash_key(b"hello")] == [
        "0xcbd8a7b341bd9b02",
        "0x5b1e906a48ae1d19",
    ]
    assert hash_key(b"").tolist() == [0, 0]


def test_keys_of_every_length_differ() -> None:
    keys = [bytes([7]) * size for size in range(1, 100)] + [
        b"a" * 31 + bytes([end]) for end in b"xyz"
    ]
    assert len({tuple(row) for row in hash_keys(keys).tolist()}) == len(keys)


def test_a_key_of_more_than_4096_bytes_is_not_valid() -> None:
    assert key_column_of([b"x" * 4_096, b"x" * 4_097, None]).valid.tolist() == [True, False, False]


def test_a_float_is_no_key() -> None:
    with pytest.raises(Invalid, match="double"):
        key_column([pa.array([1.0])])
    with pytest.raises(Invalid, match="at least one"):
        key_column([])


def test_a_time_as_a_key_is_its_microseconds() -> None:
    moment = datetime(2013, 1, 1, tzinfo=UTC)
    keys = key_column([pa.array([moment], pa.timestamp("us", "UTC"))])
    assert keys.key(0) == b"1356998400000000"


def test_an_event_id_is_source_id_and_what_it_replays() -> None:
    source, one = pa.array(["app", "app", "ap"]), pa.array(["1", "2", "p1"])
    plain = event_id_hashes(source, one)
    assert len(set(plain.tolist())) == 3
    replay = event_id_hashes(source, one, pa.array([None, "d:0:1:0", None], pa.string()))
    assert (replay == plain).tolist() == [True, False, True]
    assert event_id_hashes(source.slice(1), one.slice(1)).tolist() == plain[1:].tolist()


DELAY = Field("delay", FieldType.FLOAT64)


@given(st.lists(st.one_of(st.none(), st.floats())), st.sampled_from([None, 1.0, 0.01, 1e-300]))
def test_floats_become_integers_half_to_even_or_are_refused(
    values: list[float | None], step: float | None
) -> None:
    field = Field("x", FieldType.FLOAT64, step)
    good = representable(pa.array(values, pa.float64()), field).tolist()
    fixed, valid = to_fixed(pa.array(values, pa.float64()), field)
    for number, value in enumerate(values):
        if value is None:
            assert good[number]
            assert not valid[number]
            continue
        with np.errstate(over="ignore"):
            scaled = np.float64(value) / field.step if np.isfinite(value) else np.inf
        fits = bool(np.isfinite(scaled)) and abs(np.rint(scaled)) < 2**48
        assert good[number] == valid[number] == fits
        assert not fits or fixed[number] == round(float(scaled))


def test_halves_round_to_even() -> None:
    values = pa.array([0.5, 1.5, 2.5, -0.5, -1.5])
    assert to_fixed(values, Field("x", FieldType.FLOAT64, 1.0))[0].tolist() == [0, 2, 2, 0, -2]


def test_integers_of_48_bits_are_refused() -> None:
    values = pa.array([2**48 - 1, 2**48, -(2**48), None, -(2**63)], pa.int64())
    field = Field("x", FieldType.INT64)
    assert representable(values, field).tolist() == [True, False, False, True, False]
    assert to_fixed(values, field)[1].tolist() == [True, False, False, False, False]


def test_other_types_of_columns_are_taken_if_they_fit() -> None:
    small = pa.array([1, None, 3], pa.int16())
    assert to_fixed(small, Field("x", FieldType.INT64))[0].tolist() == [1, 0, 3]
    assert to_fixed(small, DELAY)[0].tolist() == [2**20, 0, 3 * 2**20]
    flags = pa.array([True, None, False])
    assert to_fixed(flags, Field("x", FieldType.BOOL))[0].tolist() == [1, 0, 0]
    moments = pa.array([1_500, 2_500, 1_356_998_400_000_499], pa.timestamp("us", "UTC"))
    stamp = Field("x", FieldType.TIMESTAMP)
    assert to_fixed(moments, stamp)[0].tolist() == [2, 2, 1_356_998_400_000]
    assert representable(moments, stamp).all()
    with pytest.raises(Invalid, match="does not become"):
        to_fixed(pa.array(["a"]), DELAY)


def test_equal_strings_have_equal_hashes_wherever_they_stand() -> None:
    field = Field("x", FieldType.STRING)
    column = pa.array(["a", "b", None, "a", ""])
    values, valid = to_fixed(column, field)
    assert valid.tolist() == [True, True, False, True, True]
    assert values[0] == values[3] != values[1]
    assert to_fixed(column.slice(3), field)[0].tolist() == values[3:].tolist()
    encoded = column.dictionary_encode()
    assert to_fixed(encoded, field)[0].tolist() == values.tolist()
