"""Expressions are SQL over one row: pure, typed, with NULL as unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tidemill.errors import Invalid, Misconfigured
from tidemill_tiles.expressions import compile_expression
from tidemill_tiles.fieldtypes import FieldType

FIELDS = {
    "a": FieldType.INT64,
    "b": FieldType.FLOAT64,
    "s": FieldType.STRING,
    "f": FieldType.BOOL,
    "t": FieldType.TIMESTAMP,
}
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
ROWS = pa.table(
    {
        "a": pa.array([1, 2, None], pa.int64()),
        "b": pa.array([0.5, None, 2.0]),
        "s": pa.array(["x", None, "yy"]),
        "f": pa.array([True, False, None]),
        "t": pa.array([NOON, None, NOON], pa.timestamp("us", "UTC")),
    }
)


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("a > 1", [False, True, None]),
        ("a > 1 AND b > 1", [False, None, None]),
        ("a > 1 OR b > 1", [False, True, True]),
        ("f IS NULL", [False, False, True]),
        ("NOT f", [False, True, None]),
        ("a / 2", [0.5, 1.0, None]),
        ("CASE WHEN a > 1 THEN 2 ELSE 0 END", [0, 2, 0]),
        ("COALESCE(a, 0) + 1", [2, 3, 1]),
        ("s IN ('x', 'z')", [True, None, False]),
        ("CONCAT(s, '!')", ["x!", "!", "yy!"]),
        ("EXTRACT(hour FROM t)", [12, None, 12]),
        ("b BETWEEN 0 AND 1", [True, None, False]),
        ("1 + 1", [2, 2, 2]),
        ("s = 'now()'", [False, None, False]),
    ],
)
def test_expressions_follow_sql_with_three_valued_null(sql: str, wanted: list[Any]) -> None:
    expression = compile_expression(sql, FIELDS)
    assert expression.evaluate(ROWS).to_pylist() == wanted
    rows = ROWS.to_pylist()
    assert [expression.evaluate_one(row) for row in rows] == wanted


def test_unknown_counts_as_false_where_rows_are_chosen() -> None:
    rows = compile_expression("a > 1 OR b > 1", FIELDS, FieldType.BOOL).true_rows(ROWS)
    assert rows.dtype == np.bool_
    assert rows.tolist() == [False, True, True]
    assert compile_expression("f", FIELDS).true_rows(ROWS).tolist() == [True, False, False]
    assert compile_expression("true", FIELDS).true_rows(ROWS).tolist() == [True] * 3


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("nope > 1", "no column nope"),
        ("a >", "not an expression"),
        ("a; b", "not an expression"),
        ("SUM(a) > 1", "its own row only"),
        ("COUNT(*)", "its own row only"),
        ("ROW_NUMBER() OVER (ORDER BY a)", "its own row only"),
        ("SUM(a) OVER (PARTITION BY s)", "its own row only"),
        ("a > (SELECT MAX(a) FROM x)", "not an expression"),
        ("FIRST(a)", "its own row only"),
        ("UNNEST(a)", "its own row only"),
        ("a > SUM(a)", "its own row only"),
        ("MEDIAN(b) > b", "its own row only"),
        ("ARRAY_AGG(a) IS NULL", "its own row only"),
        ("CORR(a, b) > 0", "its own row only"),
        ("f AS g", "its own row only"),
        ("EXISTS (SELECT 1)", "its own row only"),
        ("a" + " + a" * 900 + " > 1", "its own row only"),
        ("COLUMNS('a|b')", "its own row only"),
        ("NOW() > t", "only the row may decide"),
        ("current_date", "only the row may decide"),
        ("a + s > 1", "does not fit"),
        ("*", "not an expression"),
        ("a" + " + a" * 3_000, "at most"),
    ],
)
def test_what_is_not_a_pure_scalar_expression_is_refused(sql: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        compile_expression(sql, FIELDS, FieldType.BOOL)


def test_the_type_of_the_result_is_checked() -> None:
    with pytest.raises(Misconfigured, match="gives int64, not bool"):
        compile_expression("a", FIELDS, FieldType.BOOL)
    whole = compile_expression("a", FIELDS, FieldType.FLOAT64)
    assert whole.evaluate(ROWS).to_pylist() == [1.0, 2.0, None]
    assert compile_expression("a + b", FIELDS).result is FieldType.FLOAT64
    assert compile_expression("t", FIELDS).evaluate_one({"t": NOON}) == NOON
    assert compile_expression("t", FIELDS).columns == ("t",)


def test_columns_that_are_missing_or_cannot_be_computed_are_invalid() -> None:
    expression = compile_expression("a + b", FIELDS)
    with pytest.raises(Invalid, match="missing"):
        expression.evaluate(ROWS.select(["a"]))
    with pytest.raises(Invalid, match="needs b"):
        expression.evaluate_one({"a": 1})
    with pytest.raises(Invalid, match="cannot be computed"):
        compile_expression("CAST(s AS BIGINT)", FIELDS).evaluate(ROWS)


@pytest.mark.parametrize(
    "sql", ["CAST(s AS BIGINT)", "STRPTIME(s, '%Y-%m-%d')", "CAST(CAST(s AS DOUBLE) AS BIGINT)"]
)
def test_what_cannot_be_computed_is_told_in_one_line_without_the_values(sql: str) -> None:
    with pytest.raises(Invalid, match="cannot be computed: conversion ") as caught:
        compile_expression(sql, {"s": FieldType.STRING}).evaluate(pa.table({"s": ["ada@example"]}))
    assert "ada@example" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_come_as_batches_tables_or_mappings() -> None:
    expression = compile_expression("a + b", FIELDS)
    batch = ROWS.to_batches()[0]
    for columns in (batch, ROWS, {"a": batch.column(0), "b": batch.column(1)}):
        assert expression.evaluate(columns).to_pylist() == [1.5, None, None]
    assert expression.evaluate(ROWS.slice(0, 0)).to_pylist() == []
