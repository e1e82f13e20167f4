"""Each of these checkers passes what may be and finds what may not; what they are given is measured right."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from dataclasses import replace

import pytest

from tests.chaos import calling
from tests.chaos.calling import BEAT_S, Inquirer, remembering
from tests.chaos.checkers import Seen
from tests.chaos.enduring import Call, Counted, Throughput, deadlines, tasks, throughput
from tests.chaos.faults import Do, Fault
from tests.chaos.scraping import TaskCount
from tests.chaos.storming import throughput_of
from tests.chaos.striking import Struck
from tests.chaos.test_report import a_watch
from tests.chaos.traffic import PROJECT
from tests.chaos.watching import Watch
from tidemill import aio
from tidemill.addresses import Addresses
from tidemill.errors import DeadlineExceeded
from tidemill.project import loads, normalise
from tidemill_common import metrics, metrics_http
from tidemill_features.testing import one_project

WELL = Throughput(
    before=100.0, offered=90.0, during=60.0, worst=30.0, stretch_s=10.0, changes=20, change_s=3.1
)
CHANGES = [3.0 * number for number in range(1, 12)]
STORM = Struck(Fault(3.0, Do.STORM, "worker-a", 30.0), 3.0, 33.0, 3_000.0, 33_000.0)


def test_a_storm_takes_at_most_seventy_hundredths_of_what_is_decided_in_any_stretch() -> None:
    assert throughput(WELL, 3.6) == []
    for wrong in (
        replace(WELL, worst=29.0),
        replace(WELL, during=29.0, worst=29.0),
        replace(WELL, offered=101.0),
        replace(WELL, before=0.0, offered=0.0),
        replace(WELL, change_s=3.7),
    ):
        assert [one.checker for one in throughput(wrong, 3.6)] == ["C17 throughput"]


def a_stormy_watch(*decided_s: int) -> Watch:
    """Return a watch over ten records a second, decided at these seconds."""
    watch = a_watch()
    (log,) = watch.logs
    watch.appended = [(second * 1_000.0, 10 * second) for second in range(40)]
    watch.seen[log] = [Seen(at, 10 * at, 0, "1", at * 1_000) for at in decided_s]
    return watch


def test_what_is_decided_in_a_storm_is_counted_in_its_worst_stretch_too() -> None:
    found = throughput_of(a_stormy_watch(*range(40)), [STORM], CHANGES, 1.0)
    assert found == Throughput(10.0, 10.0, 10.0, 10.0, 10.0, 11, 3.0)
    stands = throughput_of(a_stormy_watch(*range(12), *range(22, 40)), [STORM], CHANGES, 1.0)
    assert stands is not None
    assert (stands.during, stands.worst) == (10.0, 0.0)
    assert throughput(stands, 3.0) != []
    assert throughput_of(a_stormy_watch(1), [], [], 1.0) is None


def test_a_storm_is_that_of_all_its_workers_and_none_without_changes() -> None:
    other = replace(STORM, began_s=6.0, ended_s=36.0, began_ms=6_000.0, ended_ms=36_000.0)
    found = throughput_of(a_stormy_watch(*range(34)), [other, STORM], [3.0], 9.0)
    assert found is not None
    assert (found.stretch_s, found.change_s) == (33.0, math.inf)
    assert [one.checker for one in throughput(found, 1e9)] == ["C17 throughput"]


def test_a_slower_machine_gets_longer_stretches_at_most_the_whole_storm() -> None:
    watch = a_stormy_watch(*range(12), *range(22, 40))
    for slower, stretch_s in ((2.0, 20.0), (9.0, 30.0)):
        found = throughput_of(watch, [STORM], CHANGES, slower)
        assert found is not None
        assert found.stretch_s == stretch_s
        assert throughput(found, 3.0) == []


def test_what_is_decided_is_what_the_slowest_view_has_decided_by_then() -> None:
    watch = a_stormy_watch(1, 2, 5)
    assert [watch.decided(at) for at in (0.0, 2_000.0, 4_999.0, 9_000.0)] == [0, 20, 20, 50]


def test_a_call_that_outlasts_its_deadline_or_never_ends_is_found() -> None:
    well = Call("publish", 10.0, 4.0, 14.2)
    assert deadlines([well], 0.5) == []
    for wrong in (replace(well, ended_s=14.6), replace(well, ended_s=None)):
        (finding,) = deadlines([well, wrong], 0.5)
        assert (finding.checker, finding.count) == ("C18 deadlines", 1)


async def test_a_client_remembers_the_deadline_and_the_end_of_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        services = ("ingestion", "features", "serving", "registry")
        where = Addresses(dict.fromkeys(services, address), "who says nothing")
        monkeypatch.setattr(aio, "TIMEOUT", 0.4)
        monkeypatch.setattr(calling, "TIMEOUT", 0.4)
        calls: list[Call] = []
        async with remembering(where, calls) as client:
            with pytest.raises(DeadlineExceeded):
                await client.publish([], timeout=0.2)
            with pytest.raises(DeadlineExceeded):
                await client.get_features("v", [], timeout=0.3)
            with pytest.raises(DeadlineExceeded):
                await client.predict("m", [], timeout=0.1)
            with pytest.raises(DeadlineExceeded):
                await client.project()
    assert [(one.name, one.limit_s) for one in calls] == [
        ("publish", 0.2),
        ("get_features", 0.3),
        ("predict", 0.1),
        ("project", 0.4),
    ]
    assert deadlines(calls, 0.5) == []


async def test_an_inquirer_asks_and_writes_and_notes_what_came_of_each_call() -> None:
    """The stand-in answers what it is asked, and takes no project from a client."""
    project = normalise(loads(PROJECT.format(stream="s")).project)
    async with one_project(project) as (address, _):
        where = Addresses({"registry": address}, "a stand-in")
        async with remembering(where) as client:
            inquirer = Inquirer(client, project)
            await inquirer.run(0.5)
    names = [one.name for one in client.calls]
    assert set(names) == {"apply", "project"}
    assert [one.applied_s is None for one in inquirer.samples] == [n == "apply" for n in names]
    assert inquirer.failed == names.count("apply")


async def test_a_call_that_would_never_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "NEVER_S", 0.01)
    async with remembering(Addresses({}, "nowhere")) as client:
        with pytest.raises(DeadlineExceeded):
            async with client.remembered("deaf", 0.01):
                await asyncio.Event().wait()
    assert [one.over_s for one in client.calls] == [None]


async def test_a_call_is_not_late_because_the_harness_stood_still() -> None:
    async with remembering(Addresses({}, "nowhere")) as client, client.remembered("quick", 0.1):
        await asyncio.sleep(2 * BEAT_S)
        time.sleep(1.0)  # noqa: ASYNC251 (the loop stands)
        await asyncio.sleep(0.0)
    assert deadlines(client.calls, 0.5) == []


async def test_tasks_are_those_of_the_loop_and_more_of_them_than_before_are_found() -> None:
    metrics.gauge("tidemill_loop_tasks").set(7)
    with metrics_http.serving("127.0.0.1:0") as address:
        count = TaskCount({"server": address, "worker-a": "127.0.0.1:1"})
        await count.count("server")
        metrics.gauge("tidemill_loop_tasks").set(9)
        await count.count("server")
        await count.count("worker-a")
    assert [one.tasks for one in count.seen["server"]] == [7, 9]
    assert count.fewest(0.0, math.inf) == {"server": 7, "worker-a": None}
    later_s = count.seen["server"][1].at_s
    assert count.fewest(later_s, math.inf)["server"] == 9


def test_what_a_service_usually_has_is_no_moment_at_which_it_had_less() -> None:
    count = TaskCount({"server": "here", "worker-a": "there"})
    for at_s, number in enumerate((5, 8, 9, 8, 3, 8)):
        count.seen["server"].append(Counted(float(at_s), number))
    assert count.usual(0.0, math.inf) == {"server": 8, "worker-a": None}
    assert count.usual(2.0, 4.0)["server"] == 8
    assert count.fewest(0.0, math.inf)["server"] == 3


def test_tasks_that_are_left_over_or_that_nobody_could_count_are_found() -> None:
    assert tasks({"server": 7}, {"server": 7}) == tasks({"server": 7}, {"server": 6}) == []
    for before, after in (
        ({"server": 7}, {"server": 8}),
        ({"server": 7}, {"server": None}),
        ({"server": None}, {"server": 7}),
    ):
        assert [one.checker for one in tasks(before, after)] == ["C19 tasks"]
