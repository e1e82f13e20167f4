"""Topics that others write, in three encodings: exact features, and each bad record set aside once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.integration.driver import addresses, eventually
from tests.integration.foreign import (
    ENCODERS,
    HIGHEST_CENTS,
    App,
    Ride,
    make_topics,
    project,
    to_json,
    write,
)
from tidemill.client import Client, connect
from tidemill.errors import NotFound
from tidemill.project import loads, normalise
from tidemill_common import events
from tidemill_common.kafka import Broker, TopicPartition, administering
from tidemill_common.kafka.ranges import stretch
from tidemill_local.library import LocalStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

BRIDGE = "ingestion-bridge"
SERVICES = ("registry", "ingestion", BRIDGE, "features-worker", "features-server")
RECORDS, PARTS, PAUSE_S = 120, 20, 0.3
"""Records of one part of a topic."""


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    folder = tmp_path_factory.mktemp("foreign")
    with LocalStack(folder, services=SERVICES, parts=("postgres", "kafka")) as running:
        yield running


def apply(client: Client, text: str) -> None:
    loaded = loads(text)
    assert loaded.problems == []
    eventually(lambda: client.apply(normalise(loaded.project)), "apply")


def raw_ids(stack: LocalStack, name: str) -> Counter[str]:
    """Count the events of a raw topic by id, read from the broker itself."""

    async def read() -> Counter[str]:
        broker = Broker(stack.address("kafka"), "test")
        partitions = [TopicPartition(f"events.{name}", number) for number in range(2)]
        async with administering(broker) as admin:
            ends = await admin.end_offsets(partitions)
        found: Counter[str] = Counter()
        for tp in partitions:
            async for records in stretch(broker, tp, 0, ends[tp]):
                for record in records:
                    found.update(events.decode(record.value or b"").column("_id").to_pylist())
        return found

    return asyncio.run(read())


def served(client: Client, name: str, riders: list[str]) -> dict[str, tuple[int, int]]:
    reply = client.get_features(f"{name}_riders", [{"rider": rider} for rider in riders])
    names = list(reply.features)
    at = [names.index(each) for each in ("count_lifetime", "sum_cents_lifetime")]
    return {
        rider: (round(found.values[at[0]]), round(found.values[at[1]]))
        for rider, found in zip(riders, reply.entities, strict=True)
    }


def assert_exact(client: Client, name: str, expected: dict[str, tuple[int, int]]) -> None:
    riders = sorted(expected)

    def same() -> bool:
        try:
            return served(client, name, riders) == expected
        except (NotFound, ValueError):  # the view, or a rider, is not there yet
            return False

    eventually(same, f"exact features of {name}", 40.0)


def test_three_encodings_are_exact_although_the_bridge_is_killed(stack: LocalStack) -> None:
    now_ms = time.time_ns() // 1_000_000
    apps = [App(name, now_ms) for name in ENCODERS]
    kafka = stack.address("kafka")
    dear = [Ride(10**6 + n, HIGHEST_CENTS + n, now_ms) for n in (1, 2)]
    asyncio.run(make_topics(kafka, [app.name for app in apps]))
    asyncio.run(write(kafka, "js", [to_json(ride) for ride in dear]))
    with connect(addresses(stack), author="test") as client:
        apply(client, project())
        with ThreadPoolExecutor(1) as writer:
            writing = writer.submit(asyncio.run, write_all(kafka, apps))
            for _ in range(2):
                eventually(partial(more_than, stack, arrived(stack)), "the bridge at work")
                pid = stack.pid(BRIDGE)
                stack.kill(BRIDGE)
                stack.wait_back(BRIDGE, pid)
            writing.result()
        for app in apps:
            assert_exact(client, app.name, app.expected())
            assert raw_ids(stack, app.name) == app.ids()
            letters = client.dead_letters(app.name, limit=100)
            poison = app.poison + ([to_json(ride) for ride in dear] if app.name == "js" else [])
            assert Counter(one.value for one in letters.dead_letters) == Counter(poison)
            assert {one.topic for one in letters.dead_letters} == {f"{app.name}.raw"}

        apply(client, project(10 * HIGHEST_CENTS))
        replay_the_dear(client, apps[0], dear)
        assert raw_ids(stack, "js") == apps[0].ids() + Counter(ride.id for ride in dear)


async def write_all(kafka: str, apps: Sequence[App]) -> None:
    """Write for some seconds, so that the bridge dies in the middle of its work."""
    for _ in range(PARTS):
        for app in apps:
            await write(kafka, app.name, list(app.records(RECORDS)))
        await asyncio.sleep(PAUSE_S)


def arrived(stack: LocalStack) -> int:
    return sum(sum(raw_ids(stack, name).values()) for name in ENCODERS)


def more_than(stack: LocalStack, before: int) -> bool:
    return arrived(stack) > before


def replay_the_dear(client: Client, app: App, dear: list[Ride]) -> None:
    """What the project takes now is put back once; what is still bad is refused, with a reason.

    A dry run says the same of both, and does nothing.
    """

    def foreseen() -> bool:
        reply = client.replay_dead_letters(app.name, [], dry_run=True)
        return (reply.replayed, reply.refused, reply.already_replayed) == (
            len(dear),
            len(app.poison),
            0,
        )

    def replayed() -> bool:
        reply = client.replay_dead_letters(app.name, [])
        return reply.already_replayed == len(dear) and reply.refused == len(app.poison)

    eventually(foreseen, "the dear rides could be put back")
    eventually(replayed, "the dear rides are back")
    afterwards = client.replay_dead_letters(app.name, [], dry_run=True)
    assert (afterwards.replayed, afterwards.already_replayed) == (0, len(dear))
    assert len(afterwards.reasons) == afterwards.refused == len(app.poison)
