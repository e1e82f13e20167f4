"""The group's offset follows the logs' positions, and never leaves a row to be written twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tidemill.errors import Invalid
from tidemill_common.kafka import Record
from tidemill_features.decoding import Dead
from tidemill_features.definitions import StreamWork
from tidemill_features.flushing import Counts, Flush, LateRow
from tidemill_features.offsets import OFFSET_SECONDS, OffsetPace

RECORD = Record("events.visits", 0, 4, 0, None, b"", ())
SOON = OFFSET_SECONDS / 2


@pytest.fixture
def flush(visits: StreamWork) -> Flush:
    return Flush(position=5, log=((visits.views[0], b"rows"),), counts=Counts(applied=1))


@pytest.fixture
def pace() -> OffsetPace:
    """An offset that was committed a flush ago, at time 0."""
    pace = OffsetPace()
    pace.committed(4, 0.0)
    return pace


def test_the_first_flush_carries_it(flush: Flush) -> None:
    assert OffsetPace().is_due(flush, 0.0)


def test_a_flush_soon_after_does_not_and_one_later_does(pace: OffsetPace, flush: Flush) -> None:
    assert not pace.is_due(flush, SOON)
    assert pace.is_due(flush, OFFSET_SECONDS)


def test_rows_that_leave_for_another_topic_take_it_along(pace: OffsetPace, flush: Flush) -> None:
    assert pace.is_due(replace(flush, late=(LateRow(RECORD, 0, b""),)), SOON)
    assert pace.is_due(replace(flush, dead=(Dead(RECORD, 0, b"", Invalid("no")),)), SOON)


def test_a_stream_without_views_has_nothing_else(pace: OffsetPace, flush: Flush) -> None:
    assert pace.is_due(replace(flush, log=()), SOON)


def test_a_flush_of_nothing_brings_it_up_and_then_leaves_it(pace: OffsetPace, flush: Flush) -> None:
    idle = replace(flush, counts=Counts())
    assert pace.is_due(idle, SOON)
    pace.committed(idle.position, SOON)
    assert not pace.is_due(idle, SOON + OFFSET_SECONDS)


def test_a_partition_that_is_given_up_hurries(pace: OffsetPace, flush: Flush) -> None:
    pace.hurry()
    assert pace.is_due(flush, SOON)
    assert pace.is_behind(5)
