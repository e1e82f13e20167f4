"""Bins that are counted from a file are those of the values in memory."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill_common.reference import NumericBins, numeric_bins
from tidemill_features import columnbins
from tidemill_features.columnbins import NumericColumn, exact_sum

Values = npt.NDArray[np.float64]


def some_values(kind: str) -> Values:
    chance = np.random.default_rng(5)
    found: Values = {
        "normal": chance.normal(size=5_000),
        "few": chance.integers(-3, 4, 5_000).astype(np.float64),
        "one": np.full(200, 7.25),
        "wide": chance.normal(size=5_000) * 10.0 ** chance.integers(-100, 100, 5_000),
        "zeros": np.where(chance.random(5_000) < 0.5, -0.0, chance.normal(size=5_000)),
    }[kind]
    found[::17] = np.nan
    return found


def bins_of(values: Values, path: Path, sizes: int) -> NumericBins:
    column = NumericColumn("x", path)
    for start in range(0, len(values), sizes):
        column.add(values[start : start + sizes])
    return column.bins()


@pytest.mark.parametrize("kind", ["normal", "few", "one", "wide", "zeros"])
def test_counted_bins_are_those_of_sorted_values(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnbins, "SORTED_VALUES", 70)
    values = some_values(kind)
    found, expected = bins_of(values, tmp_path / "x", 333), numeric_bins("x", values)
    assert (found.edges, found.counts, found.missing) == (
        expected.edges,
        expected.counts,
        expected.missing,
    )
    assert (found.low, found.median, found.high) == (expected.low, expected.median, expected.high)
    assert found.mean == pytest.approx(expected.mean, rel=1e-9, abs=1e-12)
    assert found.std == pytest.approx(expected.std, rel=1e-9)


@pytest.mark.parametrize("limit", [10, 1_000_000])
def test_the_order_of_values_does_not_show(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnbins, "SORTED_VALUES", limit)
    values = some_values("normal")
    shuffled = np.random.default_rng(1).permutation(values)
    assert bins_of(values, tmp_path / "x", 100) == bins_of(shuffled, tmp_path / "y", 4_999)


def test_a_column_without_a_number_has_one_empty_cell(tmp_path: Path) -> None:
    assert bins_of(np.full(5, np.nan), tmp_path / "x", 2) == numeric_bins("x", np.full(5, np.nan))


@given(st.lists(st.floats(-1e300, 1e300), max_size=60), st.integers(1, 60))
def test_a_sum_is_that_of_fsum_in_any_parts(values: list[float], size: int) -> None:
    parts = [np.array(values[n : n + size]) for n in range(0, len(values), size)]
    assert exact_sum(parts) == math.fsum(values)
