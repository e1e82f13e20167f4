"""A source's rate."""

from __future__ import annotations

from tidemill_ingestion.limits import MAX_SOURCES, SourceLimit


def test_without_a_rate_nothing_waits() -> None:
    assert SourceLimit(0).wait_for("a", 10**9, 0.0) == 0.0


def test_a_burst_of_a_second_passes_and_the_next_event_waits() -> None:
    limit = SourceLimit(10)
    assert limit.wait_for("a", 10, 0.0) == 0.0
    assert limit.wait_for("a", 1, 0.0) > 0.0
    assert limit.wait_for("a", 1, 0.11) == 0.0


def test_sources_do_not_share_a_rate() -> None:
    limit = SourceLimit(1)
    assert limit.wait_for("a", 1, 0.0) == 0.0
    assert limit.wait_for("b", 1, 0.0) == 0.0


def test_a_batch_larger_than_the_burst_passes_and_leaves_a_debt() -> None:
    limit = SourceLimit(10)
    assert limit.wait_for("a", 30, 0.0) == 0.0
    assert limit.wait_for("a", 1, 1.0) > 0.0
    assert limit.wait_for("a", 1, 2.2) == 0.0


def test_memory_is_bounded_whatever_sources_are_named() -> None:
    limit = SourceLimit(1)
    for n in range(MAX_SOURCES + 100):
        limit.wait_for(str(n), 1, 0.0)
    assert len(limit._buckets) == MAX_SOURCES
