"""When a log gets a snapshot and up to where it may be trimmed."""

from __future__ import annotations

from tidemill_features.ledger import LogLedger


def a_ledger() -> LogLedger:
    return LogLedger(floor_bytes=100, every_seconds=60.0, since=0.0)


def test_a_log_that_outgrew_twice_the_state_is_due() -> None:
    ledger = a_ledger()
    ledger.wrote(1_000)
    assert not ledger.is_due(state_bytes=500, now=1.0)
    ledger.wrote(1)
    assert ledger.is_due(state_bytes=500, now=1.0)


def test_a_tiny_state_is_not_written_again_and_again() -> None:
    ledger = a_ledger()
    ledger.wrote(99)
    assert not ledger.is_due(state_bytes=1, now=1.0)


def test_time_alone_makes_a_snapshot_due_but_not_of_an_empty_log() -> None:
    ledger = a_ledger()
    assert not ledger.is_due(state_bytes=0, now=61.0)
    ledger.wrote(1)
    assert ledger.is_due(state_bytes=0, now=61.0)


def test_no_snapshot_begins_while_one_is_being_written() -> None:
    ledger = a_ledger()
    ledger.began(offset=7, now=0.0)
    ledger.wrote(10_000)
    assert not ledger.is_due(state_bytes=1, now=1.0)


def test_the_log_is_trimmed_to_the_last_complete_snapshot_but_one() -> None:
    ledger = a_ledger()
    trims = []
    for begin in (10, 20, 30):
        ledger.began(begin, now=0.0)
        trims.append(ledger.ended())
    assert trims == [None, 10, 20]


def test_a_renewed_log_is_trimmed_below_all_it_held_after_two_snapshots() -> None:
    ledger = LogLedger(floor_bytes=1_000, every_seconds=60.0, since=0.0)
    ledger.renew()
    trimmed = []
    for offset in (10, 20):
        assert ledger.is_due(0, 1.0)
        ledger.began(offset, 1.0)
        assert not ledger.is_due(0, 1.0)
        trimmed.append(ledger.ended())
    assert trimmed == [None, 10]
    assert not ledger.is_due(0, 1.0)


def test_a_snapshot_that_was_under_way_does_not_count_for_a_renewed_log() -> None:
    ledger = LogLedger(floor_bytes=1_000, every_seconds=60.0, since=0.0)
    ledger.began(5, 1.0)
    ledger.renew()
    ledger.ended()
    for offset in (10, 20):
        assert ledger.is_due(0, 1.0)
        ledger.began(offset, 1.0)
        before = ledger.ended()
    assert before == 10
