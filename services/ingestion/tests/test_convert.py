"""CloudEvents in, results out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import Invalid
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill_ingestion.convert import from_cloudevents, from_proto, to_results
from tidemill_ingestion.handlers import Outcome, Result

ONE = (
    b'{"specversion":"1.0","id":"1","source":"s","type":"clicks",'
    b'"time":"2020-01-01T00:00:00Z","data":{"user":"a"},"extension":"ignored"}'
)


def test_a_structured_event_keeps_the_bytes_of_its_data() -> None:
    ((stream, event),) = from_cloudevents(ONE, batched=False)
    assert stream == "clicks"
    assert event.data == b'{"user":"a"}'
    assert event.time_us == 1_577_836_800_000_000


def test_a_batch_gives_its_events_in_order() -> None:
    body = b"[" + ONE + b"," + ONE.replace(b'"id":"1"', b'"id":"2"') + b"]"
    assert [event.id for _, event in from_cloudevents(body, batched=True)] == ["1", "2"]


def test_another_version_of_the_standard_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="specversion"):
        from_cloudevents(ONE.replace(b"1.0", b"0.3"), batched=False)


@given(st.binary(max_size=60), st.booleans())
def test_no_body_makes_it_fail_otherwise(body: bytes, batched: bool) -> None:
    with pytest.raises(Invalid):
        from_cloudevents(body, batched=batched) and from_cloudevents(b"", batched=batched)


def test_an_event_that_states_no_time_has_none() -> None:
    ((_, event),) = from_proto([pb.Event(id="1", stream="clicks", data=b"{}")])
    assert event.time_us is None
    assert event.available_us is None


def test_every_outcome_has_a_name_on_the_wire() -> None:
    wire = to_results([Result(outcome) for outcome in Outcome])
    assert len({result.outcome for result in wire}) == len(Outcome)
    assert all(result.outcome for result in wire)
