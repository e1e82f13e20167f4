"""Which moments a training set has a row for, and the label that each of them got: pure.

A row of the spine is an event of the spine's stream that is no duplicate; its moment T is a field
of the event or the event's time. Its label is the first event of the label stream, in event time,
with the same key and T < event time <= T + max_delay, for which the label's expression is not NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tidemill_common.feature_views import duration_us, field_types, stream_of
from tidemill_common.on_demand import numbers
from tidemill_common.topics import KEY_SEPARATOR
from tidemill_features.ordering import FIRST_TIME
from tidemill_tiles.expressions import compile_expression
from tidemill_tiles.keys import key_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2 as pb

_KEY: Final = ("key_first", "key_second")


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A span [from, to) whose rows, and rows with labels from it, are left out."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Spine:
    """Rows of a training set in their order: (T, available time, partition, offset, row).

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

    def rows(self, first: int) -> Spine:
        """Return the rows from `first` on."""
        return Spine(
            self.table.slice(first).combine_chunks(),
            self.key[first:],
            self.time_us[first:],
            self.label[first:],
            self.label_us[first:],
        )

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


def asked(
    model: pb.Model, table: pa.Table, from_us: int | None, to_us: int | None
) -> npt.NDArray[np.bool_]:
    """Say which events are rows of the spine: from <= T < to, and T and the key are known."""
    time = table[model.spine.time or "_time"].combine_chunks()
    time_us = np.asarray(time.cast(pa.int64()).fill_null(0), dtype=np.int64)
    keep = time_us >= (from_us if from_us is not None else -(2**62))
    keep &= time_us < (to_us if to_us is not None else 2**62)
    for column in (time, *(table[name].combine_chunks() for name in model.spine.key)):
        if column.null_count:
            keep &= np.asarray(pc.is_valid(column))
    return keep


def spine_of(model: pb.Model, table: pa.Table) -> Spine:
    """Return rows that were `asked` for, in their order, still without labels."""
    time_us = micros(table, model.spine.time or "_time")
    key = join_key(table, model.spine.key)
    nothing = np.zeros(len(table), dtype=np.int64)
    return Spine(table, key, time_us, np.full(len(table), np.nan), nothing)


class Labels:
    """The label stream beside the spine: it holds what rows up to the maximum delay may want."""

    def __init__(self, project: pb.Project, model: pb.Model, events: Iterator[pa.Table]) -> None:
        """Read `events` as they are needed: in the order of event time, then of availability."""
        self._project, self._model, self._events = project, model, events
        self._delay_us = duration_us(model.label.max_delay)
        self._held = _no_labels()
        self._read_us: int | None = FIRST_TIME

    @property
    def held(self) -> int:
        """Return how many label events are in memory."""
        return len(self._held)

    def join(self, spine: Spine) -> Spine:
        """Give each row its label; the rows of the next call have no earlier time."""
        if not len(spine):
            return spine
        self._read_beyond(int(spine.time_us[-1]) + self._delay_us if self._delay_us else None)
        self._held = self._held.filter(pl.col("label_us") > int(spine.time_us[0]))
        rows = pl.DataFrame(
            {**_key_columns(spine.key), "time_us": spine.time_us, "index": np.arange(len(spine))}
        )
        labels = self._held.unique(
            (*_KEY, "label_us"), keep="first", maintain_order=True
        ).with_columns(known_us=pl.col("label_us"))
        found = rows.join_asof(
            labels,
            left_on="time_us",
            right_on="label_us",
            by=_KEY,
            strategy="forward",
            tolerance=self._delay_us or None,
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

    def _read_beyond(self, until_us: int | None) -> None:
        """Have every label up to a time (or all of them) in memory."""
        more = [self._held]
        while self._read_us is not None and (until_us is None or self._read_us <= until_us):
            events = next(self._events, None)
            if events is None:
                self._read_us = None
            else:
                self._read_us = int(micros(events, "_time")[-1])
                more.append(self._labels(events))
        self._held = pl.concat(more)

    def _labels(self, events: pa.Table) -> pl.DataFrame:
        """Return the events that are labels: their key is known and their expression a number."""
        key = join_key(events, label_key(self._model))
        value = label_values(self._project, self._model, events)
        labels = pl.DataFrame(
            {**_key_columns(key), "label_us": micros(events, "_time"), "label": value}
        )
        keep = np.isfinite(value)
        if key.null_count:
            keep &= np.asarray(pc.is_valid(key))
        return labels.filter(pl.Series(keep))


def _key_columns(key: pa.Array) -> dict[str, npt.NDArray[np.uint64]]:
    """Return keys as the engine knows entities: by the two halves of their hash."""
    hashes = key_column([key]).hashes
    return {name: np.ascontiguousarray(hashes[:, place]) for place, name in enumerate(_KEY)}


def _no_labels() -> pl.DataFrame:
    kinds = {**dict.fromkeys(_KEY, pl.UInt64), "label_us": pl.Int64, "label": pl.Float64}
    return pl.DataFrame(schema=kinds)


def kept(spine: Spine, exclusions: Sequence[Exclusion], *, unlabelled: bool) -> Spine:
    """Leave out what is excluded, and what has no label (unless asked for)."""
    keep = np.ones(len(spine), dtype=np.bool_)
    has_label = np.isfinite(spine.label)
    for span in exclusions:
        keep &= ~((spine.time_us >= span.from_us) & (spine.time_us < span.to_us))
        inside = (spine.label_us >= span.from_us) & (spine.label_us < span.to_us)
        keep &= ~(has_label & inside)
    if not unlabelled:
        keep &= has_label
    return spine if keep.all() else spine.take(np.flatnonzero(keep))


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
