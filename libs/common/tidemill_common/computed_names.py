"""A name that an expression gives a key field of entities in a stream: pure.

What is held against it may be rows of the stream, as they are now or were written before a column
came, or keys and requests, which carry some of its fields as text: a column that is not there is
NULL, and a text is read as a value of the column's type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa
from polars.exceptions import PolarsError

from tidemill_tiles.expressions import POLARS, compile_expression
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from collections.abc import Collection

TRUTH: Final = {"true": True, "false": False}
RFC_3339: Final = "%+"


@dataclass(frozen=True, slots=True)
class Computed:
    """An expression over columns of a stream; `types` are those of the columns that it reads."""

    expression: str
    types: tuple[tuple[str, FieldType], ...] = ()

    def __str__(self) -> str:
        """Read as it is written in a project file."""
        return self.expression

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns that it reads."""
        return tuple(name for name, _ in self.types)

    def there(self, names: Collection[str]) -> list[str] | None:
        """Return what it reads of these columns; None if it reads others only."""
        found = [name for name in self.columns if name in names]
        return found if found or not self.types else None

    def values(self, table: pa.Table | pa.RecordBatch) -> pa.Array:
        """Return one value a row, NULL where it cannot be computed."""
        expression = compile_expression(self.expression, dict(self.types))
        if not self.types:
            return expression.evaluate_rows(table)
        known = set(table.schema.names)
        read = {
            name: _typed(table.column(name), kind)
            if name in known
            else _nothing(table.num_rows, kind)
            for name, kind in self.types
        }
        return expression.evaluate_rows(pa.table(read))


def _typed(column: pa.Array | pa.ChunkedArray, kind: FieldType) -> pa.Array | pa.ChunkedArray:
    """Return a column in a type; NULL where a value is none of it."""
    values = pl.Series(column)
    if values.dtype == POLARS[kind]:
        return column
    if values.dtype == pl.String:
        return _read(values, kind).to_arrow()
    if values.dtype.is_float():
        if kind is not FieldType.INT64:
            return _nothing(len(values), kind)
        whole = values == values.floor()  # as monitoring keeps numbers
        values = values.set(~whole.fill_null(value=False), None)
    try:
        return values.cast(POLARS[kind], strict=False).to_arrow()
    except PolarsError:
        return _nothing(len(values), kind)


def _nothing(rows: int, kind: FieldType) -> pa.Array:
    return pl.Series([None] * rows, dtype=POLARS[kind]).to_arrow()


def _read(texts: pl.Series, kind: FieldType) -> pl.Series:
    """Read texts as keys and requests have them: a time is RFC 3339, or microseconds in a key."""
    if kind is FieldType.BOOL:
        return texts.replace_strict(TRUTH, default=None, return_dtype=pl.Boolean())
    if kind is not FieldType.TIMESTAMP:
        return texts.cast(POLARS[kind], strict=False)
    micros = texts.cast(pl.Int64(), strict=False).cast(POLARS[kind])
    stamps = texts.str.to_datetime(RFC_3339, time_unit="us", time_zone="UTC", strict=False)
    return micros.fill_null(stamps)
