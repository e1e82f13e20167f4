"""The content hash sees every value and the order of rows, and nothing else."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tidemill_features.rowhash import row_hash


def a_table(**more: object) -> pa.Table:
    columns = {
        "a": [1.0, None, 3.0],
        "b": ["x", "", None],
        "c": [True, False, None],
        "d": [1, 2, 3],
    }
    return pa.table({**columns, **more})


def test_equal_rows_have_equal_hashes_however_they_are_chunked() -> None:
    table = a_table()
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert row_hash(chunked) == row_hash(table)


def test_every_nan_and_both_zeros_are_one() -> None:
    one = pa.table({"a": [float("nan"), 0.0]})
    other = pa.table({"a": [-float("nan"), -0.0]})
    assert row_hash(one) == row_hash(other)


@pytest.mark.parametrize(
    "changed",
    [
        a_table(a=[1.0, 0.0, 3.0]),
        a_table(a=[1.0, None, 3.0000000000000004]),
        a_table(b=["", "x", None]),
        a_table(b=["x", None, None]),
        a_table(c=[True, None, None]),
        a_table().rename_columns(["a", "b", "c", "e"]),
        a_table().take([1, 0, 2]),
        a_table().slice(0, 2),
        a_table().select(["b", "a", "c", "d"]),
    ],
)
def test_any_difference_shows(changed: pa.Table) -> None:
    assert row_hash(changed) != row_hash(a_table())
