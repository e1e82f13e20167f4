"""One run: services, load, faults, quiet, checks, report."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.chaos import checkers, enduring, particular
from tests.chaos.calling import Asker, Inquirer, RememberingClient, remembering
from tests.chaos.course import Course
from tests.chaos.evidence import collect
from tests.chaos.faults import CHANGE_S, Scenario
from tests.chaos.forgetting import Forgetting, Kept, forgetful, keeping
from tests.chaos.neighbours import Neighbour
from tests.chaos.operating import Operator
from tests.chaos.pace import pacing
from tests.chaos.predicting import SERVED, VECTORS, Predictor, first_version, model_of
from tests.chaos.proxy import FaultProxy
from tests.chaos.publishing import Intruder, Publisher
from tests.chaos.registering import REGISTRY, Registry, registered
from tests.chaos.report import Report, reported
from tests.chaos.scraping import TaskCount, counting
from tests.chaos.stage import Cast, Stage, cast, fronted, start
from tests.chaos.striking import Striker, alone
from tests.chaos.traffic import CANARY, PARTITIONS, PROJECT, REPLAYED_US, Traffic, widened
from tests.chaos.watching import Watch, watching
from tidemill.addresses import Addresses
from tidemill.errors import Corrupt, DeadlineExceeded, TidemillError
from tidemill.ingestion.v1.ingestion_service_pb2 import Position
from tidemill.project import loads, normalise
from tidemill_common.feature_replica import FeatureReplica, replicating
from tidemill_common.feature_views import StreamSpec, ViewSpec, stream_spec, view_specs
from tidemill_common.kafka import Producer, TopicPartition, administering, producing

READY_S: Final = 60.0
SETTLE_S: Final = 60.0
SLACK: Final = 1.2
"""Of the time between two changes in a storm: the last of them waits for a process to start."""
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Running:
    """A run whose services are up: its project, and both replicas of its views."""

    cast: Cast
    proxies: Mapping[str, FaultProxy]
    spec: StreamSpec
    views: dict[str, ViewSpec]
    registry: Registry
    replica: FeatureReplica
    client: RememberingClient
    watch: Watch
    kept: Kept | None = None
    tasks: TaskCount | None = None

    @property
    def partitions(self) -> list[TopicPartition]:
        """Return the partitions of the raw topic."""
        return [TopicPartition(self.spec.topic.name, number) for number in range(PARTITIONS)]


async def perform(
    stage: Stage, scenario: Scenario, seed: int, *, mutant: str = "", patience_s: float = SETTLE_S
) -> Report:
    """Run a scenario, check it and say how it went; nothing of it runs afterwards."""
    began = time.monotonic()
    course = Course(scenario, seed, mutant)
    try:
        async with pacing() as course.pace, _running(stage, scenario, seed, mutant) as running:
            course.watch, course.tasks = running.watch, running.tasks
            course.calls = running.client.calls
            await _load(running, course)
            course.quiet_s = time.monotonic()
            course.settled_s = await _settled(running, patience_s * course.pace.worst)
            running.watch.finish()
            if course.forgetting is not None:
                await course.forgetting.complete()
                course.forgotten = await course.forgetting.look()
            course.evidence = await collect(running)
    except Corrupt as error:
        course.findings += checkers.unreadable(error.message)
    course.findings += _check(course)
    return reported(course, time.monotonic() - began)


@contextlib.asynccontextmanager
async def _running(
    stage: Stage, scenario: Scenario, seed: int, mutant: str
) -> AsyncIterator[Running]:
    """Start the services on a project of the run's own, and stop them."""
    run = f"{scenario.name}-{mutant}" if mutant else scenario.name
    stream = f"chaos_{run}".replace("-", "_")
    text = (f"{PROJECT}{SERVED}" if scenario.served else PROJECT).format(stream=stream)
    text = forgetful(text) if scenario.erases_at_s else text
    project = normalise(loads(text).project)
    spec, views = stream_spec(project, stream), view_specs(project)
    async with contextlib.AsyncExitStack() as stack:
        made = await cast(stage, run, scenario)
        proxies = await stack.enter_async_context(fronted(made, seed))
        registry = await stack.enter_async_context(registered(made, project))
        stack.push_async_callback(made.stop)
        others = [role for role in made.roles if role != REGISTRY]
        await start(made, others, registry.address, mutant)
        replica = await stack.enter_async_context(replicating(stage.broker))
        await replica.adopt(registry.project, registry.generation)
        async with asyncio.timeout(READY_S):
            await replica.caught_up()
        if scenario.served:
            await first_version(made, registry)
        partitions = [TopicPartition(spec.topic.name, number) for number in range(PARTITIONS)]
        watch = await stack.enter_async_context(watching(stage.broker, views, partitions))
        where = {
            "ingestion": made.address("publisher-edge"),
            "features": made.way("reader", "server"),
            "registry": registry.address,
        }
        client = await stack.enter_async_context(
            remembering(Addresses(where, "the run's services"))
        )
        kept = None
        if scenario.erases_at_s:
            kept = await stack.enter_async_context(keeping(stage.broker, spec))
        tasks = await stack.enter_async_context(counting(made.metrics)) if scenario.asks else None
        yield Running(made, proxies, spec, views, registry, replica, client, watch, kept, tasks)


async def _load(running: Running, course: Course) -> None:
    """Publish and strike; return when every event is decided and every fault is over."""
    cast, spec, scenario = running.cast, running.spec, course.scenario
    seed, ledger = course.seed, course.ledger
    base_us = time.time_ns() // 1_000 - REPLAYED_US
    async with producing(cast.stage.broker) as producer:
        ahead = stream_spec(widened(spec.name), spec.name) if scenario.ahead else None
        traffic = Traffic(seed + 1, base_us, "x")
        intruder = Intruder(producer, spec, traffic, ledger, seed, ahead)
        publisher = Publisher(running.client, spec, Traffic(seed, base_us), ledger, scenario.rate)
        operator = Operator(
            cast,
            running.client,
            running.registry,
            spec,
            producer,
            Traffic(seed + 2, base_us, "l"),
            ledger,
        )
        views = tuple(running.views.values())
        striker = Striker(cast, running.proxies, intruder, views, operator, seed)
        course.publisher, course.struck = publisher, striker.struck
        course.slowed, course.replayed = striker.slowed, operator.replayed
        course.changes = striker.changes
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publisher.run(scenario.seconds), name="publisher")
            tasks.create_task(intruder.run(scenario.seconds), name="intruder")
            tasks.create_task(striker.run(scenario, publisher.began), name="striker")
            for work in _particular(running, course, publisher, producer, base_us):
                tasks.create_task(work)
        await producer.flush(READY_S)


def _particular(
    running: Running, course: Course, publisher: Publisher, producer: Producer, base_us: int
) -> Iterator[Coroutine[None, None, None]]:
    """Give what only some scenarios do beside the load."""
    scenario, seed, ledger = course.scenario, course.seed, course.ledger
    if scenario.served:
        model = model_of(running.registry)
        elapsed_us = publisher.elapsed_us
        calls = running.client.calls
        course.predictor = Predictor(running.cast, model, base_us, elapsed_us, seed, calls)
        yield course.predictor.run(scenario.seconds)
    if scenario.asks:
        view = f"{running.spec.name}_users"
        course.asker = Asker(running.client, view, lambda: publisher.token)
        course.inquirer = Inquirer(running.client, running.registry.project)
        yield course.asker.run(scenario.seconds)
        yield course.inquirer.run(scenario.seconds)
    if scenario.stops:
        traffic = Traffic(seed + 4, base_us, "n")
        course.neighbour = Neighbour(running.client, running.spec, traffic, ledger)
        yield course.neighbour.run(scenario.seconds)
    if scenario.erases_at_s:
        course.forgetting = Forgetting(
            running.cast, running.client, running.spec, producer, ledger, base_us, seed
        )
        yield course.forgetting.run(scenario.seconds, scenario.erases_at_s, publisher.began)


async def _settled(running: Running, patience_s: float) -> dict[str, float | None]:
    """Return after how many seconds of quiet each replica had applied everything; None: never."""
    quiet = time.monotonic()
    async with administering(running.cast.stage.broker) as admin:
        ends = await admin.end_offsets(running.partitions)

    async def follower() -> float | None:
        positions = [
            Position(stream=running.spec.name, partition=tp.partition, next_offset=end)
            for tp, end in ends.items()
        ]
        try:
            await running.replica.wait_for(positions, timeout=patience_s)
        except DeadlineExceeded:
            return None
        return time.monotonic() - quiet

    async def server() -> float | None:
        while time.monotonic() < quiet + patience_s:
            with contextlib.suppress(TidemillError):
                found = (await running.client.describe_views()).views
                done = {(one.view, one.partition): one.position for one in found}
                if all(
                    done.get((view, tp.partition), -1) >= end
                    for view in running.views
                    for tp, end in ends.items()
                ):
                    return time.monotonic() - quiet
            await asyncio.sleep(_LOOK_S)
        return None

    one, other = await asyncio.gather(follower(), server())
    return {"follower": one, "server": other}


def _check(course: Course) -> list[checkers.Finding]:
    """Ask every checker."""
    watch, publisher, evidence = course.watch, course.publisher, course.evidence
    if watch is None or publisher is None:
        return []
    readers = {f"{tp.topic}/{tp.partition}": seen for tp, seen in watch.seen.items()}
    in_order = checkers.order(readers)
    if evidence is None:
        return in_order
    slower = course.pace.worst
    recoveries = alone(course.struck, slower)
    return [
        *in_order,
        *checkers.lost(course.ledger, evidence.expected.ids),
        *checkers.phantom(course.ledger, evidence.expected.ids),
        *checkers.effect(
            evidence.expected, evidence.replicas["follower"], evidence.late, evidence.dead
        ),
        *checkers.outputs(
            {"server": evidence.replicas["server"]},
            course.settled_s,
            slower * course.scenario.settle_s,
        ),
        *(
            found
            for way, samples in course.samples.items()
            for found in checkers.liveness(
                [one.recovery(slower) for one in recoveries if way in one.fault.ways], samples
            )
        ),
        *checkers.leaks(evidence.texts, CANARY),
        *checkers.stateless(evidence.files),
        *(particular.counted(evidence.expected, evidence.told) if course.scenario.counted else []),
        *particular.stopped(evidence.texts, wanted=course.scenario.stops),
        *particular.slow(course.slowed, publisher.samples, slower * checkers.LAG_S, evidence.told),
        *particular.replayed(evidence.expected, course.replayed),
        *enduring.deadlines(course.calls, slower * enduring.GRACE_S),
        *(enduring.tasks(*course.tasks_left) if course.tasks_left else []),
        *(
            enduring.throughput(course.throughput, slower * SLACK * CHANGE_S)
            if course.throughput
            else []
        ),
        *(particular.neighbours(course.neighbours, slower) if course.neighbours else []),
        *(particular.vectors(evidence.vectors, VECTORS) if evidence.vectors else []),
        *(particular.forgotten(course.forgotten, slower) if course.forgotten else []),
    ]
