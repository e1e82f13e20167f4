"""What a replica says of a view that it does not serve."""

from __future__ import annotations

import pytest

from tidemill.errors import NotFound, TidemillError, Unavailable
from tidemill.project import loads, normalise
from tidemill_common.clock import SystemClock
from tidemill_common.feature_replica import FeatureReplica
from tidemill_common.feature_views import view_spec
from tidemill_common.followed_view import FollowedView
from tidemill_common.kafka import Broker
from tidemill_common.next_generation import NextGeneration

PROJECT = normalise(
    loads(
        """
project: shop
streams:
  visit: {key: [user], partitions: 1, fields: {user: {type: string, required: true}}}
views:
  users: {stream: visit, entity: [user], aggregations: [{function: count, windows: [1h]}]}
"""
    ).project
)


def a_replica(*, held: bool) -> FeatureReplica:
    """Return one that serves generation 1, without views; generation 2 adds one."""
    replica = FeatureReplica(Broker("127.0.0.1:1"), SystemClock())
    replica.generation = "1"
    views = {"users": FollowedView(view_spec(PROJECT, "users"), ())}
    replica.next = NextGeneration("2", held, views, views, {})
    return replica


@pytest.mark.parametrize(("held", "answer"), [(False, Unavailable), (True, NotFound)])
def test_a_view_that_is_being_built_is_denied_for_now_and_one_that_is_held_until_the_switch(
    held: bool, answer: type[TidemillError]
) -> None:
    replica = a_replica(held=held)
    version = view_spec(PROJECT, "users").version
    with pytest.raises(answer) as refused:
        replica.view("users")
    assert f"version {version} is built beside" in refused.value.hint
    assert replica.view("users", version).spec.name == "users"


def test_a_view_that_no_generation_has_is_denied_for_good() -> None:
    with pytest.raises(NotFound, match="no feature view 'user'"):
        a_replica(held=False).view("user")
