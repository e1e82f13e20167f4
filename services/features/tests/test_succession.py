"""What the next generation adds, and the order to build it."""

from __future__ import annotations

from tidemill.definitions.v1 import project_pb2
from tidemill_common.kafka import TopicPartition
from tidemill_features.definitions import Work, work_of
from tidemill_features.succession import Order


def test_an_order_reads_back_from_its_line() -> None:
    places = frozenset({TopicPartition("events.visits", 1), TopicPartition("events.orders", 0)})
    order = Order("abc", {"users": "0123456789ab"}, places)
    assert order.to_line().endswith(b"}\n")
    assert Order.from_line(order.to_line()) == order


def test_a_generation_adds_the_views_that_are_new_or_changed(
    project: project_pb2.Project, work: Work
) -> None:
    changed = project_pb2.Project()
    changed.CopyFrom(project)
    view = next(view for view in changed.views if view.name == "users")
    view.filter = "amount > 1"
    more = changed.views.add()
    more.CopyFrom(view)
    more.name, more.stream = "payers", "orders"
    del more.aggregations[1:]
    more.filter = ""
    added = work_of(changed, "2").beside(work.versions)
    assert {name: [view.name for view in one.views] for name, one in added.streams.items()} == {
        "visits": ["users"],
        "orders": ["payers"],
    }
    assert added.generation == "2"


def test_a_generation_with_the_same_views_adds_nothing(
    project: project_pb2.Project, work: Work
) -> None:
    described = project_pb2.Project()
    described.CopyFrom(project)
    described.views[0].description = "users"
    assert work_of(described, "2").beside(work.versions).streams == {}
