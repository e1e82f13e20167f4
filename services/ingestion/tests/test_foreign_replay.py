"""A dead letter of a foreign topic is put back as the source is declared now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tidemill.errors import FailedPrecondition, Invalid
from tidemill_common import events
from tidemill_common.kafka import Record, dead_letters
from tidemill_ingestion.dead_letters import again
from tidemill_ingestion.foreign.testing import NOW_MS, a_foreign_stream, a_record
from tidemill_ingestion.testing import NOW_US

TOPIC = "events.rides"


def a_letter(record: Record) -> dead_letters.DeadLetter:
    """Return what is read from the dead letters a day after the record was written."""
    origin = dead_letters.Origin("g", "ingestion", "bridge")
    headers = dead_letters.to_headers(record, Invalid("bad"), origin)
    late = NOW_MS + 86_400_000
    written = Record(f"{TOPIC}.dlq", 0, 9, late, record.key, record.value, tuple(headers))
    return dead_letters.from_record(written)


def test_it_becomes_the_event_it_should_have_been_and_says_whose_replay_it_is() -> None:
    letter = a_letter(a_record(7, partition=3, cents=500))
    partition, value = again(TOPIC, letter, a_foreign_stream(), NOW_US)
    (row,) = events.decode(value).to_pylist()
    assert (row["_id"], row["_replay_of"]) == ("3:7", "events.rides.dlq:9")
    assert row["_time"] == datetime.fromtimestamp((NOW_MS - 1_000) / 1_000, UTC)
    assert partition in {0, 1}


def test_what_is_still_bad_is_refused_with_its_reason() -> None:
    with pytest.raises(Invalid, match="Input data was truncated"):
        again(TOPIC, a_letter(a_record(7, value=b"{")), a_foreign_stream(), NOW_US)
    with pytest.raises(Invalid, match="fare: must be finite"):
        again(TOPIC, a_letter(a_record(7, cents=10**9)), a_foreign_stream(), NOW_US)


def test_what_the_source_leaves_out_now_or_nobody_reads_is_refused() -> None:
    letter = a_letter(a_record(7))
    with pytest.raises(Invalid, match="leaves this record out"):
        again(TOPIC, letter, a_foreign_stream({"filter": "cents < 0"}), NOW_US)
    with pytest.raises(FailedPrecondition, match="nothing reads"):
        again(TOPIC, letter, None, NOW_US)


def test_a_record_of_the_stream_itself_goes_back_as_it_was() -> None:
    letter = replace(a_letter(a_record(7, value=b"bytes")), topic=TOPIC)
    assert again(TOPIC, letter, a_foreign_stream(), NOW_US) == (0, b"bytes")
