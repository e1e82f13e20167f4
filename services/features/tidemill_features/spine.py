"""Which moments a training set has a row for, and the label that each of them got: pure.

A row of the spine is an event of the spine's stream that is no duplicate; its moment T is a field
of the event or the event's time. Its label is the first event of the label stream, in event time,
with the same key and T < event time <= T + max_delay, for which the label's expression is not NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tidemill_common.feature_views import duration_us, field_types, stream_of
from tidemill_common.on_demand import numbers
from tidemill_common.topics import KEY_SEPARATOR
from tidemill_tiles.expressions import compile_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2 as pb


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A span [from, to) whose rows, and rows with labels from it, are left out."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Spine:
    """The rows of a training set in their order: (T, available time, partition, offset, row).

    `label` is NaN and `label_us` 0 where there is none.
    """

    table: pa.Table
    key: pa.Array
    time_us: npt.NDArray[np.int64]
    label: npt.NDArray[np.float64]
    label_us: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.time_us.size)

    def take(self, rows: npt.NDArray[np.int64]) -> Spine:
        """Return some of the rows."""
        index = pa.array(rows)
        return Spine(
            self.table.take(index).combine_chunks(),
            self.key.take(index),
            self.time_us[rows],
            self.label[rows],
            self.label_us[rows],
        )


def spine_of(model: pb.Model, table: pa.Table, from_us: int | None, to_us: int | None) -> Spine:
    """Return the spine rows with from <= T < to, still without labels; a row without T is none."""
    time = table[model.spine.time or "_time"].combine_chunks()
    key = join_key(table, model.spine.key)
    known = pc.and_(pc.is_valid(time), pc.is_valid(key))
    time_us = np.asarray(time.cast(pa.int64()).fill_null(0), dtype=np.int64)
    keep = np.asarray(known) & (time_us >= (from_us if from_us is not None else -(2**62)))
    keep &= time_us < (to_us if to_us is not None else 2**62)
    rows = np.flatnonzero(keep)
    available = micros(table, "_available")
    place = [np.asarray(table[name]) for name in ("_row", "_offset", "_partition")]
    order = rows[np.lexsort((*(one[rows] for one in place), available[rows], time_us[rows]))]
    nothing = np.zeros(len(table), dtype=np.int64)
    whole = Spine(table, key, time_us, np.full(len(table), np.nan), nothing)
    return whole.take(order)


def labelled(project: pb.Project, model: pb.Model, spine: Spine, events: pa.Table) -> Spine:
    """Join each row with its label."""
    value = label_values(project, model, events)
    labels = pl.DataFrame(
        {
            "key": pl.Series(join_key(events, label_key(model)).cast(pa.large_string())),
            "label_us": micros(events, "_time"),
            "available": micros(events, "_available"),
            "place": np.arange(len(events)),
            "label": value,
        }
    ).filter(pl.col("key").is_not_null() & pl.col("label").is_finite())
    labels = labels.sort("label_us", "available", "place").unique(
        ("key", "label_us"), keep="first", maintain_order=True
    )
    rows = pl.DataFrame(
        {
            "key": pl.Series(spine.key.cast(pa.large_string())),
            "time_us": spine.time_us,
            "index": np.arange(len(spine)),
        }
    )
    found = rows.join_asof(
        labels.select("key", "label_us", "label").with_columns(known_us=pl.col("label_us")),
        left_on="time_us",
        right_on="label_us",
        by="key",
        strategy="forward",
        tolerance=duration_us(model.label.max_delay) or None,
        allow_exact_matches=False,
        check_sortedness=False,
    ).sort("index")
    return Spine(
        spine.table,
        spine.key,
        spine.time_us,
        found["label"].fill_null(float("nan")).to_numpy().astype(np.float64),
        found["known_us"].fill_null(0).to_numpy().astype(np.int64),
    )


def kept(
    spine: Spine, exclusions: Sequence[Exclusion], *, unlabelled: bool, max_rows: int
) -> Spine:
    """Leave out what is excluded, what has no label (unless asked for), and all but the newest."""
    keep = np.ones(len(spine), dtype=np.bool_)
    has_label = np.isfinite(spine.label)
    for span in exclusions:
        keep &= ~((spine.time_us >= span.from_us) & (spine.time_us < span.to_us))
        inside = (spine.label_us >= span.from_us) & (spine.label_us < span.to_us)
        keep &= ~(has_label & inside)
    if not unlabelled:
        keep &= has_label
    rows = np.flatnonzero(keep)
    return spine.take(rows[-max_rows:] if max_rows else rows)


def label_key(model: pb.Model) -> Sequence[str]:
    """Return the fields of the label stream that equal the spine's key."""
    return model.label.key or model.spine.key


def label_values(project: pb.Project, model: pb.Model, events: pa.Table) -> npt.NDArray[np.float64]:
    """Evaluate the label's expression; NaN is no label."""
    types = field_types(stream_of(project, model.label.stream))
    expression = compile_expression(model.label.expression, types)
    found = expression.evaluate(events)
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    return numbers(found)


def join_key(table: pa.Table, fields: Sequence[str]) -> pa.Array:
    """Return the canonical key of every row as text; null if a part is."""
    parts = [table[name].combine_chunks().cast(pa.string()) for name in fields]
    joined = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, KEY_SEPARATOR)
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def micros(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """Return a timestamp column without missing values as integers."""
    return np.asarray(table[name].combine_chunks().cast(pa.int64()), dtype=np.int64)
