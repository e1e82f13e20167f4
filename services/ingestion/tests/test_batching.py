"""Every row of every batch is found again, in order, in exactly one record."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidemill_ingestion.batching import cut, halves, place
from tidemill_ingestion.schema import compile_stream
from tidemill_ingestion.testing import NOW_US, a_stream, an_event
from tidemill_ingestion.validation import Batch, check_events

SCHEMA = compile_stream(a_stream())


def a_batch(first: int, size: int) -> Batch:
    checked = check_events(SCHEMA, [an_event(first + n) for n in range(size)], NOW_US)
    assert checked.batch is not None
    return checked.batch


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 8))
def test_rows_are_placed_where_their_record_holds_them(sizes: list[int], limit: int) -> None:
    batches = [a_batch(1000 * n, size) for n, size in enumerate(sizes)]
    slices = list(cut(batches, limit))
    assert all(piece.columns.num_rows == len(piece.rows) <= limit for piece in slices)
    placements = place(batches, slices, [10 * n for n in range(len(slices))])
    for batch, placement in zip(batches, placements, strict=True):
        ids = batch.rows.column("_id").to_pylist()
        for n, event_id in enumerate(ids):
            piece = slices[int(placement.offset[n]) // 10]
            assert piece.partition == placement.partition[n]
            assert piece.columns.column("_id")[int(placement.row[n])].as_py() == event_id


def test_events_of_one_partition_keep_their_order() -> None:
    slices = list(cut([a_batch(0, 30), a_batch(30, 30)], 500))
    for piece in slices:
        assert (np.diff(piece.rows) > 0).all()


def test_a_row_without_acknowledgement_has_no_offset() -> None:
    batch = a_batch(0, 10)
    slices = list(cut([batch], 500))
    offsets = [None if n == 0 else 7 for n in range(len(slices))]
    placement = place([batch], slices, offsets)[0]
    unknown = set(np.flatnonzero(placement.offset == -1).tolist())
    assert unknown == set(slices[0].rows.tolist())


def test_halves_hold_what_the_whole_held() -> None:
    piece = next(iter(cut([a_batch(0, 20)], 500)))
    first, second = halves(piece)
    assert [*first.rows, *second.rows] == piece.rows.tolist()
    assert first.columns.num_rows + second.columns.num_rows == piece.columns.num_rows
