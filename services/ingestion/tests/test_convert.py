"""CloudEvents in, results out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import Invalid
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill_ingestion.convert import (
    from_cloudevent,
    from_cloudevents,
    from_proto,
    to_results,
)
from tidemill_ingestion.handlers import Outcome, Result
from tidemill_ingestion.validation import Refusal

ONE = (
    b'{"specversion":"1.0","id":"1","source":"s","type":"clicks",'
    b'"time":"2020-01-01T00:00:00Z","data":{"user":"a"},"extension":"ignored"}'
)


def many(*parts: bytes) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def test_a_structured_event_keeps_the_bytes_of_its_data() -> None:
    stream, event = from_cloudevent(ONE)
    assert stream == "clicks"
    assert event.data == b'{"user":"a"}'
    assert event.time_us == 1_577_836_800_000_000


def test_a_batch_gives_its_events_in_order() -> None:
    assert ids(many(ONE, ONE.replace(b'"id":"1"', b'"id":"2"'))) == ["1", "2"]


def test_another_version_of_the_standard_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="specversion"):
        from_cloudevent(OTHER_VERSION)


def ids(body: bytes) -> list[str]:
    """The ids of the good ones, and of the others the field that is to blame."""
    found = from_cloudevents(body)
    return [one.field or "?" if isinstance(one, Refusal) else one[1].id for one in found]


OTHER_VERSION = ONE.replace(b"1.0", b"0.3")
BAD = (OTHER_VERSION, b"{}", b"7", b"null", b"[]", ONE.replace(b'"s"', b"1"), b"[" * 90 + b"]" * 90)


@given(st.lists(st.sampled_from((ONE, *BAD)), max_size=6))
def test_bad_parts_of_a_batch_are_refused_and_the_good_ones_are_as_alone(
    parts: list[bytes],
) -> None:
    found = from_cloudevents(many(*parts))
    assert [one == from_cloudevent(ONE) for one in found] == [part == ONE for part in parts]
    assert all(isinstance(one, Refusal) for one in found if one != from_cloudevent(ONE))


def test_the_refusal_of_a_part_names_what_is_wrong() -> None:
    assert ids(many(OTHER_VERSION, ONE)) == ["specversion", "1"]
    assert ids(many(OTHER_VERSION, b"{}", ONE)) == ["specversion", "?", "1"]
    (refusal, _) = from_cloudevents(many(ONE.replace(b'"s"', b"1"), ONE))
    assert isinstance(refusal, Refusal)
    assert "$.source" in refusal.reason


@pytest.mark.parametrize("part", [ONE, b"{}"])
def test_a_batch_that_is_too_long_is_refused_whole(part: bytes) -> None:
    with pytest.raises(Invalid, match="10001 events"):
        from_cloudevents(many(*[part] * 10_001))


@given(st.binary(max_size=60), st.booleans())
def test_no_body_makes_it_fail_otherwise(body: bytes, batched: bool) -> None:
    with pytest.raises(Invalid):
        (from_cloudevents if batched else from_cloudevent)(body) and from_cloudevents(b"")


def test_an_event_that_states_no_time_has_none() -> None:
    ((_, event),) = from_proto([pb.Event(id="1", stream="clicks", data=b"{}")])
    assert event.time_us is None
    assert event.available_us is None


def test_every_outcome_has_a_name_on_the_wire() -> None:
    wire = to_results([Result(outcome) for outcome in Outcome])
    assert len({result.outcome for result in wire}) == len(Outcome)
    assert all(result.outcome for result in wire)
