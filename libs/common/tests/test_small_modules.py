"""Clock, ids, verdicts, dead-letter headers and logs."""

from __future__ import annotations

import inspect
import io
import json
import logging
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from aiokafka.producer import sender
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import Invalid, NotFound, OutcomeUnknown, TidemillError, Unavailable, Violation
from tidemill_common import log, telemetry
from tidemill_common.clock import SystemClock, from_us, to_us
from tidemill_common.ids import canonical_json, digest, digest_json, is_digest, new_id
from tidemill_common.kafka import dead_letters, transactions
from tidemill_common.kafka.broker import Record
from tidemill_common.testing.clock import FrozenClock
from tidemill_common.verdict import Backoff, DeadLetter, Wait, verdict


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_and_moments_are_the_same_thing(at: datetime) -> None:
    assert from_us(to_us(at)) == at


def test_a_time_without_a_zone_is_refused_and_another_zone_is_the_same_moment() -> None:
    with pytest.raises(ValueError, match="zone"):
        to_us(datetime(2013, 1, 1))  # noqa: DTZ001
    east = timezone(timedelta(hours=5))
    assert to_us(datetime(2013, 1, 1, 5, tzinfo=east)) == to_us(datetime(2013, 1, 1, tzinfo=UTC))


def test_a_frozen_clock_moves_only_when_told() -> None:
    clock = FrozenClock()
    before = clock.now_us()
    clock.advance(1.5)
    assert (clock.now_us() - before, clock.monotonic()) == (1_500_000, 1.5)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)
    assert abs(SystemClock().now_us() - to_us(SystemClock().now())) < 1_000_000


def test_ids_are_unique_uuids_of_version_7_that_sort_by_birth() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert uuid.UUID(ids[0]).version == 7
    assert uuid.UUID(ids[0]).variant == uuid.RFC_4122


def test_digests_are_of_content_not_of_order() -> None:
    assert digest_json({"b": 1, "a": [1, 2]}) == digest_json({"a": [1, 2], "b": 1})
    assert canonical_json({"b": "ü", "a": None}) == '{"a":null,"b":"ü"}'.encode()
    assert is_digest(digest(b""))
    assert not any(
        is_digest(text) for text in ("", "a" * 63, "A" * 64, "a" * 64 + "\n", "../" * 21)
    )


def test_a_transient_error_waits_at_least_as_long_as_it_says() -> None:
    assert verdict(Unavailable("x", retry_after=9.0), 1, Backoff()) == Wait(9.0)
    decision = verdict(OutcomeUnknown("x"), 3, Backoff())
    assert isinstance(decision, Wait)
    assert decision.seconds <= 0.4


def test_a_rejected_record_is_set_aside_with_its_reason() -> None:
    error = NotFound("no stream x")
    assert verdict(error, 1, Backoff()) == DeadLetter("no stream x", error)


@pytest.mark.parametrize("error", [KeyError("x"), TidemillError("x"), ValueError("x")])
def test_a_bug_is_raised_again(error: Exception) -> None:
    with pytest.raises(type(error)):
        verdict(error, 1, Backoff())


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_grows_to_its_cap_and_never_beyond(attempt: int, chance: float) -> None:
    backoff = Backoff(0.1, 30.0)
    assert 0 <= backoff.delay(attempt, chance) <= min(30.0, 0.1 * 2.0 ** min(attempt - 1, 30))


def test_the_pause_between_transactions_is_still_where_it_is_set() -> None:
    """Aiokafka waits 20 ms there; if the name or its use is gone the pause is back, silently."""
    assert transactions.BACKOFF_SECONDS == sender.BACKOFF_OVERRIDE == 0.002
    source = inspect.getsource(sender)
    assert "BACKOFF_OVERRIDE = 0.02  #" in source
    assert "return BACKOFF_OVERRIDE" in source


def a_record(headers: tuple[tuple[str, bytes], ...] = (("schema", b"\xff"),)) -> Record:
    return Record("events.x", 1, 42, 1000, b"key", b"\x00value", headers)


def a_dead_letter(
    error: TidemillError, headers: tuple[tuple[str, bytes], ...]
) -> dead_letters.DeadLetter:
    record = a_record(headers)
    origin = dead_letters.Origin("features", "features", "decode")
    carried = dead_letters.to_headers(record, error, origin, row=3, attempt=2)
    return dead_letters.from_record(
        Record("events.x.dlq", 0, 7, 2000, record.key, record.value, tuple(carried))
    )


def test_a_dead_letter_gives_back_the_record_byte_for_byte_with_why_and_whence() -> None:
    letter = a_dead_letter(Invalid(violations=[Violation("f", "bad")]), a_record().headers)
    assert letter.record._replace(timestamp_ms=1000) == a_record()
    assert (letter.topic, letter.partition, letter.offset, letter.row) == ("events.x", 1, 42, 3)
    assert (letter.error, letter.message, letter.attempt) == ("INVALID", "f: bad", 2)


def test_a_dead_letter_of_a_replayed_dead_letter_names_its_newest_cause_only() -> None:
    once = dead_letters.to_headers(
        a_record(), Invalid("first"), dead_letters.Origin("g", "s", "x"), attempt=1
    )
    letter = a_dead_letter(Invalid("second"), tuple(once))
    assert (letter.message, letter.record.headers) == ("second", a_record().headers)


def test_a_long_message_is_cut_at_a_kibibyte() -> None:
    letter = a_dead_letter(Invalid("ü" * 5000), ())
    assert len(letter.message.encode()) <= 1024


def a_line(emit: object) -> dict[str, object]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(log.JsonFormatter("registry"))
    logger = logging.Logger("test")  # noqa: LOG001 (nothing else may hear it)
    logger.addHandler(handler)
    assert callable(emit)
    emit(logger)
    line: dict[str, object] = json.loads(stream.getvalue())
    return line


def test_a_log_line_is_json_with_its_facts() -> None:
    line = a_line(lambda logger: logger.info("version.promoted", extra={"model": "delay", "n": 3}))
    assert (line["event"], line["level"], line["service"]) == (
        "version.promoted",
        "INFO",
        "registry",
    )
    assert (line["model"], line["n"]) == ("delay", 3)


def test_a_log_line_names_the_trace_it_belongs_to_and_survives_odd_values() -> None:
    with telemetry.exporting("test", ratio=1.0), telemetry.span("x"):
        line = a_line(lambda logger: logger.warning("odd", extra={"what": {1, 2}, "key": object()}))
        assert line["trace"] == telemetry.traceparent().split("-")[1]
