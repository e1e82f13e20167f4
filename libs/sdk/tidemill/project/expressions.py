"""Checks SQL expressions by letting polars plan them over the columns they may use."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import polars as pl

# Parts of a plan that look at more than their own row.
MANY_ROWS: Final = {
    "Agg": "an aggregate",
    "Len": "an aggregate",
    "Over": "a window function",
    "Window": "a window function",
    "Rolling": "a window function",
    "SubPlan": "a subquery",
    "Sort": "a sorting function",
    "SortBy": "a sorting function",
    "Gather": "a sorting function",
    "Filter": "a filter",
    "Slice": "a slice",
    "Explode": "an exploding function",
    "Alias": "an alias",
    "Selector": "more than one column",
}
SUBQUERY: Final = re.compile(r"\bselect\b", re.IGNORECASE)
CLOCKS: Final = re.compile(
    r"\b(now\s*\(|current_date|current_time|current_timestamp|localtime|localtimestamp|today)",
    re.IGNORECASE,
)
TEXT: Final = re.compile(r"'(?:[^']|'')*'")
MAX_LENGTH: Final = 4096
MAX_SAID: Final = 160
DOTTED: Final = "dot-notation"
"""What polars says of user.id."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What an expression reads and gives, or what is wrong with it."""

    columns: tuple[str, ...] = ()
    type: pb.FieldType = pb.FIELD_TYPE_UNSPECIFIED
    message: str = ""
    hint: str = ""


def columns_of(sql: str) -> tuple[str, ...]:
    """Return the columns that an expression names, without repeats; empty if it is not one."""
    return inspect(sql, None).columns


def inspect(sql: str, columns: Mapping[str, pb.FieldType] | None) -> Checked:
    """Plan an expression over typed columns; without columns only its names are found."""
    import polars as pl

    if len(sql) > MAX_LENGTH:
        return Checked(message=f"the expression is longer than {MAX_LENGTH} characters")
    if clock := CLOCKS.search(TEXT.sub("''", sql)):
        return Checked(message=f"{clock[0].strip('( ')!r} reads the clock", hint="use a field")
    try:
        expression = pl.sql_expr(sql)
    except pl.exceptions.PolarsError as error:
        if DOTTED in str(error):
            hint = 'for example "user.id"'
            return Checked(message="a name with a dot stands in double quotes", hint=hint)
        return Checked(message=f"not an SQL expression: {first_line(error)}")
    roots = tuple(dict.fromkeys(expression.meta.root_names()))
    if crowd := _many_rows(sql, expression):
        hint = "an expression sees one row; windows belong into a view"
        return Checked(message=f"{crowd} is not allowed here", hint=hint)
    return Checked(roots) if columns is None else _planned(expression, roots, columns)


def _many_rows(sql: str, expression: pl.Expr) -> str:
    """Name what in the expression looks at more than one row, if anything does."""
    if SUBQUERY.search(TEXT.sub("''", sql)):
        return "a subquery"
    try:
        kinds = set(_kinds(json.loads(expression.meta.serialize(format="json"))))
    except RecursionError:
        return "so deep a nesting"
    return next((MANY_ROWS[kind] for kind in sorted(kinds & set(MANY_ROWS))), "")


def _planned(
    expression: pl.Expr, roots: tuple[str, ...], columns: Mapping[str, pb.FieldType]
) -> Checked:
    import polars as pl

    missing = next((root for root in roots if root not in columns), None)
    if missing is not None:
        hint = did_you_mean(missing, columns)
        return Checked(roots, message=f"unknown column {missing!r}", hint=hint)
    types: dict[pb.FieldType, pl.DataType] = {
        pb.FIELD_TYPE_BOOL: pl.Boolean(),
        pb.FIELD_TYPE_INT64: pl.Int64(),
        pb.FIELD_TYPE_FLOAT64: pl.Float64(),
        pb.FIELD_TYPE_STRING: pl.String(),
        pb.FIELD_TYPE_TIMESTAMP: pl.Datetime("us", "UTC"),
    }
    schema = {name: types[kind] for name, kind in columns.items() if kind in types}
    try:
        result = pl.DataFrame(schema=schema).select(expression.alias("result")).schema["result"]
    except pl.exceptions.PolarsError as error:
        message = f"does not fit the types of its columns: {first_line(error)}"
        return Checked(roots, message=message)
    if result.is_integer():
        return Checked(roots, pb.FIELD_TYPE_INT64)
    if result.is_float() or result.is_decimal():
        return Checked(roots, pb.FIELD_TYPE_FLOAT64)
    found = [kind for kind, each in types.items() if each.base_type() == result.base_type()]
    if not found:
        return Checked(roots, message=f"gives {result}, which no field type holds")
    return Checked(roots, found[0])


def _kinds(tree: object) -> Iterator[str]:
    """Yield every name of a node in a serialised plan."""
    if isinstance(tree, dict):
        for name, inner in tree.items():
            yield name
            if name not in {"Column", "Literal"}:
                yield from _kinds(inner)
    elif isinstance(tree, list):
        for inner in tree:
            yield from _kinds(inner)
    elif isinstance(tree, str):
        yield tree


def first_line(error: Exception) -> str:
    """Return the part of an error of polars that a person can use."""
    line = (str(error).strip().splitlines() or ["it cannot be read"])[0]
    return line if len(line) <= MAX_SAID else f"{line[:MAX_SAID]}..."
