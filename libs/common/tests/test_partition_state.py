"""When a partition is so bad that a consumer stops."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill_common.kafka.partition_state import IN_A_ROW, IN_WINDOW, WINDOW, PartitionState


def after(*outcomes: bool) -> PartitionState:
    state = PartitionState()
    for bad in outcomes:
        state.note(bad=bad)
    return state


def test_ten_bad_records_in_a_row_are_too_many_and_nine_are_not() -> None:
    assert not after(*[True] * (IN_A_ROW - 1)).is_too_bad()
    assert after(*[True] * IN_A_ROW).is_too_bad()


def test_one_good_record_begins_the_row_anew() -> None:
    assert not after(*[True] * 9, False, *[True] * 9).is_too_bad()


def test_more_than_one_percent_of_a_thousand_is_too_many() -> None:
    bad_each_99 = [number % 99 == 0 for number in range(WINDOW)]
    assert sum(bad_each_99) > IN_WINDOW
    assert after(*bad_each_99).is_too_bad()
    assert not after(*[number % 100 == 0 for number in range(WINDOW)]).is_too_bad()


@given(st.lists(st.booleans(), max_size=WINDOW - 1))
def test_before_a_thousand_records_only_the_row_counts(outcomes: list[bool]) -> None:
    row = 0
    for bad in outcomes:
        row = row + 1 if bad else 0
    assert after(*outcomes).is_too_bad() == (row >= IN_A_ROW)


def test_records_noted_together_count_like_records_noted_one_by_one() -> None:
    together, alone = PartitionState(), PartitionState()
    for records, bad in ((3, True), (2 * WINDOW, False), (4, True), (1, False), (2, True)):
        together.note(records, bad=bad)
        for _ in range(records):
            alone.note(bad=bad)
    assert (together.row, together.outcomes) == (alone.row, alone.outcomes)
