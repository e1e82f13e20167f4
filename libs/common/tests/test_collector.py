import gc
import weakref
from collections.abc import Iterator

import pytest

from tidemill_common.collector import THRESHOLDS, collect_seldom


class Node:
    """Part of a cycle."""

    def __init__(self) -> None:
        self.other: Node | None = None


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_a_batch_of_records_is_not_looked_through_while_it_lives() -> None:
    collect_seldom()
    before = gc.get_stats()[0]["collections"]
    batch = [(number, ()) for number in range(THRESHOLDS[0] // 2)]
    assert gc.get_stats()[0]["collections"] == before
    assert batch


def test_cycles_are_still_found_in_the_end() -> None:
    collect_seldom()
    one, other = Node(), Node()
    one.other, other.other = other, one
    gone = weakref.ref(one)
    del one, other
    kept = [[number] for number in range(2 * THRESHOLDS[0])]
    assert gone() is None
    assert kept
