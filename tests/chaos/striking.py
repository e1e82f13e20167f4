"""Let the faults of a scenario strike, each at its time, and heal all of them at the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tests.chaos.checkers import Recovery
from tests.chaos.operating import Operator
from tests.chaos.particular import Slowed
from tests.chaos.plans import SESSION_S, Do, Fault, Scenario
from tests.chaos.proxy import FaultProxy, Mode
from tests.chaos.publishing import Intruder
from tests.chaos.slowing import slow
from tests.chaos.stage import Cast
from tests.chaos.traffic import PARTITIONS
from tidemill_common import topics
from tidemill_common.feature_views import ViewSpec
from tidemill_common.kafka import Record, TopicPartition, administering
from tidemill_common.kafka.ranges import stretch

STORM_S: Final = 2.0
"""How long a worker stays in a storm."""
BURST: Final = 150
"""Garbage in a row, more than a partition takes before it stops."""
STOPPED: Final = 0
"""The partition that it comes to."""
REFUSED_BYTES: Final = 100
REFUSED_S: Final = 1.5


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that happened: when, on the monotonic and on the wall clock."""

    fault: Fault
    began_s: float
    ended_s: float
    began_ms: float
    ended_ms: float

    @property
    def at_edge(self) -> bool:
        """Tell whether publishers feel it too."""
        return self.fault.target in {"broker", "ingestion", "publisher"}

    def recovery(self, slower: float) -> Recovery:
        """Return what must be well again, and when, on a machine that is so much slower."""
        return Recovery(self.fault.name, self.ended_s, slower * self.fault.recovery_s)


def alone(struck: Sequence[Struck], slower: float) -> list[Struck]:
    """Return the faults that no other followed before they had to be over."""
    return [
        one
        for one in struck
        if not any(
            one.ended_s < other.ended_s and other.began_s < one.recovery(slower).due_s
            for other in struck
        )
    ]


@dataclass(slots=True)
class Striker:
    """Strikes one run; every fault is over when its call returns."""

    cast: Cast
    publisher_edge: FaultProxy
    intruder: Intruder
    views: tuple[ViewSpec, ...]
    operator: Operator
    seed: int
    struck: list[Struck] = field(default_factory=list)
    slowed: list[Slowed] = field(default_factory=list)

    async def run(self, scenario: Scenario, began: float) -> None:
        """Strike each fault at its time, several at once if they overlap."""
        async with asyncio.TaskGroup() as faults:
            for fault in scenario.faults:
                faults.create_task(self._at_its_time(fault, began), name=fault.name)

    async def _at_its_time(self, fault: Fault, began: float) -> None:
        await asyncio.sleep(max(0.0, began + fault.at_s - time.monotonic()))
        first, first_ms = time.monotonic(), time.time() * 1_000
        await self._strike(fault)
        self.struck.append(Struck(fault, first, time.monotonic(), first_ms, time.time() * 1_000))

    async def _strike(self, fault: Fault) -> None:
        kinds: dict[Do, Callable[[Fault], Awaitable[None]]] = {
            Do.KILL: self._kill,
            Do.PAUSE: self._pause,
            Do.STOP: self._stop,
            Do.STORM: self._storm,
            Do.NETWORK: self._network,
            Do.REPUBLISH: self._republish,
            Do.POISON: self._poison,
            Do.REFUSE: self._refuse,
            Do.BURST: self._burst,
            Do.SLOW: self._slow,
            Do.APPLY: self._apply,
            Do.REPLAY: self._replay,
        }
        await kinds[fault.do](fault)

    async def _kill(self, fault: Fault) -> None:
        stack, name = self.cast.stage.stack, self.cast.process(fault.target)
        if fault.for_s:
            await asyncio.to_thread(stack.kill_and_hold, name)
            await asyncio.sleep(fault.for_s)
            stack.start_process(name)
        else:
            stack.kill(name)
        if fault.target == "broker":
            await asyncio.sleep(0.5)
            await asyncio.to_thread(stack.wait_ready, name)

    async def _pause(self, fault: Fault) -> None:
        stack, name = self.cast.stage.stack, self.cast.process(fault.target)
        stack.pause(name)
        await asyncio.sleep(fault.for_s)
        stack.resume(name)

    async def _stop(self, fault: Fault) -> None:
        stack, name = self.cast.stage.stack, self.cast.process(fault.target)
        await asyncio.to_thread(stack.stop_process, name)
        await asyncio.sleep(fault.for_s)
        stack.start_process(name)

    async def _storm(self, fault: Fault) -> None:
        """Leave and join again: asked to or killed, for a moment or until the group goes on alone."""
        stack, name = self.cast.stage.stack, self.cast.process(fault.target)
        dice, end = random.Random(self.seed), time.monotonic() + fault.for_s
        while time.monotonic() < end:
            await asyncio.to_thread(dice.choice([stack.stop_process, stack.kill_and_hold]), name)
            await asyncio.sleep(dice.choice([0.0, SESSION_S + 1.0]))
            stack.start_process(name)
            await asyncio.to_thread(stack.wait_ready, name)
            await asyncio.sleep(STORM_S)

    async def _network(self, fault: Fault) -> None:
        proxies = self.cast.stage.proxies
        proxy = self.publisher_edge if fault.target == "publisher" else proxies[fault.target]
        proxy.set(fault.mode)
        await asyncio.sleep(fault.for_s)
        proxy.set(Mode.OPEN)

    async def _republish(self, fault: Fault) -> None:
        """Append the newest records of every partition again."""
        broker, topic = self.cast.stage.broker, self.intruder.spec.topic.name
        tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        async with administering(broker) as admin:
            ends = await admin.end_offsets(tps)
        found: list[Record] = []
        for tp, end in ends.items():
            first = max(0, end - fault.records)
            found += [r async for some in stretch(broker, tp, first, end) for r in some]
        await self.intruder.again(found)

    async def _poison(self, fault: Fault) -> None:
        """Add garbage to every partition, one record in a hundredth of a second."""
        dice, end = random.Random(self.seed), time.monotonic() + fault.for_s
        while time.monotonic() < end:
            self.intruder.poison(dice.randrange(PARTITIONS))
            await asyncio.sleep(0.01)

    async def _burst(self, fault: Fault) -> None:
        """Add garbage in a row to one partition, each second."""
        end = time.monotonic() + fault.for_s
        while time.monotonic() < end:
            for _ in range(BURST):
                self.intruder.poison(STOPPED)
            await asyncio.sleep(1.0)

    async def _slow(self, fault: Fault) -> None:
        self.slowed.append(await slow(self.cast, fault.target, fault.for_s))

    async def _apply(self, _: Fault) -> None:
        await self.operator.apply()

    async def _replay(self, _: Fault) -> None:
        await self.operator.replay()

    async def _refuse(self, _: Fault) -> None:
        """Let the broker take no feature log and no late row for a while."""
        logs = [log for view in self.views for log in view.logs()]
        logs.append(topics.late(self.intruder.spec.topic.name))
        small = [
            replace(log, more_config={**log.more_config, "max.message.bytes": str(REFUSED_BYTES)})
            for log in logs
        ]
        async with administering(self.cast.stage.broker) as admin:
            await admin.ensure(small)
            await asyncio.sleep(REFUSED_S)
            await admin.ensure(logs)
