"""The content hash sees every value and the order of rows, and nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill_features.rowhash import file_hash, row_hash


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


def every_type(rows: int = 1_000) -> pa.Table:
    number = [
        None if i % 11 == 0 else (math.nan if i % 5 == 0 else (-0.0 if i % 3 == 0 else i / 7))
        for i in range(rows)
    ]
    at = pa.array([None if i % 6 == 0 else i * 1_000_003 for i in range(rows)], pa.int64())
    return pa.table(
        {
            "text": pa.array([None if i % 7 == 0 else "ü" * (i % 5) + str(i) for i in range(rows)]),
            "wide": pa.array(
                [None if i % 9 == 0 else str(i % 13) for i in range(rows)], pa.large_string()
            ),
            "number": pa.array(number),
            "whole": pa.array([i * 10**12 - 5 for i in range(rows)]),
            "yes": pa.array([None if i % 4 == 0 else i % 3 == 0 for i in range(rows)]),
            "at": at.cast(pa.timestamp("us", "UTC")),
        }
    )


@pytest.mark.parametrize(
    ("start", "rows", "digest"),
    [
        (0, 1_000, "423cf2d7baa5f28c0ff9da620733c091f474f0d34dc2a42c541223baceaeb7ce"),
        (0, 0, "55631ce6df3d2ee9f20b3df9088c44844ece628e7a30b269e4247da51d532d14"),
        (3, 13, "34b1e58619a3ba79be69bd92a11c8babba183e62c0a4aad34d50b7b5a382f9b4"),
    ],
)
def test_the_hashes_of_sets_that_were_built_before_stay_what_they_were(
    start: int, rows: int, digest: str
) -> None:
    assert row_hash(every_type().slice(start, rows)) == digest


@pytest.mark.parametrize("group", [1, 7, 8, 100, 5_000])
def test_a_file_has_the_hash_of_its_rows_whatever_its_row_groups(
    group: int, tmp_path: Path
) -> None:
    pq.write_table(every_type(), tmp_path / "rows.parquet", row_group_size=group)
    with pq.ParquetFile(tmp_path / "rows.parquet") as file:
        assert file_hash(file) == row_hash(every_type())
