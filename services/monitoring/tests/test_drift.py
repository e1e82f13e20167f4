"""Drift on stored bins against scipy, and the control of false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tidemill_common.reference import categorical_bins, numeric_bins
from tidemill_monitoring import drift

ALPHA = 1 / 30


@given(st.integers(0, 2**32 - 1), st.floats(-1, 1))
def test_binned_ks_is_at_most_the_exact_distance_and_close_to_it(seed: int, shift: float) -> None:
    generator = np.random.default_rng(seed)
    reference, current = generator.normal(size=2_000), generator.normal(shift, size=1_000)
    bins = numeric_bins("x", reference)
    distance, _ = drift.ks(bins.vector()[:-1], bins.count(current)[:-1])
    exact = stats.ks_2samp(reference, current).statistic
    assert distance <= exact + 1e-9
    assert distance >= exact - 1 / 32


def test_ks_of_whole_numbers_is_exactly_scipys() -> None:
    generator = np.random.default_rng(3)
    reference, current = generator.integers(0, 20, 3_000), generator.integers(0, 22, 1_000)
    bins = numeric_bins("x", reference.astype(np.float64))
    distance, p_value = drift.ks(bins.vector()[:-1], bins.count(current.astype(float))[:-1])
    exact = stats.ks_2samp(reference, current, method="asymp")
    assert distance == pytest.approx(exact.statistic)
    assert p_value == pytest.approx(stats.kstwobign.sf(exact.statistic * np.sqrt(750)), rel=1e-6)


def test_chi_square_is_scipys_contingency_test() -> None:
    reference, current = np.array([500, 300, 200]), np.array([40, 35, 25])
    effect, p_value = drift.chi_square(reference, current)
    exact = stats.chi2_contingency(np.stack([reference, current]), correction=False)
    assert p_value == pytest.approx(exact.pvalue)
    assert effect == pytest.approx(np.sqrt(exact.statistic / 1_100))


def test_cells_too_rare_to_test_are_taken_together() -> None:
    reference, current = np.array([1000, 1000, 1, 0, 1]), np.array([100, 100, 0, 1, 0])
    _, p_value = drift.chi_square(reference, current)
    assert p_value > 0.05


@pytest.mark.parametrize("counts", [([0, 0], [1, 2]), ([1, 2], [0, 0]), ([5, 0], [7, 0])])
def test_nothing_to_compare_is_no_drift(counts: tuple[list[int], list[int]]) -> None:
    one, other = (np.asarray(c, dtype=np.int64) for c in counts)
    assert drift.chi_square(one, other) == (0.0, 1.0)
    assert drift.ks(one, other)[1] == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.001, 0.3))
def test_holm_rejects_no_more_than_plain_and_no_less_than_bonferroni(
    p_values: list[float], alpha: float
) -> None:
    rejected = drift.holm(p_values, alpha)
    for p_value, hit in zip(p_values, rejected, strict=True):
        assert hit or p_value > alpha / len(p_values)
        assert not hit or p_value <= alpha


@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=30))
def test_benjamini_hochberg_is_scipys(p_values: list[float]) -> None:
    expected = stats.false_discovery_control(p_values)
    assert drift.benjamini_hochberg(p_values) == pytest.approx(list(expected))


def test_fifty_columns_without_change_stay_silent_at_the_promised_rate() -> None:
    generator = np.random.default_rng(11)
    columns = [numeric_bins(str(i), generator.normal(size=5_000)) for i in range(50)]
    pages = 0
    for _ in range(60):
        drifts = [drift.compare(bins, bins.count(generator.normal(size=1_000))) for bins in columns]
        pages += any(one.drifted for one in drift.judge(drifts, alpha=ALPHA, floor=0.0))
    assert pages <= 6


def test_a_half_sigma_shift_is_found_and_ranked_first() -> None:
    generator = np.random.default_rng(5)
    columns = [numeric_bins(str(i), generator.normal(size=5_000)) for i in range(20)]
    drifts = [
        drift.compare(bins, bins.count(generator.normal(0.5 * (i == 7), size=1_000)))
        for i, bins in enumerate(columns)
    ]
    judged = drift.judge(drifts, alpha=ALPHA, floor=0.1)
    assert [one.drift.subject for one in judged if one.drifted] == ["7"]
    assert judged[7].rank == 1


def test_a_significant_change_below_the_floor_is_no_drift() -> None:
    bins = numeric_bins("x", np.random.default_rng(1).normal(size=500_000))
    moved = bins.count(np.random.default_rng(2).normal(0.05, size=500_000))
    one = drift.judge([drift.compare(bins, moved)], alpha=ALPHA, floor=0.1)[0]
    assert one.drift.p_value < 1e-20
    assert not one.drifted


def test_missing_values_are_named_when_they_are_the_larger_effect() -> None:
    generator = np.random.default_rng(1)
    bins = numeric_bins("x", generator.normal(size=2_000))
    current = np.where(generator.random(1_000) < 0.4, np.nan, generator.normal(size=1_000))
    found = drift.compare(bins, bins.count(current))
    assert found.shape == "missing"
    assert found.effect == pytest.approx(0.4, abs=0.05)
    assert found.p_value < 1e-9


def test_a_new_category_is_named() -> None:
    bins = categorical_bins("c", ["a"] * 500 + ["b"] * 500)
    found = drift.compare(bins, bins.count(["a"] * 100 + ["z"] * 100))
    assert found.shape == "category"
    assert "b" in found.text or "other" in found.text


def test_one_false_page_a_month_of_daily_windows_is_one_in_thirty() -> None:
    assert drift.alpha_of(drift.DAY_US, 30.0) == pytest.approx(1 / 30)
