from collections import defaultdict

import pytest

from benchmarks.peers.expected import Values, compare, merged, values_of
from benchmarks.peers.workload import CHECK, HOP_MS, MINUTE_MS, SENTINEL, WINDOWS_MINUTES, Workload

LOADS = [CHECK, Workload(events=3_000, keys=50, spacing_ms=9_000)]


def six(values: list[float]) -> Values:
    total = sum(values)
    return (len(values), total, total / len(values), min(values), max(values), values[-1])


def oracle(load: Workload) -> dict[tuple[str, int], Values]:
    held: dict[tuple[str, int], list[float]] = defaultdict(list)
    columns = zip(load.key.tolist(), load.at_ms.tolist(), load.cents.tolist(), strict=True)
    for key, at, cents in columns:
        for minutes in WINDOWS_MINUTES:
            if load.end_ms - minutes * MINUTE_MS <= at < load.end_ms:
                held[f"k{key}", minutes].append(cents / 100)
    return {place: six(values) for place, values in held.items()}


@pytest.mark.parametrize("load", LOADS)
def test_values_are_those_of_a_loop_over_the_events(load: Workload) -> None:
    expected, right = values_of(load), oracle(load)
    assert expected.keys() == right.keys()
    for place, values in right.items():
        assert expected[place] == pytest.approx(values)


@pytest.mark.parametrize("load", LOADS)
def test_windows_of_different_lengths_hold_different_values(load: Workload) -> None:
    expected = values_of(load)
    assert any(
        len({expected.get((f"k{key}", minutes)) for minutes in WINDOWS_MINUTES}) == 3
        for key in range(load.keys)
    )


@pytest.mark.parametrize("load", LOADS)
def test_panes_merge_into_the_windows(load: Workload) -> None:
    panes: dict[tuple[str, int], list[float]] = defaultdict(list)
    columns = zip(load.key.tolist(), load.at_ms.tolist(), load.cents.tolist(), strict=True)
    for key, at, cents in columns:
        panes[f"k{key}", at // HOP_MS * HOP_MS].append(cents / 100)
    rows = merged(
        ((key, at, six(values)) for (key, at), values in panes.items()), load.end_ms, HOP_MS
    )
    assert compare(values_of(load), rows).exact


RIGHT: dict[tuple[str, int], Values] = {
    ("k1", 60): (1, 2.5, 2.5, 2.5, 2.5, 2.5),
    ("k2", 60): (2, 4.0, 2.0, 1.0, 3.0, 3.0),
}
ROWS = [(key, minutes, values) for (key, minutes), values in RIGHT.items()]


def test_the_expected_rows_are_exact_in_any_order_and_a_sentinel_beside_them() -> None:
    sentinel = (f"{SENTINEL}0", 60, RIGHT["k1", 60])
    verdict = compare(RIGHT, [*reversed(ROWS), sentinel])
    assert verdict.exact
    assert verdict.compared == 2


def test_a_value_that_differs_is_named_with_both_numbers() -> None:
    verdict = compare(RIGHT, [ROWS[0], ("k2", 60, (2, 4.0, 2.0, 1.0, 3.0, 1.0))])
    assert (verdict.different, verdict.exact) == (1, False)
    assert verdict.examples == ("k2 60 min: last is 1.0, not 3.0",)


def test_not_a_number_is_a_difference() -> None:
    assert not compare(RIGHT, [ROWS[0], ("k2", 60, (2, float("nan"), 2.0, 1.0, 3.0, 3.0))]).exact


def test_a_missing_row_and_a_row_too_many_are_counted() -> None:
    verdict = compare(RIGHT, [ROWS[0], ("k3", 60, RIGHT["k1", 60])])
    assert (verdict.missing, verdict.unexpected, verdict.different) == (1, 1, 0)
    assert not verdict.exact


def test_of_two_rows_of_one_window_the_last_counts() -> None:
    stale = ("k1", 60, (1, 9.0, 9.0, 9.0, 9.0, 9.0))
    assert compare(RIGHT, [stale, *ROWS]).exact
    assert not compare(RIGHT, [*ROWS, stale]).exact
