"""Promises of the reference that travels in a model package."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import Corrupt, Invalid
from tidemill_common.reference import (
    NumericBins,
    Reference,
    categorical_bins,
    from_json,
    numeric_bins,
    to_json,
)

FLOATS = st.lists(st.floats(allow_infinity=False, width=32), max_size=300)
TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=100)


@given(FLOATS)
def test_numeric_counts_of_the_reference_itself_are_its_own(values: list[float]) -> None:
    column = np.asarray(values, dtype=np.float64)
    bins = numeric_bins("x", column)
    assert bins.count(column).tolist() == bins.vector().tolist()
    assert bins.rows == len(values)


@given(FLOATS)
def test_nothing_of_the_reference_lies_beyond_its_ends(values: list[float]) -> None:
    bins = numeric_bins("x", np.asarray(values, dtype=np.float64))
    assert bins.counts[-1] == 0
    assert bins.counts[0] == 0


@given(TEXTS)
def test_categorical_counts_of_the_reference_itself_are_its_own(values: list[str | None]) -> None:
    bins = categorical_bins("c", values, top=5)
    assert bins.count(values).tolist() == bins.vector().tolist()
    assert bins.rows == len(values)


@given(FLOATS, TEXTS)
def test_a_reference_survives_json_unchanged(values: list[float], texts: list[str | None]) -> None:
    numeric = numeric_bins("x", np.asarray(values, dtype=np.float64))
    reference = Reference(
        model="m",
        inputs=(numeric, categorical_bins("c", texts)),
        prediction=numeric,
        fields=(numeric,),
        metrics={"auc": 0.7},
        metric_rows=12,
        importances={"x": 1.5},
    )
    assert from_json(to_json(reference)) == reference


def test_cells_hold_about_equal_counts_of_a_continuous_column() -> None:
    values = np.random.default_rng(1).normal(size=64_000)
    bins = numeric_bins("x", values)
    inner = np.asarray(bins.counts[1:-1])
    assert len(inner) == 64
    assert inner.min() > 900
    assert inner.max() < 1_100


def test_a_column_of_few_values_gets_a_cell_for_each() -> None:
    bins = numeric_bins("hour", np.repeat(np.arange(5.0), 100))
    assert bins.counts == (0, 100, 100, 100, 100, 100, 0)


def test_infinite_live_values_count_beyond_the_ends_and_nan_as_missing() -> None:
    bins = numeric_bins("x", np.arange(10.0))
    counted = bins.count(np.asarray([-np.inf, np.inf, np.nan]))
    assert (counted[0], counted[-2], counted[-1]) == (1, 1, 1)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format":2}', b'{"format":1}'])
def test_what_is_no_reference_is_called_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        from_json(data)


def test_bins_that_no_column_can_have_are_refused() -> None:
    with pytest.raises(Invalid, match="ascend"):
        NumericBins("x", (2.0, 1.0), (0, 0, 0))
