"""How two versions of a view differ, against a loop over all values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill_common.feature_reads import ReadResult
from tidemill_features.diffing import Differences, smallest
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.table import EntityKeys

NAN = math.nan
value = st.one_of(
    st.just(NAN), st.just(math.inf), st.integers(-3, 3).map(float), st.floats(-1e9, 1e9)
)


def reading(features: Sequence[str], rows: Sequence[Sequence[float]]) -> ReadResult:
    count = len(rows)
    return ReadResult(
        features=tuple(features),
        version="v",
        values=np.array(rows, dtype=np.float64).reshape(count, len(features)),
        status=np.zeros((count, len(features)), dtype=np.uint8),
        event_time=np.zeros(count, dtype=np.int64),
        at_us=np.zeros(count, dtype=np.int64),
        newest_available_us=0,
        state_newer=np.zeros(count, dtype=np.bool_),
        freshness_us=0,
    )


def compared(
    old: Sequence[Sequence[float]], new: Sequence[Sequence[float]], *, worst: int = 3
) -> Differences:
    """Compare rows of features (gone, a, b) with those of (b, new, a)."""
    found = Differences(("gone", "a", "b"), ("b", "new", "a"), worst)
    keys = [f"u{number}".encode() for number in range(len(old))]
    found.add(
        keys,
        reading(("gone", "a", "b"), [(9.0, *row) for row in old]),
        reading(("b", "new", "a"), [(b, 9.0, a) for a, b in new]),
    )
    return found


def test_features_are_matched_by_name_and_those_of_one_version_only_are_named() -> None:
    found = compared([(1.0, 2.0)], [(1.0, 2.0)])
    assert (found.features, found.added, found.removed) == (["b", "a"], ["new"], ["gone"])
    assert found.equal.tolist() == [1, 1]
    assert (found.entities, found.different, found.worst) == (1, 0, [])


def test_values_change_appear_and_go() -> None:
    found = compared([(1.0, 2.0), (NAN, 4.0), (3.0, NAN)], [(1.5, NAN), (NAN, 5.0), (3.0, 1.0)])
    by_name = dict(zip(found.features, range(2), strict=True))
    a, b = by_name["a"], by_name["b"]
    assert (found.equal[a], found.changed[a], found.appeared[a], found.gone[a]) == (2, 1, 0, 0)
    assert (found.equal[b], found.changed[b], found.appeared[b], found.gone[b]) == (0, 1, 1, 1)
    assert found.means[:, a].tolist() == pytest.approx([0.25, 1 / 6])
    assert found.most[:, b].tolist() == pytest.approx([1.0, 0.2])
    assert found.different == 3


def test_the_entities_that_differ_most_come_first_with_the_values_that_differ() -> None:
    found = compared(
        [(10.0, 1.0), (10.0, 1.0), (10.0, NAN), (10.0, 1.0)],
        [(11.0, 1.0), (10.0, 1.0), (10.0, 1.0), (20.0, 1.0)],
        worst=2,
    )
    assert [one.key for one in found.worst] == [b"u2", b"u3"]
    assert found.worst[1].values == (("a", 10.0, 20.0),)


def test_without_a_value_in_both_there_is_no_difference_to_tell() -> None:
    found = compared([(NAN, 1.0)], [(1.0, NAN)])
    assert np.isnan(found.means).all()
    assert np.isnan(found.most).all()


@given(
    st.lists(st.tuples(st.tuples(value, value), st.tuples(value, value)), max_size=20),
    st.integers(1, 7),
)
def test_pieces_of_any_size_add_up_to_what_a_loop_finds(
    pairs: list[tuple[tuple[float, float], tuple[float, float]]], piece: int
) -> None:
    found = Differences(("a", "b"), ("a", "b"), worst=3)
    for start in range(0, len(pairs), piece):
        some = pairs[start : start + piece]
        keys = [f"u{start + number}".encode() for number in range(len(some))]
        old, new = ([pair[side] for pair in some] for side in (0, 1))
        found.add(keys, reading(("a", "b"), old), reading(("a", "b"), new))
    for place in range(2):
        values = [(old[place], new[place]) for old, new in pairs]
        both = [(o, n) for o, n in values if not (math.isnan(o) or math.isnan(n))]
        apart = [abs(n - o) if n != o else 0.0 for o, n in both]
        relative = [relative_of(o, n) for o, n in both]
        gone = sum(math.isnan(n) and not math.isnan(o) for o, n in values)
        appeared = sum(math.isnan(o) and not math.isnan(n) for o, n in values)
        changed = sum(o != n for o, n in both)
        assert (found.changed[place], found.gone[place]) == (changed, gone)
        assert found.appeared[place] == appeared
        assert found.equal[place] == len(values) - changed - gone - appeared
        if both:
            assert found.most[0, place] == max(apart)
            assert found.most[1, place] == pytest.approx(max(relative))
            assert found.means[1, place] == pytest.approx(sum(relative) / len(both))
    assert len(found.worst) == min(3, found.different)
    assert [one.score for one in found.worst] == sorted(
        (one.score for one in found.worst), reverse=True
    )


def relative_of(old: float, new: float) -> float:
    if old == new:
        return 0.0
    if math.isinf(old) or math.isinf(new):
        return 1.0
    return abs(new - old) / max(abs(old), abs(new))


def table(*names: str) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.uint64]], EntityKeys]:
    keys = [name.encode() for name in names]
    ends = np.cumsum([0, *map(len, keys)])
    spans = np.stack([ends[:-1], np.diff(ends)], axis=1).astype(np.int64)
    return hash_keys(keys), EntityKeys(spans, np.frombuffer(b"".join(keys), dtype=np.uint8))


@given(st.permutations([f"user{number}" for number in range(12)]), st.integers(1, 11))
def test_a_sample_is_the_same_however_the_entities_are_spread_and_a_larger_one_has_it(
    names: list[str], cut: int
) -> None:
    whole = smallest([table(*sorted(names))], 5)
    spread = smallest([table(*names[:cut]), table(*names[cut - 1 :])], 5)
    assert spread == whole
    assert whole.total == 12
    assert set(whole.keys) < set(smallest([table(*names)], 6).keys)


def test_of_no_entities_the_sample_is_empty() -> None:
    assert smallest([], 5).keys == ()
    assert smallest([table()], 5).total == 0
