"""The columns of a stream as one view's engine takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tidemill.errors import Invalid
from tidemill_tiles.definitions import field_types, read_types, source_types
from tidemill_tiles.expressions import compile_expression
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.fixed import ARROW, to_fixed
from tidemill_tiles.kernels.grouping import take_values
from tidemill_tiles.keys import KeyColumn, key_column, stream_salt

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from tidemill_tiles.definitions import ViewDefinition
    from tidemill_tiles.plan import Plan


@dataclass(slots=True, eq=False)
class EventBatch:
    """What an engine applies; every array has one column per event."""

    keys: KeyColumn
    time_us: npt.NDArray[np.int64]
    tie: npt.NDArray[np.uint64]
    values: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]
    filters: npt.NDArray[np.bool_]
    keep: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.time_us)

    def rows(self, first: int, last: int) -> EventBatch:
        """Return some consecutive rows."""
        keys, some = self.keys, slice(first, last)
        return EventBatch(
            KeyColumn(
                keys.data,
                np.ascontiguousarray(keys.offsets[first : last + 1]),
                keys.valid[some],
                np.ascontiguousarray(keys.hashes[some]),
            ),
            self.time_us[some],
            self.tie[some],
            np.ascontiguousarray(self.values[:, some]),
            np.ascontiguousarray(self.valid[:, some]),
            np.ascontiguousarray(self.filters[:, some]),
            np.ascontiguousarray(self.keep[some]),
        )

    def grouped(self, mask: npt.NDArray[np.bool_] | None = None) -> tuple[npt.NDArray[Any], ...]:
        """Return the kept rows only, entity by entity."""
        keep = self.keep if mask is None else self.keep & mask
        order = np.argsort(self.keys.hashes[:, 0]).astype(np.int64, copy=False)
        if not keep.all():
            order = order[keep[order]]
        return self.taken(order)

    def taken(self, order: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], ...]:
        """Return some rows in an order of their own, as kernels take them: one after the other."""
        values = np.empty((len(self.values), len(order)), dtype=np.int64)
        valid = np.empty(values.shape, dtype=np.bool_)
        take_values(self.values, self.valid, order, values, valid)
        return (
            np.take(self.keys.hashes, order, axis=0),
            self.keys.data,
            self.keys.offsets,
            order,
            np.take(self.time_us, order),
            np.take(self.tie, order),
            values,
            valid,
            np.take(self.filters, order, axis=1),
        )


def window_time(
    event_us: npt.NDArray[np.int64], available_us: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the time at which events enter windows: no state runs ahead of what was known."""
    return np.minimum(event_us, available_us)


def event_batch(
    plan: Plan,
    columns: pa.RecordBatch | pa.Table,
    *,
    time_us: npt.NDArray[np.int64],
    tie: npt.NDArray[np.uint64],
    stream: str | None = None,
) -> EventBatch:
    """Build keys, integers and filter masks of a view from a stream's columns.

    `stream` says whose they are; without it they are the view's columns already.
    """
    definition, rows = plan.definition, columns.num_rows
    found = view_rows(definition, columns, tie, stream)
    columns = _with_derived(definition, found.columns)
    keys = key_column([_column(columns, field.name) for field in definition.entity])
    keep = keys.valid if found.keep is None else keys.valid & found.keep
    if definition.filter is not None:
        keep = keep & _mask(definition.filter, field_types(definition), columns)
    values = np.empty((len(plan.value_fields), rows), dtype=np.int64)
    valid = np.empty((len(plan.value_fields), rows), dtype=np.bool_)
    for place, field in enumerate(plan.value_fields):
        values[place], valid[place] = to_fixed(_column(columns, field.name), field)
    filters = np.empty((len(plan.filters), rows), dtype=np.bool_)
    for place, sql in enumerate(plan.filters):
        filters[place] = _mask(sql, field_types(definition), columns)
    return EventBatch(
        keys,
        np.ascontiguousarray(time_us, dtype=np.int64),
        np.ascontiguousarray(found.tie, dtype=np.uint64),
        values,
        valid,
        filters,
        keep,
    )


@dataclass(frozen=True, slots=True)
class ViewRows:
    """Events of a stream as rows of a view; `keep` says which are, None that all of them are."""

    columns: pa.RecordBatch | pa.Table
    tie: npt.NDArray[np.uint64]
    keep: npt.NDArray[np.bool_] | None


def view_rows(
    definition: ViewDefinition,
    columns: pa.RecordBatch | pa.Table,
    tie: npt.NDArray[np.uint64],
    stream: str | None,
) -> ViewRows:
    """Give events of a stream the columns of a view, as its source says.

    Two streams may hold events of one id: ties tell them apart.
    """
    source = None if stream is None else definition.source(stream)
    if source is None:
        return ViewRows(columns, tie, None)
    types, texts = source_types(source), dict(source.columns)
    given = {
        name: _column(columns, texts[name])
        if texts[name] in types
        else compile_expression(texts[name], types, kind).evaluate_rows(columns).cast(ARROW[kind])
        for name, kind in read_types(definition).items()
    }
    keep = None if source.filter is None else _mask(source.filter, types, columns)
    return ViewRows(pa.table(given), tie ^ np.uint64(stream_salt(source.stream)), keep)


def _with_derived(
    definition: ViewDefinition, columns: pa.RecordBatch | pa.Table
) -> pa.RecordBatch | pa.Table:
    """Append what the view computes from each row; an expression does not see the others."""
    types, given = read_types(definition), columns
    for one in definition.derived:
        expression = compile_expression(one.expression, types, one.field.type)
        column = expression.evaluate_rows(given).cast(ARROW[one.field.type])
        columns = columns.append_column(one.field.name, column)
    return columns


def _mask(
    sql: str, types: Mapping[str, FieldType], columns: pa.RecordBatch | pa.Table
) -> npt.NDArray[np.bool_]:
    """Return where a condition is true; a row for which it cannot be computed does not pass."""
    expression = compile_expression(sql, types, FieldType.BOOL)
    try:
        return expression.true_rows(columns)
    except Invalid:
        mask = expression.evaluate_rows(columns).fill_null(fill_value=False)
        return np.ascontiguousarray(mask.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _column(columns: pa.RecordBatch | pa.Table, name: str) -> Any:
    place = columns.schema.get_field_index(name)
    if place < 0:
        raise Invalid(f"the batch has no column {name!r}, only {columns.schema.names}")
    return columns.column(place)
