"""The file of a training set has the same bytes in whatever pieces its rows came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill_features.rowhash import row_hash
from tidemill_features.rowsfile import ROW_GROUP, RowsFile

ROWS = ROW_GROUP + 1_000


def a_table() -> pa.Table:
    chance = np.random.default_rng(3)
    names = pa.array([f"n{number}" for number in range(50)])
    return pa.table(
        {"name": names.take(pa.array(chance.integers(0, 50, ROWS))), "x": chance.normal(size=ROWS)}
    )


def written(path: Path, sizes: int) -> str:
    with RowsFile(path) as file:
        for start in range(0, ROWS, sizes):
            file.write(a_table().slice(start, sizes))
        return file.finish()


@pytest.mark.parametrize("sizes", [ROWS, 50_000, 999_999, 131_072])
def test_the_pieces_do_not_show_and_the_hash_is_that_of_the_rows(
    sizes: int, tmp_path: Path
) -> None:
    pq.write_table(a_table(), tmp_path / "whole", row_group_size=ROW_GROUP, compression="lz4")
    assert written(tmp_path / "pieces", sizes) == row_hash(a_table())
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()


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
