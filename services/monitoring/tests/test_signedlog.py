"""Laws of the signed-log counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill_monitoring import signedlog

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200)


@given(NUMBERS, NUMBERS)
def test_counts_of_two_spans_add_up(one: list[float], other: list[float]) -> None:
    first, second = np.asarray(one), np.asarray(other)
    both = signedlog.count(np.concatenate([first, second]))
    assert (signedlog.count(first) + signedlog.count(second) == both).all()


@given(NUMBERS, st.integers(-3, 10))
def test_moving_cells_is_multiplying_values(values: list[float], octaves: int) -> None:
    column = np.asarray([v for v in values if abs(v) > 1e-2] or [1.0])
    moved = signedlog.shifted(signedlog.count(column), octaves * signedlog.PER_OCTAVE)
    assert signedlog.distance(moved, signedlog.count(column * 2.0**octaves)) < 1e-9


@pytest.mark.parametrize("level", [0.01, 0.25, 0.5, 0.9, 0.99])
def test_a_quantile_is_right_to_within_a_cell(level: float) -> None:
    values = np.random.default_rng(2).normal(20, 30, 20_000)
    exact = float(np.quantile(values, level))
    found = signedlog.quantile(signedlog.count(values), level)
    assert found == pytest.approx(exact, rel=0.2, abs=1.0)


@pytest.mark.parametrize("factor", [60.0, 1 / 60, 1000.0, 3600.0])
def test_the_factor_between_two_units_is_found(factor: float) -> None:
    generator = np.random.default_rng(3)
    reference = signedlog.count(generator.normal(5, 20, 5_000))
    current = signedlog.count(generator.normal(5, 20, 300) * factor)
    found, before, left = signedlog.best_scale(reference, current)
    assert found == pytest.approx(factor, rel=0.3)
    assert left < 0.5 * before


def test_nothing_is_no_distance_away_from_anything() -> None:
    assert signedlog.distance(signedlog.count(np.empty(0)), signedlog.count(np.ones(3))) == 0.0
