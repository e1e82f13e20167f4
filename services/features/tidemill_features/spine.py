"""Which moments a training set has a row for, and the label that each of them got: pure.

A row of the spine is an event of the spine's stream that is no duplicate; its moment T is a field
of the event or the event's time. Its label is the first event of the label stream, in event time,
with the same key and T < event time <= T + max_delay, for which the label's expression is not NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill_common.feature_views import duration_us, field_types, stream_of
from tidemill_common.on_demand import numbers
from tidemill_common.topics import KEY_SEPARATOR
from tidemill_features.ordering import FIRST_TIME
from tidemill_tiles.expressions import compile_expression
from tidemill_tiles.grouped import following
from tidemill_tiles.keys import key_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2 as pb
    from tidemill_tiles.expressions import Expression


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A span [from, to) whose rows, and rows with labels from it, are left out."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Spine:
    """Rows of a training set in their order: (T, available time, id).

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

    def rows(self, first: int, last: int | None = None) -> Spine:
        """Return the rows from `first` on, up to `last`."""
        some = slice(first, last)
        length = None if last is None else last - first
        return Spine(
            self.table.slice(first, length).combine_chunks(),
            self.key[some],
            self.time_us[some],
            self.label[some],
            self.label_us[some],
        )

    def cut(self, rows: int) -> Iterator[Spine]:
        """Give the rows in pieces of so many."""
        if len(self) <= rows:
            yield self
            return
        for first in range(0, len(self), rows):
            yield self.rows(first, first + rows)

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
        self._held = _Part(
            np.empty((0, 2), dtype=np.uint64), np.empty(0, dtype=np.int64), np.empty(0)
        )
        self._read_us: int | None = FIRST_TIME

    @property
    def held(self) -> int:
        """Return how many label events wait for later rows."""
        return len(self._held.time_us)

    def join(self, spine: Spine) -> Spine:
        """Give each row its label; the rows of the next call have no earlier time."""
        if not len(spine):
            return spine
        times, last_us = spine.time_us, int(spine.time_us[-1])
        labels = self._until(last_us + self._delay_us if self._delay_us else None)
        hashes = key_column([spine.key]).hashes
        found = following(labels.hashes, labels.time_us, hashes, times)
        near = found >= 0
        if self._delay_us:
            near[near] = labels.time_us[found[near]] - times[near] <= self._delay_us
        label, label_us = spine.label.copy(), spine.label_us.copy()
        label[near], label_us[near] = labels.label[found[near]], labels.time_us[found[near]]
        self._held = labels.after(last_us)
        return Spine(spine.table, spine.key, times, label, label_us)

    def _until(self, us: int | None) -> _Part:
        """Return what is held and what is read up to a time (or all)."""
        return _joined([self._held, *self._read_until(us)])

    def _read_until(self, until_us: int | None) -> Iterator[_Part]:
        while self._read_us is not None and (until_us is None or self._read_us <= until_us):
            events = next(self._events, None)
            if events is None:
                self._read_us = None
                return
            self._read_us = int(micros(events, "_time")[-1])
            yield self._labels(events)

    def _labels(self, events: pa.Table) -> _Part:
        """Return the events that are labels: their key is known and their expression a number."""
        keys = key_column([join_key(events, label_key(self._model))])
        value = label_values(self._project, self._model, events)
        keep = np.isfinite(value) & keys.valid
        return _Part(keys.hashes[keep], micros(events, "_time")[keep], value[keep])


@dataclass(frozen=True, slots=True)
class _Part:
    """Some labels in the order of their time: key hashes, times, values."""

    hashes: npt.NDArray[np.uint64]
    time_us: npt.NDArray[np.int64]
    label: npt.NDArray[np.float64]

    def after(self, us: int) -> _Part:
        """Return the labels with a later time."""
        first = int(np.searchsorted(self.time_us, us, side="right"))
        return _Part(self.hashes[first:], self.time_us[first:], self.label[first:])


def _joined(parts: Sequence[_Part]) -> _Part:
    return _Part(
        np.concatenate([part.hashes for part in parts]),
        np.concatenate([part.time_us for part in parts]),
        np.concatenate([part.label for part in parts]),
    )


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


def label_fields(project: pb.Project, model: pb.Model) -> list[str]:
    """Return the fields of the label stream that keys and values of labels are made of."""
    return list(dict.fromkeys((*label_key(model), *_label_expression(project, model).columns)))


def label_values(project: pb.Project, model: pb.Model, events: pa.Table) -> npt.NDArray[np.float64]:
    """Evaluate the label's expression; NaN is no label."""
    found = _label_expression(project, model).evaluate(events)
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    return numbers(found)


def _label_expression(project: pb.Project, model: pb.Model) -> Expression:
    types = field_types(stream_of(project, model.label.stream))
    return compile_expression(model.label.expression, types)


def join_key(table: pa.Table, fields: Sequence[str]) -> pa.Array:
    """Return the canonical key of every row as text; null if a part is."""
    parts = [table[name].combine_chunks().cast(pa.string()) for name in fields]
    joined = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, KEY_SEPARATOR)
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def micros(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """Return a timestamp column without missing values as integers."""
    return np.asarray(table[name].combine_chunks().cast(pa.int64()), dtype=np.int64)
