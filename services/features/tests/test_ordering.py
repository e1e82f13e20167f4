"""Rows of any files come in one order, and only so many are in memory."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill_features.ordering import EMIT_ROWS, FIRST_TIME, Order, Part, in_order, sorted_rows

TIMES: Final = ("_available", "moment")
STAMP: Final = pa.timestamp("us", "UTC")


def a_table(times: list[tuple[int, int]], first: int = 0) -> pa.Table:
    """Rows with a moment and an available time each; their ids say nothing of their order."""
    ids = [f"e{(first + n) * 7919 % 10_007}" for n in range(len(times))]
    return pa.table(
        {
            "moment": pa.array([one for one, _ in times], pa.int64()).cast(STAMP),
            "_available": pa.array([one for _, one in times], pa.int64()).cast(STAMP),
            "_source": pa.array(["test"] * len(times), pa.string()),
            "_id": pa.array(ids, pa.string()),
            "_replay_of": pa.nulls(len(times), pa.string()),
            "_partition": pa.array([first % 3] * len(times), pa.int32()),
            "_offset": pa.array(range(first, first + len(times)), pa.int64()),
            "_row": pa.array([0] * len(times), pa.int32()),
        }
    )


def ordered(parts: list[Part], time: str, hold_bytes: int) -> list[str]:
    with tempfile.TemporaryDirectory() as name:
        tables = list(in_order(parts, Order(time), Path(name), hold_bytes=hold_bytes))
    assert all(0 < len(table) <= EMIT_ROWS for table in tables)
    return [one for table in tables for one in table["_id"].to_pylist()]


FILES = st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20), max_size=8)


@given(FILES, st.sampled_from(TIMES), st.sampled_from([1, 500, 1 << 20]), st.booleans(), st.data())
@settings(max_examples=150, deadline=None)
def test_the_order_depends_on_no_file_and_on_no_memory(
    files: list[list[tuple[int, int]]],
    time: str,
    hold_bytes: int,
    known_bounds: bool,
    data: st.DataObject,
) -> None:
    starts = [sum(map(len, files[:n])) for n in range(len(files))]
    tables = [a_table(times, start) for times, start in zip(files, starts, strict=True)]
    expected = (
        sorted_rows(pa.concat_tables(tables), Order(time))["_id"].to_pylist() if tables else []
    )
    parts = []
    for table in tables:
        bound = min(table[time].cast(pa.int64()).to_pylist(), default=0)
        cut = data.draw(st.integers(0, len(table)))
        pieces = [table.slice(cut), table.slice(0, cut)]
        parts.append(Part(bound if known_bounds else FIRST_TIME, pieces))
    assert ordered(data.draw(st.permutations(parts)), time, hold_bytes) == expected


def test_equal_rows_of_all_times_are_ordered_by_the_id_and_not_by_the_place() -> None:
    rows = a_table([(5, 5)] * 50)
    moved = rows.set_column(5, "_partition", pa.array([n % 4 for n in range(50)], pa.int32()))
    ids = sorted_rows(rows, Order("moment"))["_id"].to_pylist()
    assert sorted_rows(moved, Order("moment"))["_id"].to_pylist() == ids
    assert ids != rows["_id"].to_pylist()


def test_only_the_columns_that_are_asked_for_are_given_and_rows_are_ordered_by_all(
    tmp_path: Path,
) -> None:
    tables = [a_table([(5, 5)] * 30, start) for start in (0, 30)]
    parts = [Part(FIRST_TIME, [table]) for table in tables]
    expected = sorted_rows(pa.concat_tables(tables), Order("moment")).select(["_offset", "moment"])
    for hold_bytes in (1, 1 << 20):
        asked = ["_offset", "moment", "_offset"]
        found = in_order(parts, Order("moment"), tmp_path, give=asked, hold_bytes=hold_bytes)
        assert pa.concat_tables(found).equals(expected)


@given(FILES, st.sampled_from([1, 500, 1 << 20]))
@settings(max_examples=60, deadline=None)
def test_without_ties_rows_come_by_their_time_and_need_nothing_else(
    files: list[list[tuple[int, int]]], hold_bytes: int
) -> None:
    tables = [a_table(times).select(["moment", "_offset"]) for times in files]
    parts = [Part(FIRST_TIME, [table]) for table in tables]
    with tempfile.TemporaryDirectory() as name:
        by = Order("moment", ties=False)
        found = list(in_order(parts, by, Path(name), hold_bytes=hold_bytes))
    rows = [row for table in found for row in table.to_pylist()]
    times = [row["moment"] for row in rows]
    assert times == sorted(times)
    known = [(row["moment"], row["_offset"]) for table in tables for row in table.to_pylist()]
    assert sorted((row["moment"], row["_offset"]) for row in rows) == sorted(known)


def test_files_that_follow_one_another_are_read_one_after_the_other() -> None:
    opened = []

    def rows(number: int) -> Iterator[pa.Table]:
        opened.append(number)
        times = [(number, number * EMIT_ROWS + n) for n in range(EMIT_ROWS)]
        random.Random(number).shuffle(times)
        yield a_table(times, number * EMIT_ROWS)

    parts = [Part(number * EMIT_ROWS, rows(number)) for number in range(5)]
    with tempfile.TemporaryDirectory() as name:
        found = in_order(parts, Order("_available"), Path(name))
        seen = [(len(next(found)), len(opened)) for _ in range(4)]
        assert not list(Path(name).iterdir())
    assert seen == [(EMIT_ROWS, number) for number in range(1, 5)]
