"""How far a source is in its targets is read from what lies there, and noted in few bytes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidemill_ingestion.foreign.progress import (
    MAX_NOTE,
    Progress,
    bridged,
    bridged_to,
    dead_to,
    places,
)

offsets = st.integers(0, 2**62)


@given(st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True), st.integers(0, 500), offsets)
def test_a_record_says_up_to_where_its_own_source_goes(topic: str, partition: int, to: int) -> None:
    headers = [("content-type", b"x"), bridged(topic, partition, to)]
    assert bridged_to(headers, topic, partition) == to
    assert bridged_to(headers, topic, partition + 1) == 0
    assert bridged_to(headers, f"{topic}x", partition) == 0


def test_headers_of_others_and_broken_ones_say_nothing() -> None:
    for headers in ([], [("bridged", b"")], [("bridged", b"a/0/x")], [("bridged", b"\xff/0/1")]):
        assert bridged_to(headers, "a", 0) == 0
    assert (
        dead_to([("dlq-topic", b"a"), ("dlq-partition", b"0"), ("dlq-offset", b"7")], "a", 0) == 8
    )
    assert (
        dead_to([("dlq-topic", b"a"), ("dlq-partition", b"1"), ("dlq-offset", b"7")], "a", 0) == 0
    )


@given(st.lists(offsets, min_size=1, max_size=50))
def test_a_note_is_read_back(looked: list[int]) -> None:
    assert places(Progress.fresh(looked).note(), len(looked)) == looked


def test_a_note_that_is_too_long_or_of_other_targets_means_everything_is_looked_through() -> None:
    assert Progress.fresh([10**15] * 257).note() == ""
    assert len(Progress.fresh([10**9] * 257).note()) <= MAX_NOTE
    for note in ("", "x", "[1,2]", "[1,2,-3]", '["a",1,2]', "7"):
        assert places(note, 3) == [0, 0, 0]


def test_a_target_that_is_ahead_is_looked_through_again_from_the_same_place() -> None:
    progress = Progress.fresh([5, 5])
    progress.done[1] = 100
    progress.reached(50, np.array([20, 30]))
    assert progress.looked.tolist() == [20, 5]
    progress.reached(100, np.array([25, 40]))
    assert progress.looked.tolist() == [25, 40]
