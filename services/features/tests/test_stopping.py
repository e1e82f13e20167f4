"""A partition stops after a hundred records in a row that are none, and not before."""

from __future__ import annotations

from collections.abc import Callable

from tidemill.errors import Invalid
from tidemill_common.kafka import Record
from tidemill_features.decoding import Dead
from tidemill_features.stopping import IN_A_ROW, BadRun

MakeRecord = Callable[..., Record]


def noted(run: BadRun, make_record: MakeRecord, first: int, fates: str) -> BadRun:
    """Note a flush: g is a good record, b a bad one, r one with a dead row."""
    records = [make_record(first + number, []) for number in range(len(fates))]
    dead = [
        Dead(record, None if fate == "b" else 0, b"", Invalid("bad"))
        for record, fate in zip(records, fates, strict=True)
        if fate != "g"
    ]
    run.note(records, dead)
    return run


def test_bad_records_in_a_row_count_across_flushes(make_record: MakeRecord) -> None:
    run = noted(BadRun(), make_record, 0, "g" + "b" * (IN_A_ROW - 1))
    assert not run.is_too_long
    noted(run, make_record, IN_A_ROW, "")  # an idle flush changes nothing
    assert noted(run, make_record, IN_A_ROW, "b").is_too_long


def test_what_was_there_when_the_partition_was_opened_does_not_count(
    make_record: MakeRecord,
) -> None:
    run = noted(BadRun(since=500), make_record, 0, "b" * (500 + IN_A_ROW - 1))
    assert not run.is_too_long
    assert noted(run, make_record, 500 + IN_A_ROW - 1, "b").is_too_long


def test_a_good_record_ends_the_row(make_record: MakeRecord) -> None:
    run = noted(BadRun(), make_record, 0, "b" * IN_A_ROW + "g")
    assert not run.is_too_long
    assert not noted(run, make_record, IN_A_ROW + 1, "b").is_too_long


def test_a_record_with_a_dead_row_is_a_record(make_record: MakeRecord) -> None:
    assert not noted(BadRun(), make_record, 0, "b" * (IN_A_ROW - 1) + "r" + "b").is_too_long
