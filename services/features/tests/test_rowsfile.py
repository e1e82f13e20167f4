"""The file of a training set has the same bytes in whatever pieces its rows came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill_features.rowhash import row_hash
from tidemill_features.rowsfile import ROW_GROUP, RowsFile, parquet_writer

ROWS = ROW_GROUP + 1_000


def a_table(rows: int = ROWS) -> pa.Table:
    chance = np.random.default_rng(3)
    names = pa.array([f"n{number}" for number in range(50)])
    time = pa.array(np.arange(rows) * 1_000, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "name": names.take(pa.array(chance.integers(0, 50, rows))),
            "time": time,
            "x": chance.normal(size=rows),
        }
    )


def written(path: Path, table: pa.Table, sizes: int) -> str:
    with RowsFile(path) as file:
        for start in range(0, len(table), sizes):
            file.write(table.slice(start, sizes))
        file.finish()
        assert file.whole() == path
        return file.row_hash()


@pytest.mark.parametrize("sizes", [ROWS, 50_000, 999_999, 131_072])
def test_the_pieces_do_not_show(sizes: int, tmp_path: Path) -> None:
    with parquet_writer(tmp_path / "whole", a_table().schema) as whole:
        whole.write_table(a_table(), row_group_size=ROW_GROUP)
    written(tmp_path / "pieces", a_table(), sizes)
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("rows", [1, 1_000, ROW_GROUP, ROWS, 2 * ROW_GROUP])
def test_the_file_holds_the_rows_and_the_hash_is_theirs(rows: int, tmp_path: Path) -> None:
    table = a_table(rows)
    assert written(tmp_path / "rows", table, 70_000) == row_hash(table)
    assert pq.read_table(tmp_path / "rows").equals(table)


def test_texts_that_repeat_have_a_dictionary_and_ids_which_never_do_have_none(
    tmp_path: Path,
) -> None:
    ids = pa.array([f"r{number}" for number in range(1_000)])
    written(tmp_path / "rows", pa.table({"_spine_id": ids, "_spine_key": ["a"] * 1_000}), 1_000)
    group = pq.ParquetFile(tmp_path / "rows").metadata.row_group(0)
    found = [group.column(place).has_dictionary_page for place in range(2)]
    assert found == [False, True]


def test_an_error_while_rows_are_made_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"), RowsFile(tmp_path / "rows") as file:
        file.write(a_table())
        message = "power cut"
        raise RuntimeError(message)


def test_rows_that_do_not_fit_to_the_others_are_refused(tmp_path: Path) -> None:
    with RowsFile(tmp_path / "rows") as file, pytest.raises((ValueError, pa.ArrowInvalid)):
        file.write(a_table())
        file.write(pa.table({"other": [1] * ROW_GROUP}))
        file.finish()
        file.whole()
