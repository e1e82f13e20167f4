"""Entities and readings between the protocol and the engine."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import Invalid
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_common.feature_reads import ReadResult
from tidemill_common.feature_views import ViewSpec, view_spec
from tidemill_features.convert import from_reading, set_time, to_columns, to_entities
from tidemill_tiles.fieldtypes import NO_TIME


@pytest.fixture
def users(project: project_pb2.Project) -> ViewSpec:
    return view_spec(project, "users")


def test_entities_are_read_in_the_views_order(users: ViewSpec) -> None:
    keys = [pb.EntityKey(fields={"user": "a"}), pb.EntityKey(fields={"user": ""})]
    assert to_entities(users, keys) == [("a",), ("",)]


@pytest.mark.parametrize("fields", [{}, {"shop": "a"}, {"user": "a", "shop": "b"}])
def test_a_wrong_entity_is_refused_and_says_which_and_why(
    users: ViewSpec, fields: dict[str, str]
) -> None:
    with pytest.raises(Invalid, match=r"entities\[1\]: must have the fields user"):
        to_entities(users, [pb.EntityKey(fields={"user": "a"}), pb.EntityKey(fields=fields)])


def test_more_than_a_thousand_entities_are_refused(users: ViewSpec) -> None:
    with pytest.raises(Invalid, match="at most 1000"):
        to_entities(users, [pb.EntityKey(fields={"user": "a"})] * 1_001)


@pytest.mark.parametrize(
    ("name", "hint"), [("count_1x", "did you mean 'count_1h'?"), ("zzz", "known: count_10m, ")]
)
def test_an_unknown_feature_is_refused_and_the_nearest_or_all_known_ones_named(
    users: ViewSpec, name: str, hint: str
) -> None:
    with pytest.raises(Invalid, match=f"users has no '{name}'") as raised:
        to_columns(users, ["count_1h", name])
    assert raised.value.hint.startswith(hint)


def test_no_names_mean_all_features(users: ViewSpec) -> None:
    assert to_columns(users, []) == [0, 1, 2]


def test_a_reading_keeps_value_status_and_times() -> None:
    result = ReadResult(
        features=("a", "b"),
        version="v1",
        values=np.array([[1.5, np.nan]]),
        status=np.array([[0, 1]], dtype=np.uint8),
        event_time=np.array([5_000_000]),
        at_us=np.array([6_000_000]),
        newest_available_us=NO_TIME,
        state_newer=np.array([False]),
        freshness_us=1_500_000,
    )
    reply = from_reading(result, [1, 0])
    assert list(reply.features) == ["b", "a"]
    assert list(reply.entities[0].statuses) == [pb.VALUE_STATUS_NULL, pb.VALUE_STATUS_PRESENT]
    assert reply.entities[0].values[1] == 1.5
    assert reply.entities[0].event_time.seconds == 5
    assert not reply.HasField("newest_available")
    assert reply.freshness.ToMilliseconds() == 1_500


@given(st.integers(-(10**15), 10**15))
def test_a_time_is_written_to_the_microsecond(us: int) -> None:
    written = Timestamp()
    set_time(written, us)
    assert written.ToMicroseconds() == us
    assert 0 <= written.nanos < 10**9
