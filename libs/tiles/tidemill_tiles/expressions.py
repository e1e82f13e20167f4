"""SQL scalar expressions over columns, evaluated by polars: filters, derived fields, conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
from polars.exceptions import PolarsError

from tidemill.errors import Invalid, Misconfigured
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.purity import impurity

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

Scalar = bool | int | float | str | datetime | None
MAX_SQL_CHARACTERS: Final = 4_096
POLARS: Final[dict[FieldType, Any]] = {
    FieldType.BOOL: pl.Boolean(),
    FieldType.INT64: pl.Int64(),
    FieldType.FLOAT64: pl.Float64(),
    FieldType.STRING: pl.String(),
    FieldType.TIMESTAMP: pl.Datetime("us", "UTC"),
}
IMPURE: Final = re.compile(
    r"\b(now|current_\w+|localtime\w*|today|random|rand|uuid|gen_random_uuid|version)\b",
    re.IGNORECASE,
)
QUOTED: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression; it never changes and holds no data."""

    sql: str
    columns: tuple[str, ...]
    result: FieldType
    _expr: pl.Expr = field(repr=False, compare=False)
    _types: tuple[tuple[str, FieldType], ...] = field(repr=False)

    def evaluate(self, columns: pa.RecordBatch | pa.Table | Mapping[str, Any]) -> pa.Array:
        """Return one value a row; NULL is three-valued. Invalid if a row cannot be computed."""
        return _arrow(self._series(columns))

    def evaluate_rows(self, columns: pa.RecordBatch | pa.Table) -> pa.Array:
        """Return one value a row like `evaluate`, but NULL where a row cannot be computed.

        One row must not stop a stream: it is found by halving, so that the others cost little.
        """
        _named(columns, self.columns)
        return _arrow(self._rows(columns))

    def _rows(self, columns: pa.RecordBatch | pa.Table) -> pl.Series:
        try:
            return self._series(columns)
        except Invalid:
            middle = columns.num_rows // 2
            if middle == 0:
                return pl.Series("result", [None], dtype=POLARS[self.result])
            return self._rows(columns.slice(0, middle)).append(self._rows(columns.slice(middle)))

    def true_rows(
        self, columns: pa.RecordBatch | pa.Table | Mapping[str, Any]
    ) -> npt.NDArray[np.bool_]:
        """Return where the expression is true; NULL counts as false."""
        series = self._series(columns)
        if series.null_count():
            series = series.fill_null(value=False)
        return np.ascontiguousarray(series.to_numpy(), dtype=np.bool_)

    def evaluate_one(self, row: Mapping[str, Scalar]) -> Scalar:
        """Return the value for one row; a name that is missing is an error, None is NULL."""
        missing = [name for name in self.columns if name not in row]
        if missing:
            raise Invalid(f"{self.sql!r} needs {', '.join(missing)}")
        data = {
            name: pl.Series(name, [row[name]], dtype=POLARS[kind], strict=False)
            for name, kind in self._types
        }
        value = self._select(pl.DataFrame(data) if data else pl.DataFrame({"": [0]}))[0]
        return value.astimezone(UTC) if isinstance(value, datetime) else value

    def _series(self, columns: pa.RecordBatch | pa.Table | Mapping[str, Any]) -> pl.Series:
        rows, named = _named(columns, self.columns)
        data = {}
        for name, kind in self._types:
            series = pl.Series(name, named[name])
            data[name] = series if series.dtype == POLARS[kind] else series.cast(POLARS[kind])
        if not data:
            return self._select(pl.DataFrame({"": [0]})).new_from_index(0, rows)
        series = self._select(pl.DataFrame(data))
        return series if len(series) == rows else series.new_from_index(0, rows)

    def _select(self, frame: pl.DataFrame) -> pl.Series:
        try:
            return frame.select(self._expr.cast(POLARS[self.result]).alias("result"))["result"]
        except PolarsError as error:
            raise Invalid(f"{self.sql!r} cannot be computed: {_reason(error)}") from None


def _reason(error: PolarsError) -> str:
    """Return what was wrong in one line, without the values, which may be personal data."""
    return str(error).partition("\n")[0].partition(": [")[0]


def compile_expression(
    sql: str, fields: Mapping[str, FieldType], result: FieldType | None = None
) -> Expression:
    """Check an expression against its columns; Misconfigured says what is wrong with it."""
    return _compiled(sql, tuple(sorted(fields.items())), result)


@lru_cache(maxsize=1024)
def _compiled(
    sql: str, fields: tuple[tuple[str, FieldType], ...], result: FieldType | None
) -> Expression:
    if len(sql) > MAX_SQL_CHARACTERS:
        raise Misconfigured(f"an expression of {len(sql)} characters, at most {MAX_SQL_CHARACTERS}")
    if found := IMPURE.search(QUOTED.sub("''", sql)):
        raise Misconfigured(f"{sql!r} uses {found.group()}: only the row may decide a value")
    expr = _parsed(sql)
    types = dict(fields)
    names = tuple(dict.fromkeys(expr.meta.root_names()))
    if unknown := [name for name in names if name not in types]:
        known = ", ".join(types) or "none"
        raise Misconfigured(
            f"{sql!r}: there is no column {', '.join(unknown)} (there are: {known})"
        )
    used = tuple((name, types[name]) for name in names)
    kind = _result_type(sql, expr, used)
    if result is not None and kind is not result:
        if {kind, result} != {FieldType.INT64, FieldType.FLOAT64} or result is FieldType.INT64:
            raise Misconfigured(f"{sql!r} gives {kind}, not {result}")
        kind = result
    return Expression(sql, names, kind, expr, used)


def _parsed(sql: str) -> pl.Expr:
    try:
        expr = pl.sql_expr(sql)
    except (PolarsError, pl.exceptions.SQLSyntaxError) as error:
        raise Misconfigured(f"{sql!r} is not an expression: {error}") from error
    if part := impurity(expr):
        raise Misconfigured(
            f"{sql!r} uses {part}: a value may depend on its own row only, by scalar functions "
            "(no aggregates, windows, subqueries, aliases or several columns at once)"
        )
    return expr


def _result_type(sql: str, expr: pl.Expr, used: tuple[tuple[str, FieldType], ...]) -> FieldType:
    schema = {name: POLARS[kind] for name, kind in used}
    try:
        frame = pl.DataFrame({name: [None, None] for name in schema}, schema=schema)
        series = (frame if schema else pl.DataFrame({"": [0]})).select(expr).to_series()
    except PolarsError as error:
        raise Misconfigured(f"{sql!r} does not fit its columns: {error}") from error
    if schema and len(series) not in {1, 2}:
        raise Misconfigured(f"{sql!r} does not give one value a row")
    kind = _field_type(series.dtype)
    if kind is None:
        raise Misconfigured(f"{sql!r} gives {series.dtype}, which is no type of a field")
    return kind


def _field_type(dtype: pl.DataType) -> FieldType | None:
    if dtype in (pl.Boolean, pl.Null):
        return FieldType.BOOL
    if dtype.is_integer():
        return FieldType.INT64
    if dtype.is_float() or dtype.is_decimal():
        return FieldType.FLOAT64
    if dtype == pl.String:
        return FieldType.STRING
    return FieldType.TIMESTAMP if isinstance(dtype, pl.Datetime) else None


def _named(
    columns: pa.RecordBatch | pa.Table | Mapping[str, Any], names: tuple[str, ...]
) -> tuple[int, dict[str, Any]]:
    if isinstance(columns, pa.RecordBatch | pa.Table):
        have = set(columns.schema.names)
        named = {name: columns.column(name) for name in names if name in have}
        rows = columns.num_rows
    else:
        named = {name: columns[name] for name in names if name in columns}
        rows = len(next(iter(columns.values()))) if columns else 1
    if missing := [name for name in names if name not in named]:
        raise Invalid(f"the columns {', '.join(missing)} are missing")
    return rows, named


def _arrow(series: pl.Series) -> pa.Array:
    array = series.to_arrow()
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
