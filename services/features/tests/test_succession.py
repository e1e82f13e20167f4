"""What the next generation adds, and the order to build it."""

from __future__ import annotations

import asyncio

from tidemill.definitions.v1 import project_pb2
from tidemill_common.kafka import TopicPartition
from tidemill_common.project_source import Applied, Held
from tidemill_features.definitions import StreamWork, Work, all_work, work_of
from tidemill_features.succession import Order, prepare


def test_an_order_reads_back_from_its_line() -> None:
    places = frozenset({TopicPartition("events.visits", 1), TopicPartition("events.orders", 0)})
    order = Order("abc", "00000001-abc", frozenset({"users.0123456789ab"}), places)
    assert order.to_line().endswith(b"}\n")
    assert Order.from_line(order.to_line()) == order


def changed_project(project: project_pb2.Project) -> project_pb2.Project:
    """Change the view of users, and add one of another stream."""
    changed = project_pb2.Project()
    changed.CopyFrom(project)
    view = next(view for view in changed.views if view.name == "users")
    view.filter = "amount > 1"
    more = changed.views.add()
    more.CopyFrom(view)
    more.name, more.stream = "payers", "orders"
    del more.aggregations[1:]
    more.filter = ""
    return changed


def test_a_generation_adds_the_views_that_are_new_or_changed(
    project: project_pb2.Project, work: Work
) -> None:
    added = work_of(changed_project(project), "2").beside(work.keys)
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
    assert work_of(described, "2").beside(work.keys).streams == {}


def keys_of(work: StreamWork) -> list[str]:
    return [view.key for view in work.views]


def test_what_is_held_is_worked_on_beside_what_is_current_by_its_own_bounds(
    project: project_pb2.Project,
) -> None:
    held = changed_project(project)
    by_name = {stream.name: stream for stream in held.streams}
    by_name["visits"].retention.FromSeconds(60)
    by_name["visits"].lateness.FromSeconds(7_200)
    new = held.streams.add()
    new.CopyFrom(by_name["orders"])
    new.name = "refunds"
    both = all_work(Applied(project, "c" * 64, 7, Held(held, "h" * 64)))
    current = work_of(project, "00000007-cccccccccccc")
    assert both.generation == current.generation
    assert both.streams.keys() == {"visits", "orders", "refunds"}
    assert both.streams["visits"] == current.streams["visits"]
    assert {name: {view.name for view in one.views} for name, one in both.held.items()} == {
        "visits": {"users", "countries"},  # the lateness is part of both
        "orders": {"payers"},
    }
    lateness = [one.spec.lateness_us for one in both.of_topic("events.visits")]
    assert lateness == [3_600_000_000, 7_200_000_000]
    assert both.keys == current.keys | work_of(held, "").keys
    raw = [topic for topic in both.topics() if topic.name == "events.visits"]
    assert raw == [current.streams["visits"].spec.topic]  # as long as it was kept before
    logs = {f"features.{key}.{one.name}" for one in both.parts for key in keys_of(one)}
    assert logs <= {topic.name for topic in both.topics()}


def test_when_nothing_is_held_the_work_is_the_current_generations(
    project: project_pb2.Project,
) -> None:
    work = all_work(Applied(project, "c" * 64, 7))
    assert work == work_of(project, "00000007-cccccccccccc")
    assert len(work.of_topic("events.visits")) == 1


async def goes_over(applied: Applied, present: Applied) -> bool:
    """Say whether a worker is ready to go over at once, without building anything."""
    at_work = all_work(present).keys
    going = asyncio.create_task(prepare(applied, present, at_work, frozenset))
    await asyncio.sleep(0)
    done = going.done()
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    return done


async def test_a_worker_stays_with_what_it_works_on_and_goes_over_when_that_is_held_no_longer(
    project: project_pb2.Project,
) -> None:
    held = changed_project(project)
    alone = Applied(project, "c", 1)
    both = Applied(project, "c", 1, Held(held, "h"))
    assert not await goes_over(alone, alone)
    assert not await goes_over(both, both)
    assert await goes_over(alone, both)  # aborted


async def test_a_switch_to_what_was_held_builds_nothing(project: project_pb2.Project) -> None:
    held = changed_project(project)
    both = Applied(project, "c", 1, Held(held, "h"))
    assert await goes_over(Applied(held, "h", 2), both)
    further = changed_project(held)
    further.views[0].filter = "amount > 2"
    assert await goes_over(Applied(held, "h", 2, Held(further, "k")), both)  # k is built afterwards
