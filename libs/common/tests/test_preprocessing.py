"""Promises of the encoding that training and serving share."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import Corrupt
from tidemill_common.preprocessing import (
    Category,
    Preprocessing,
    category_text,
    from_json,
    numeric_column,
    to_json,
)


def test_unknown_and_missing_values_share_index_zero() -> None:
    carrier = Category("carrier", ("AA", "UA"))
    assert carrier.indices(["UA", None, "ZZ", "AA", ""]).tolist() == [2, 0, 0, 1, 0]
    assert carrier.size == 3


@given(st.text(min_size=1), st.integers(1, 100))
def test_a_hashed_index_lies_in_its_buckets_and_never_is_the_missing_one(
    text: str, buckets: int
) -> None:
    assert 1 <= Category("c", buckets=buckets).index(text) <= buckets


def test_the_hash_is_the_same_in_every_process_and_release() -> None:
    assert [Category("weekday", buckets=8).index(day) for day in range(1, 8)] == [
        1 + xxhash.xxh3_64_intdigest(str(day).encode()) % 8 for day in range(1, 8)
    ]


def test_one_value_has_one_text_in_whatever_type_it_comes() -> None:
    assert category_text(7) == category_text(7.0) == category_text("7")
    assert category_text(True) == "true"
    assert category_text(math.nan) is None


def test_a_column_left_out_and_an_infinite_value_are_missing() -> None:
    preprocessing = Preprocessing("m", "binary", ("a", "b"), (Category("c", ("x",)),))
    features, categories = preprocessing.encode({"a": [1.0, math.inf]}, 2)
    assert features[0, 0] == 1.0
    assert np.isnan(features[[0, 1, 1], [1, 0, 1]]).all()
    assert categories.tolist() == [[0], [0]]


def test_integers_and_truth_values_are_numbers() -> None:
    assert numeric_column([1, True, False, None]).tolist()[:3] == [1.0, 1.0, 0.0]


def test_it_survives_json_unchanged() -> None:
    preprocessing = Preprocessing(
        "m", "regression", ("a",), (Category("c", ("x", "é")), Category("h", buckets=8))
    )
    assert from_json(to_json(preprocessing)) == preprocessing


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format":2}'])
def test_what_is_none_is_called_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        from_json(data)
