"""A training set as arrays: read from Parquet, ordered by time, split so that time goes forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemill.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

TIME: Final = "_time"
LABEL: Final = "_label"
LABEL_TIME: Final = "_label_time"
SPINE_ID: Final = "_spine_id"
TIMESTAMP: Final = pa.timestamp("us", "UTC")
MIN_ROWS: Final = 100
"""Fewer rows in a part than this say nothing about anything."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows in the order of (time, spine id); `table` has the raw inputs as columns."""

    table: pa.Table
    label: npt.NDArray[np.float64]
    time_us: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.label.size)


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of the oldest rows (train), the next (validation), and the newest (test)."""

    train: Indices
    validation: Indices
    test: Indices


def read_rows(parquet: Any, bad_labels: Sequence[tuple[int, int]] = ()) -> Rows:
    """Read a training set; Invalid when it lacks a column.

    `bad_labels` are spans [from, to) of label times, in microseconds: a label that became known
    from an event in such a span is wrong, whatever the time of its row.
    """
    try:
        table = pq.read_table(parquet)
    except pa.ArrowInvalid as error:
        raise Invalid(f"the training set is no Parquet file: {error}") from error
    missing = {TIME, LABEL, LABEL_TIME, SPINE_ID} - set(table.column_names)
    if missing:
        raise Invalid(f"the training set has no column {', '.join(sorted(missing))}")
    label = _floats(table, LABEL)
    keep = np.isfinite(label)
    label_time = times_us(table, LABEL_TIME)
    for start, end in bad_labels:
        keep &= ~((label_time >= start) & (label_time < end))
    table = table.filter(pa.array(keep))
    order = pc.sort_indices(table, [(TIME, "ascending"), (SPINE_ID, "ascending")])
    table = table.take(order).combine_chunks()
    return Rows(table, _floats(table, LABEL), times_us(table, TIME))


def split_by_time(
    time_us: npt.NDArray[np.int64], validation_fraction: float, test_fraction: float
) -> Split:
    """Cut ascending times into train < validation < test; rows of one moment stay together.

    Law: every training row is older than every validation row, and these than every test row.
    Invalid when a part would have too few rows.
    """
    count = time_us.size
    test = _boundary(time_us, count - round(count * test_fraction))
    validation = _boundary(time_us[:test], test - round(count * validation_fraction))
    parts = Split(
        *(np.arange(a, b) for a, b in ((0, validation), (validation, test), (test, count)))
    )
    for name in ("train", "validation", "test"):
        rows = getattr(parts, name).size
        if rows < MIN_ROWS:
            raise Invalid(
                f"{rows} of {count} rows are left for {name}, at least {MIN_ROWS} are needed",
                hint="collect more labels, or change validation_fraction and test_fraction",
            )
    return parts


def _boundary(time_us: npt.NDArray[np.int64], index: int) -> int:
    """Move a cut back to the first row of its moment."""
    if index >= time_us.size:
        return int(time_us.size)
    return int(np.searchsorted(time_us, time_us[max(index, 0)], side="left"))


def times_us(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """Return a timestamp column as microseconds since the epoch; null is 0."""
    column = table.column(name).cast(TIMESTAMP).cast(pa.int64())
    return np.asarray(column.fill_null(0).to_numpy(), dtype=np.int64)


def _floats(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """Return a column as numbers; null is NaN."""
    column = table.column(name).cast(pa.float64())
    return np.asarray(column.to_numpy(), dtype=np.float64)


def raw_numbers(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """Return an input as float64, NaN where there is none; a time is its seconds."""
    column = table.column(name)
    if pa.types.is_timestamp(column.type):
        seconds = column.cast(TIMESTAMP).cast(pa.int64()).cast(pa.float64()).to_numpy() / 1e6
        return np.asarray(seconds, dtype=np.float64)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        raise Invalid(f"{name} is text; declare it categorical")
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def raw_values(table: pa.Table, name: str) -> list[Any]:
    """Return an input as Python values, None where there is none."""
    return list(table.column(name).to_pylist())
