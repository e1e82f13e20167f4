from __future__ import annotations

import base64
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tidemill import Event, merge, token_text
from tidemill.errors import Invalid
from tidemill.events import from_timestamp, to_proto, to_timestamp
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def a_token(stream: str, partition: int, offset: int, epoch: str = "e") -> pb.PositionToken:
    position = pb.Position(
        stream=stream, topic_epoch=epoch, partition=partition, next_offset=offset
    )
    return pb.PositionToken(positions=[position])


def test_an_event_travels_with_its_fields_and_times() -> None:
    message = to_proto(Event("s", {"at": NOON, "n": 1}, id="e1", source="x", time=NOON))
    assert (message.stream, message.id, message.source) == ("s", "e1", "x")
    assert message.data == b'{"at":"2026-01-31T12:00:00Z","n":1}'
    assert from_timestamp(message.time) == NOON
    assert not message.HasField("available_time")


def test_events_without_an_id_get_one_each() -> None:
    assert Event("s").id != Event("s").id


def test_a_value_without_a_json_form_is_refused_by_the_events_name() -> None:
    with pytest.raises(Invalid, match="event 'e1' of s"):
        to_proto(Event("s", {"x": object()}, id="e1"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_hold_is_refused_instead_of_lost(value: float) -> None:
    with pytest.raises(Invalid, match=f"event 'e1' of s: fare: {value}"):
        to_proto(Event("s", {"city": None, "fare": value}, id="e1"))


def test_an_unknown_value_travels_as_null() -> None:
    assert to_proto(Event("s", {"fare": None})).data == b'{"fare":null}'


def test_a_time_without_a_zone_is_refused_instead_of_guessed() -> None:
    with pytest.raises(Invalid, match="no time zone"):
        to_timestamp(datetime(2026, 1, 31))  # noqa: DTZ001 - that is the mistake


def test_a_time_in_any_zone_is_the_same_instant() -> None:
    assert to_timestamp(NOON.astimezone(timezone(timedelta(hours=5)))) == to_timestamp(NOON)


def test_a_merged_token_waits_for_all_of_both() -> None:
    merged = merge([a_token("s", 0, 3), a_token("s", 0, 7), a_token("s", 1, 2), a_token("t", 0, 1)])
    found = {(p.stream, p.partition): p.next_offset for p in merged.positions}
    assert found == {("s", 0): 7, ("s", 1): 2, ("t", 0): 1}


def test_positions_of_a_topic_that_was_made_anew_are_not_mixed() -> None:
    assert len(merge([a_token("s", 0, 3, "old"), a_token("s", 0, 1, "new")]).positions) == 2


def test_the_text_of_a_token_reads_back() -> None:
    token = a_token("s", 0, 3)
    assert pb.PositionToken.FromString(base64.urlsafe_b64decode(token_text(token))) == token
