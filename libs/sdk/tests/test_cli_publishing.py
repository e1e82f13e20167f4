from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from tidemill import Event
from tidemill.cli.publishing import ATTEMPTS, BATCH, Publishing
from tidemill.errors import Invalid
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb


@dataclass
class Broker:
    """Accepts everything, after it was away for the first `away` calls."""

    away: int = 0
    calls: list[list[Event]] = field(default_factory=list)

    def publish(self, events: Iterable[Event]) -> pb.PublishResponse:
        self.calls.append(list(events))
        is_away = len(self.calls) <= self.away
        outcome = pb.OUTCOME_UNAVAILABLE if is_away else pb.OUTCOME_ACCEPTED
        return pb.PublishResponse(results=[pb.EventResult(outcome=outcome)] * len(self.calls[-1]))


def published(broker: Broker, lines: Iterable[bytes], id_field: str = "") -> Publishing:
    done = Publishing("s", "cli", id_field, pause_s=0.0)
    done.run(broker, lines)
    return done


def test_lines_are_sent_in_batches() -> None:
    broker = Broker()
    done = published(broker, [b'{"n": 1}'] * (BATCH + 1))
    assert [len(call) for call in broker.calls] == [BATCH, 1]
    assert done.counts["accepted"] == BATCH + 1
    assert done.refused == []


def test_a_bad_line_is_told_and_holds_nobody_up() -> None:
    done = published(Broker(), [b'{"n": 1}', b"{", b"[1]", b"\n", b'{"n": 2}'])
    assert done.counts["accepted"] == 2
    assert [one["line"] for one in done.refused] == [2, 3]
    assert done.refused[0]["reason"].startswith("not JSON")
    assert done.refused[1]["reason"] == "not a JSON object"


def test_what_does_not_get_through_is_sent_again_with_the_same_id() -> None:
    broker = Broker(away=2)
    done = published(broker, [b'{"n": 1}'])
    assert done.counts["accepted"] == 1
    assert len({call[0].id for call in broker.calls}) == 1
    assert len(broker.calls) == 3


def test_a_broker_that_stays_away_is_told_in_the_end() -> None:
    broker = Broker(away=100)
    done = published(broker, [b'{"n": 1}'])
    assert len(broker.calls) == ATTEMPTS
    assert done.counts == {"accepted": 0, "rejected": 0, "unknown": 0, "unavailable": 1}


def test_the_id_is_the_field_that_was_named() -> None:
    broker = Broker()
    done = published(broker, [b'{"n": 7}', b'{"m": 8}'], id_field="n")
    assert [event.id for event in broker.calls[0]] == ["7"]
    assert "no field 'n'" in done.refused[0]["reason"]


def test_without_an_id_field_each_event_gets_its_own() -> None:
    done = Publishing("s", "cli")
    assert done.event(b"{}").id != done.event(b"{}").id
    with pytest.raises(Invalid, match="not a JSON object"):
        done.event(b"7")
