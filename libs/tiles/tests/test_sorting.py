"""Sorting by bytes gives what sorting by comparison gives."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidemill_tiles.sorting import sort_floats


@given(st.lists(st.floats(allow_nan=False)))
def test_floats_ascend_from_minus_infinity_to_infinity(values: list[float]) -> None:
    found = np.array(values, dtype=np.float64)
    sort_floats(found)
    assert found.tolist() == sorted(values)
    signs = np.signbit(found[found == 0.0])
    assert signs.tolist() == sorted(signs.tolist(), reverse=True)  # -0.0 stands before 0.0


def test_many_values_of_every_size_are_sorted() -> None:
    chance = np.random.default_rng(3)
    values = chance.normal(size=100_000) * 10.0 ** chance.integers(-300, 300, 100_000)
    wanted = np.sort(values)
    sort_floats(values)
    assert np.array_equal(values, wanted)
