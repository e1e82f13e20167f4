"""Promises of reading and splitting a training set."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import Invalid
from tidemill_training.dataset import MIN_ROWS, read_rows, split_by_time
from tidemill_training.testing import MINUTE_US, START_US, a_table


def parquet(table: pa.Table) -> io.BytesIO:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    sink.seek(0)
    return sink


@given(st.integers(0, 1_000), st.integers(5, 400), st.floats(0.2, 0.3), st.floats(0.2, 0.3))
def test_time_only_goes_forward_from_train_over_validation_to_test(
    seed: int, moments: int, validation: float, test: float
) -> None:
    ordered = np.sort(np.random.default_rng(seed).integers(0, moments, 700))
    try:
        split = split_by_time(ordered, validation, test)
    except Invalid:
        return
    assert ordered[split.train].max() < ordered[split.validation].min()
    assert ordered[split.validation].max() < ordered[split.test].min()
    assert split.train.size + split.validation.size + split.test.size == ordered.size


def test_a_part_with_too_few_rows_is_refused_and_says_which() -> None:
    with pytest.raises(Invalid, match="for test"):
        split_by_time(np.arange(MIN_ROWS * 5), 0.3, 0.1)


def test_rows_are_in_the_order_of_time_and_id_whatever_order_they_came_in() -> None:
    table = a_table(500)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(500)))
    assert read_rows(parquet(shuffled)).table.equals(read_rows(parquet(table)).table)


def test_a_label_that_became_known_in_a_bad_span_is_left_out_whatever_the_time_of_its_row() -> None:
    known = START_US + 30 * MINUTE_US
    rows = read_rows(parquet(a_table(500)), [(known, known + 10 * MINUTE_US)])
    assert rows.count == 490
    assert rows.time_us[0] == START_US + 10 * MINUTE_US


def test_rows_without_a_label_are_left_out() -> None:
    table = a_table(500)
    masked = pa.array([None] * 5 + [1.0] * 495, pa.float64())
    place = table.column_names.index("_label")
    assert read_rows(parquet(table.set_column(place, "_label", masked))).count == 495


def test_a_set_without_its_columns_is_refused_by_their_names() -> None:
    with pytest.raises(Invalid, match="_label_time"):
        read_rows(parquet(a_table(10).drop_columns(["_label_time"])))
    with pytest.raises(Invalid, match="no Parquet"):
        read_rows(io.BytesIO(b"nothing of the kind"))
