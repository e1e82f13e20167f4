"""Let the faults of a scenario strike, each at its time, and heal all of them at the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tests.chaos.checkers import Recovery
from tests.chaos.faults import CHANGE_S, Do, Fault, Scenario
from tests.chaos.operating import Operator
from tests.chaos.particular import Slowed
from tests.chaos.proxy import FaultProxy, Mode
from tests.chaos.publishing import Intruder
from tests.chaos.slowing import slow
from tests.chaos.stage import Cast
from tests.chaos.traffic import PARTITIONS
from tidemill_common import topics
from tidemill_common.feature_views import ViewSpec
from tidemill_common.kafka import Record, TopicPartition, administering
from tidemill_common.kafka.ranges import stretch

JOIN_S: Final = 120.0
"""Until a worker that was started must be a member, of whatever there is for it to own."""
LOOK_S: Final = 0.1
TOGETHER_S: Final = 0.5
"""Faults that end within it followed nobody."""
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

    def recovery(self, slower: float) -> Recovery:
        """Return what must be well again, and when, on a machine that is so much slower."""
        limit_s = self.fault.noticed_s + slower * self.fault.recovery_s
        return Recovery(self.fault.name, self.ended_s, limit_s)


def alone(struck: Sequence[Struck], slower: float) -> list[Struck]:
    """Return the faults that no other followed, in a way of theirs, before they had to be over."""
    return [
        one
        for one in struck
        if not any(
            one.ended_s + TOGETHER_S < other.ended_s
            and other.began_s < one.recovery(slower).due_s
            and one.fault.ways & other.fault.ways
            for other in struck
        )
    ]


@dataclass(slots=True)
class Striker:
    """Strikes one run; every fault is over when its call returns."""

    cast: Cast
    proxies: Mapping[str, FaultProxy]
    intruder: Intruder
    views: tuple[ViewSpec, ...]
    operator: Operator
    seed: int
    struck: list[Struck] = field(default_factory=list)
    slowed: list[Slowed] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    """When a member of the group had left it or joined it again."""

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
        """Leave, asked to or killed, and join again, at every second change of a storm of two."""
        stack, name = self.cast.stage.stack, self.cast.process(fault.target)
        dice, began = random.Random(f"{self.seed}/{fault.target}"), time.monotonic()
        due = began
        while due < began + fault.for_s:
            await asyncio.to_thread(dice.choice([stack.stop_process, stack.kill_and_hold]), name)
            due = await self._changed(due)
            told = self.cast.assignments(fault.target)
            stack.start_process(name)
            async with asyncio.timeout(JOIN_S):
                while self.cast.assignments(fault.target) == told:
                    await asyncio.sleep(LOOK_S)
            due = await self._changed(due)

    async def _changed(self, due: float) -> float:
        """Note a change and wait until the next of the same worker is due; return when that is."""
        self.changes.append(time.monotonic())
        due += 2 * CHANGE_S
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        return due

    async def _network(self, fault: Fault) -> None:
        proxy = self.proxies[fault.target]
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
