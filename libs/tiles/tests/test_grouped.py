"""Rows of two lists meet by entity and time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidemill_tiles.grouped import by_entity, following

HASHES = np.array([[1, 1], [1, 2], [2**63, 5], [9, 9]], dtype=np.uint64)
SOME = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=30)


def sorted_by_time(rows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return sorted(rows, key=lambda row: row[1])


@given(SOME, SOME)
def test_the_first_later_one_of_the_same_entity_is_found(
    others: list[tuple[int, int]], rows: list[tuple[int, int]]
) -> None:
    others, rows = sorted_by_time(others), sorted_by_time(rows)
    found = following(
        HASHES[[key for key, _ in others]].reshape(-1, 2),
        np.array([at for _, at in others], dtype=np.int64),
        HASHES[[key for key, _ in rows]].reshape(-1, 2),
        np.array([at for _, at in rows], dtype=np.int64),
    )
    expected = [
        next((n for n, (other, at) in enumerate(others) if other == key and at > time), -1)
        for key, time in rows
    ]
    assert found.tolist() == expected


@given(SOME, SOME)
def test_an_entity_has_one_number_and_its_rows_keep_their_order(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    keys = [np.array([key for key, _ in rows], dtype=np.int64) for rows in (first, second)]
    grouped = by_entity(*(HASHES[one].reshape(-1, 2) for one in keys))
    numbers: dict[int, int] = {}
    for one, found in zip(keys, grouped, strict=True):
        for key, group in zip(one.tolist(), found.groups.tolist(), strict=True):
            assert numbers.setdefault(key, group) == group
        places = list(zip(found.groups[found.order].tolist(), found.order.tolist(), strict=True))
        assert places == sorted(places)
    assert len(set(numbers.values())) == len(numbers)
