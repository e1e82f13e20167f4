"""Every function of a view, from a published event to a read, is what its definition says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from tests.integration.conftest import FirstVersion
from tests.integration.driver import PROJECT, Visitors
from tidemill import Event, merge
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.project import load, normalise
from tidemill_common.feature_views import view_spec
from tidemill_tiles.definitions import PAIRS, ViewDefinition
from tidemill_tiles.keys import event_id_hashes
from tidemill_tiles.reads import Status
from tidemill_tiles.testing.oracle import Oracle, OracleEvent

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

VIEW = "user_habits"
DEAR = "tens > 5"


def microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def an_oracle(definition: ViewDefinition, visits: Sequence[Event]) -> Oracle:
    oracle = Oracle(definition)
    ids = [str(visit.data["visit_id"]) for visit in visits]
    ties = event_id_hashes(pa.array(["shop"] * len(ids)), pa.array(ids)).tolist()
    for visit, tie in zip(visits, ties, strict=True):
        tens = float(visit.data["amount"]) / 10
        values = {**visit.data, "tens": tens}
        event = OracleEvent(microseconds(visit.data["at"]), tie, values, {DEAR: tens > 5})
        oracle.add(str(visit.data["user"]).encode(), event)
    return oracle


def assert_as_defined(
    reply: features_pb.GetFeaturesResponse, oracle: Oracle, users: Sequence[str], at: datetime
) -> None:
    kinds = oracle.definition.aggregations
    assert list(reply.features) == [one.name for one in kinds]
    for user, entity in zip(users, reply.entities, strict=True):
        key, at_us = user.encode(), microseconds(at)
        wanted = oracle.read(key, at_us)
        for one, got, status, (value, stated) in zip(
            kinds, entity.values, entity.statuses, wanted, strict=True
        ):
            present = status == features_pb.VALUE_STATUS_PRESENT
            assert present == (stated is Status.PRESENT), (user, one)
            bound = 0.0 if one.function in PAIRS else oracle.bound(one, key, at_us)
            assert not present or abs(got - value) <= bound, (user, one, got, value)


def test_a_read_is_what_the_events_say_and_the_same_from_a_replica_that_begins_again(
    first_version: FirstVersion,
) -> None:
    platform, shared = first_version.platform, first_version.visitors
    definition = view_spec(normalise(load(PROJECT)), VIEW).definition
    users = ["f0", "f1", "f2", "f3", "nobody"]
    crowd = Visitors(seed=3, users=4, names="f", at=shared.at, every=timedelta(minutes=7))
    visits, _ = crowd.come(900)
    shared.at = crowd.at
    token = merge([platform.publish(visits[::2]), platform.publish(visits[1::2])])
    at = visits[-1].data["at"] + timedelta(minutes=3)
    entities = [{"user": user} for user in users]

    def read() -> features_pb.GetFeaturesResponse:
        return platform.client.get_features(VIEW, entities, at=at, token=token, timeout=60.0)

    reply = read()
    assert_as_defined(reply, an_oracle(definition, visits), users, at)
    platform.stack.restart("features-server")
    again = read()
    assert [one.SerializeToString() for one in again.entities] == [
        one.SerializeToString() for one in reply.entities
    ]
