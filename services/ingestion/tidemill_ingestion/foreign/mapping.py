"""Columns of foreign records become columns of events, by the expressions of the project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project.sources import quoted
from tidemill_common.events import TIMESTAMP
from tidemill_common.feature_views import FIELD_TYPES
from tidemill_ingestion.foreign.decoding import Columns, Rows, in_halves, joined
from tidemill_ingestion.schema import StreamSchema
from tidemill_ingestion.validation import Refusal
from tidemill_tiles.expressions import Expression, compile_expression
from tidemill_tiles.fieldtypes import FieldType

KEPT: Final = "keep"
NO_TIME: Final = "the event has no time"


def types_of(columns: Mapping[str, pb.FieldType]) -> dict[str, FieldType]:
    """Return the types of columns in the engine's words."""
    return {name: FIELD_TYPES[kind] for name, kind in columns.items()}


@dataclass(frozen=True, slots=True)
class Mapped:
    """Rows in the stream's schema (None: none), where they stood, what was refused or left out."""

    rows: pa.RecordBatch | None
    index: Rows
    refusals: dict[int, Refusal]
    left_out: int


@dataclass(frozen=True, slots=True)
class Mapper:
    """The compiled expressions of a source; `columns` are those that any of them reads."""

    schema: StreamSchema
    topic: str
    filter: Expression | None
    values: Mapping[str, Expression]
    columns: frozenset[str]

    @classmethod
    def of(cls, stream: pb.Stream, schema: StreamSchema, known: dict[str, FieldType]) -> Mapper:
        """Compile the expressions of a normalised stream; Misconfigured if one does not fit."""
        source = stream.source
        types = {field.name: FIELD_TYPES[field.type] for field in stream.fields}
        values = {
            name: compile_expression(sql, known, types[name]) for name, sql in source.fields.items()
        }
        for name, sql, kind in (
            ("_id", source.id, FieldType.STRING),
            ("_time", source.time, FieldType.TIMESTAMP),
            ("_available", source.available, FieldType.TIMESTAMP),
        ):
            if sql:
                values[name] = compile_expression(sql, known, kind)
        keep = compile_expression(source.filter, known, FieldType.BOOL) if source.filter else None
        read = {name for each in values.values() for name in each.columns}
        read |= set(keep.columns if keep else ())
        return cls(schema, source.topic, keep, values, frozenset(read))

    @property
    def states(self) -> bool:
        """Tell whether events state when they became available."""
        return "_available" in self.values

    @property
    def named(self) -> bool:
        """Tell whether every event has an id of its own."""
        return bool(self.schema.id_field) or "_id" in self.values

    def events(self, columns: Columns, ids: pa.Array, now_us: int) -> Mapped:
        """Map rows; `ids` name those that have no id of their own.

        An expression that cannot be computed for a row refuses that row only.
        """
        refusals: dict[int, Refusal] = {}
        rows = np.arange(len(ids), dtype=np.int64)
        kept, left_out = self._kept(columns, rows, refusals)
        parts, bad = in_halves(kept, lambda some: self._values(_of(columns, some, len(ids))))
        refusals |= {row: Refusal(reason) for row, reason in bad.items()}
        types = {name: self.schema.arrow.field(name).type for name in self.values}
        whole = joined(parts, types)
        if not len(whole.index):
            return Mapped(None, whole.index, refusals, left_out)
        batch = self._batch(whole.columns, ids.take(pa.array(whole.index)), now_us)
        timeless = np.asarray(pc.is_null(batch.column("_time")))
        if not timeless.any():
            return Mapped(batch, whole.index, refusals, left_out)
        name = self.schema.time_field or "time"
        at = whole.index[timeless].tolist()
        refusals |= {row: Refusal(NO_TIME, name) for row in at}
        timed = batch.filter(pa.array(~timeless))
        index = whole.index[~timeless]
        return Mapped(timed if len(index) else None, index, refusals, left_out)

    def _kept(self, columns: Columns, rows: Rows, refusals: dict[int, Refusal]) -> tuple[Rows, int]:
        """Return the rows for which the filter is true, and how many it leaves out."""
        if self.filter is None or not len(rows):
            return rows, 0
        keep = self.filter

        def work(some: Rows) -> Columns:
            return {KEPT: pa.array(keep.true_rows(_of(columns, some, len(rows))))}

        parts, bad = in_halves(rows, work)
        refusals |= {row: Refusal(reason) for row, reason in bad.items()}
        found = joined(parts, {KEPT: pa.bool_()})
        kept = found.index[np.asarray(found.columns[KEPT], dtype=np.bool_)]
        return kept, len(found.index) - len(kept)

    def _values(self, columns: Columns) -> Columns:
        found = {}
        for name, expression in self.values.items():
            only = expression.columns[0] if len(expression.columns) == 1 else ""
            bare = bool(only) and expression.sql in {only, quoted(only)}
            value = columns[only] if bare else expression.evaluate(columns)
            found[name] = value.cast(self.schema.arrow.field(name).type)
        return found

    def _batch(self, values: Columns, ids: pa.Array, now_us: int) -> pa.RecordBatch:
        """Put the columns of the stream's schema together; what is not mapped is NULL."""
        size, schema = len(ids), self.schema
        now = pa.repeat(pa.scalar(now_us, pa.int64()).cast(TIMESTAMP), size)
        available = values["_available"].fill_null(now[0]) if self.states else now
        envelope = {
            "_id": values[schema.id_field] if schema.id_field else values.get("_id", ids),
            "_source": pa.repeat(pa.scalar(self.topic), size),
            "_time": values[schema.time_field] if schema.time_field else values["_time"],
            "_available": available,
        }
        columns = [
            envelope[field.name]
            if field.name in envelope
            else values.get(field.name, pa.nulls(size, field.type))
            for field in schema.arrow
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema.arrow)


def _of(columns: Columns, rows: Rows, size: int) -> Columns:
    """Return some rows of columns."""
    if len(rows) == size:
        return columns
    chosen = pa.array(rows)
    return {name: column.take(chosen) for name, column in columns.items()}
