"""Cut waiting batches into records, one partition each, and find every row again in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill_common import events
from tidemill_ingestion.validation import Batch

RECORD_BYTES: Final = 900_000
"""Largest value of a record of more than one event; the broker takes 1 MiB."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows that become one record: its columns, and where each row came from.

    `rows` are row numbers in the concatenation of the batches that were cut.
    """

    partition: int
    columns: pa.RecordBatch
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each row of one batch lies; offset -1 where it is not known."""

    partition: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    row: npt.NDArray[np.int32]


def cut(batches: Sequence[Batch], events_per_record: int) -> Iterator[Slice]:
    """Split by partition, in order of arrival, at most `events_per_record` rows a slice."""
    table = _concatenate([batch.rows for batch in batches])
    partitions = np.concatenate([batch.partitions for batch in batches])
    counts = np.bincount(partitions)
    rows = np.argsort(partitions, kind="stable")
    if np.count_nonzero(counts) > 1:
        table = table.take(pa.array(rows))
    end = 0
    for partition, count in enumerate(counts.tolist()):
        first, end = end, end + count
        for start in range(first, end, events_per_record):
            size = min(events_per_record, end - start)
            yield Slice(partition, table.slice(start, size), rows[start : start + size])


def halves(piece: Slice) -> tuple[Slice, Slice]:
    """Split a slice whose record would be too large; it has at least two rows."""
    middle = len(piece.rows) // 2
    first = Slice(piece.partition, piece.columns.slice(0, middle), piece.rows[:middle])
    return first, Slice(piece.partition, piece.columns.slice(middle), piece.rows[middle:])


def encoded(piece: Slice) -> Iterator[tuple[Slice, bytes]]:
    """Encode a slice, in parts if its record would be too large."""
    value = events.encode(piece.columns)
    if len(value) <= RECORD_BYTES or len(piece.rows) == 1:
        yield piece, value
        return
    for half in halves(piece):
        yield from encoded(half)


def _concatenate(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def place(
    batches: Sequence[Batch], slices: Sequence[Slice], offsets: Sequence[int | None]
) -> list[Placement]:
    """Say for each batch where its rows are, given each slice's offset (None: not known)."""
    total = sum(len(batch.partitions) for batch in batches)
    offset = np.full(total, -1, dtype=np.int64)
    row = np.zeros(total, dtype=np.int32)
    for piece, at in zip(slices, offsets, strict=True):
        offset[piece.rows] = -1 if at is None else at
        row[piece.rows] = np.arange(len(piece.rows), dtype=np.int32)
    ends = np.cumsum([len(batch.partitions) for batch in batches]).tolist()
    return [
        Placement(
            batch.partitions,
            offset[end - len(batch.partitions) : end],
            row[end - len(batch.partitions) : end],
        )
        for batch, end in zip(batches, ends, strict=True)
    ]
