"""Applied, duplicate or late: a pure function of a partition's rows in offset order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill_tiles import dedupe
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.verdict import SKEW_US, PartitionVerdict, Verdict, late_rows

ROWS = st.lists(st.tuples(st.integers(0, 8), st.integers(-50, 50), st.integers(0, 20)), max_size=80)
Columns = tuple[list[int], list[int], list[int]]


def columns_of(rows: list[tuple[int, int, int]]) -> Columns:
    """Return ids, event times around the append time, and append times that grow."""
    append, times, clock = [], [], 0
    for _, ahead, forward in rows:
        clock += forward
        append.append(clock)
        times.append(clock + ahead)
    return [row[0] for row in rows], times, append


def naive(columns: Columns, window: int, lateness: int, capacity: int) -> list[Verdict]:
    seen: list[tuple[int, int]] = []
    watermark, out = None, []
    for number, (one, time, append) in enumerate(zip(*columns, strict=True)):
        repeats = any(
            other == one and append - at <= window
            for other, at in seen[max(0, number - capacity) :]
        )
        late = watermark is not None and time < watermark - lateness
        out.append(Verdict.LATE if late else Verdict.DUPLICATE if repeats else Verdict.APPLIED)
        seen.append((one, append))
        known = min(time, append + SKEW_US)
        watermark = known if watermark is None else max(watermark, known)
    return out


@given(ROWS, st.integers(0, 60), st.integers(0, 60), st.integers(1, 20), st.data())
@settings(max_examples=100)
def test_verdicts_are_what_the_rows_before_say_however_they_are_batched(
    rows: list[tuple[int, int, int]],
    window: int,
    lateness: int,
    capacity: int,
    data: st.DataObject,
) -> None:
    columns = columns_of(rows)
    ids = np.array(columns[0], dtype=np.uint64)
    times, append = (np.array(one, dtype=np.int64) for one in columns[1:])
    wanted = [int(one) for one in naive(columns, window, lateness, capacity)]
    whole = PartitionVerdict(IdWindow(window, capacity), lateness).decide(ids, times, append)
    assert whole.tolist() == wanted
    decider, got, start = PartitionVerdict(IdWindow(window, capacity), lateness), [], 0
    while start < len(rows):
        end = data.draw(st.integers(start + 1, len(rows)))
        got += decider.decide(ids[start:end], times[start:end], append[start:end]).tolist()
        start = end
    assert got == wanted


def test_ids_rebuilt_from_the_window_answer_like_those_that_lived_through_it() -> None:
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 30_000, 60_000).astype(np.uint64)
    append = np.cumsum(rng.integers(0, 20, 60_000))
    live = IdWindow(100_000)
    for start in range(0, 50_000, 977):
        end = min(start + 977, 50_000)
        live.check_and_add(ids[start:end], append[start:end])
    rebuilt = IdWindow(100_000)
    recent = np.flatnonzero(append[:50_000] >= append[49_999] - 100_000)
    rebuilt.check_and_add(ids[recent], append[recent])
    rest = slice(50_000, None)
    assert np.array_equal(
        live.check_and_add(ids[rest], append[rest]), rebuilt.check_and_add(ids[rest], append[rest])
    )


def test_the_window_forgets_what_can_no_longer_matter() -> None:
    window = IdWindow(10)
    for second in range(300):
        ids = np.arange(second * 1_000, (second + 1) * 1_000, dtype=np.uint64)
        assert not window.check_and_add(ids, np.full(1_000, second * 20)).any()
    assert window.rows < 20_000


@pytest.mark.parametrize("capacity", [7, 300])
def test_rows_beyond_those_that_a_place_can_count_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, capacity: int
) -> None:
    monkeypatch.setattr(dedupe, "COUNTED_ROWS", 1_000)
    rng = np.random.default_rng(5)
    ids = rng.integers(0, 40, 5_000).astype(np.uint64)
    append = np.cumsum(rng.integers(0, 3, 5_000))
    columns = ids.tolist(), append.tolist(), append.tolist()
    wanted = [one is Verdict.DUPLICATE for one in naive(columns, 100, 100, capacity)]
    window = IdWindow(100, capacity)
    got = [
        window.check_and_add(ids[at : at + 50], append[at : at + 50]) for at in range(0, 5_000, 50)
    ]
    assert np.concatenate(got).tolist() == wanted
    assert 0 < sum(wanted) < len(wanted)


def test_one_forged_time_does_not_discard_honest_traffic() -> None:
    append = np.array([1_000, 2_000, 3_000], dtype=np.int64)
    times = np.array([2**60, 2_000, 3_000], dtype=np.int64)
    late, watermark = late_rows(NO_TIME, times, append, SKEW_US)
    assert not late.any()
    assert watermark == 1_000 + SKEW_US


def test_a_watermark_does_not_turn_back() -> None:
    none = np.empty(0, dtype=np.int64)
    assert late_rows(77, none, none, 10)[1] == 77
    old = np.array([5], dtype=np.int64)
    assert late_rows(77, old, old, 10)[1] == 77
