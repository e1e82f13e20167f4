"""A reader of a log knows when its snapshots were written, and which one never ended."""

from __future__ import annotations

from tidemill_common.snapshots import NONE, Snapshots
from tidemill_tiles.codec import Kind
from tidemill_tiles.fieldtypes import NO_TIME


def test_a_snapshot_is_as_old_as_its_end_and_took_as_long_as_it_lies_apart() -> None:
    seen = Snapshots()
    for kind, at in ((Kind.GENESIS, 10), (Kind.SNAPSHOT_BEGIN, 20), (Kind.CHUNK, 25)):
        seen.saw(kind, at)
    assert (seen.open_us(60), seen.age_us(60), seen.ended_us) == (40, 50, NO_TIME)
    seen.saw(Kind.SNAPSHOT_END, 30)
    assert (seen.open_us(60), seen.age_us(60), seen.took_us) == (NONE, 30, 10)


def test_a_snapshot_that_is_begun_again_counts_from_its_new_begin() -> None:
    seen = Snapshots()
    for kind, at in ((Kind.SNAPSHOT_BEGIN, 10), (Kind.SNAPSHOT_BEGIN, 40), (Kind.SNAPSHOT_END, 45)):
        seen.saw(kind, at)
    assert (seen.took_us, seen.ended_us) == (5, 45)


def test_an_end_without_its_begin_says_nothing() -> None:
    seen = Snapshots()
    seen.saw(Kind.SNAPSHOT_END, 30)
    assert (seen.ended_us, seen.age_us(50)) == (NO_TIME, 20)


def test_an_empty_log_has_no_age() -> None:
    assert (Snapshots().age_us(5), Snapshots().open_us(5)) == (NONE, NONE)
