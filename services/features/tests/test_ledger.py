"""When a log gets a snapshot and up to where it may be trimmed."""

from __future__ import annotations

from tidemill_features.ledger import LogLedger, LogPast
from tidemill_tiles.codec import Kind


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


def a_past(*records: tuple[Kind | None, int]) -> LogPast:
    """Return what a reader saw: records of 40 bytes at these seconds, from offset 0 on."""
    past = LogPast()
    for offset, (kind, at_s) in enumerate(records):
        past.saw(kind, offset, 1_000 * at_s, 0 if kind is None else 40)
    return past


def resumed(past: LogPast) -> LogLedger:
    """Return the ledger of an owner that opens now; its own clock is at 5."""
    return LogLedger.resumed(100, 60.0, past, 5.0)


def test_the_age_of_a_log_goes_on_over_the_lives_of_its_owners() -> None:
    past = a_past((Kind.GENESIS, 0), (Kind.ROWS, 30), (None, 50))
    assert not resumed(past).is_due(10_000, 14.0)
    assert resumed(past).is_due(10_000, 15.0)
    past.saw(None, 3, 60_000, 0)
    assert resumed(past).is_due(10_000, 5.0)


def test_so_does_what_was_written_since_the_newest_snapshot_that_is_complete() -> None:
    past = a_past((Kind.GENESIS, 0), (Kind.SNAPSHOT_BEGIN, 10), (Kind.SNAPSHOT_END, 11))
    assert not resumed(past).is_due(1, 5.0)  # 80 bytes since it began
    past.saw(Kind.ROWS, 3, 12_000, 40)
    assert resumed(past).is_due(1, 5.0)
    past.saw(Kind.SNAPSHOT_BEGIN, 4, 13_000, 40)  # its owner died
    assert resumed(past).is_due(1, 5.0)


def test_the_first_snapshot_of_a_life_trims_below_the_last_of_the_one_before() -> None:
    kinds = [Kind.GENESIS, Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END, Kind.SNAPSHOT_BEGIN, Kind.ROWS]
    ledger = resumed(a_past(*((kind, at_s) for at_s, kind in enumerate(kinds))))
    ledger.began(7, 6.0)
    assert ledger.ended() == 1


def test_an_empty_log_begins_with_its_owner() -> None:
    ledger = resumed(LogPast())
    ledger.wrote(1)
    assert not ledger.is_due(10_000, 64.0)
    assert ledger.is_due(10_000, 65.0)
