"""What services say of themselves: their counters, and how many tasks their loops have."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from statistics import median_low
from typing import Final

from tests.chaos.enduring import Counted
from tidemill_common.beside import beside

METRICS_S: Final = 10.0
EVERY_S: Final = 0.5
TASKS: Final = "tidemill_loop_tasks"


def told(addresses: Iterable[str]) -> dict[str, float]:
    """Return the metrics of some services, summed over everything but their names."""
    found: dict[str, float] = defaultdict(float)
    for address in addresses:
        host, _, port = address.rpartition(":")
        with contextlib.closing(HTTPConnection(host, int(port), timeout=METRICS_S)) as connection:
            connection.request("GET", "/metrics")
            for line in connection.getresponse().read().decode().splitlines():
                if not line.startswith("#"):
                    name, _, value = line.rpartition(" ")
                    found[name.partition("{")[0]] += float(value)
    return dict(found)


@dataclass(slots=True)
class TaskCount:
    """How many tasks each service has, again and again; `services` are their metrics' addresses."""

    services: Mapping[str, str]
    seen: dict[str, list[Counted]] = field(default_factory=lambda: defaultdict(list))

    async def counting(self) -> None:
        """Count for ever."""
        while True:
            for role in self.services:
                await self.count(role)
            await asyncio.sleep(EVERY_S)

    async def count(self, role: str) -> None:
        """Count once; who does not answer is not counted."""
        with contextlib.suppress(OSError, HTTPException):
            found = await asyncio.to_thread(told, [self.services[role]])
            self.seen[role].append(Counted(time.monotonic(), int(found[TASKS])))

    def fewest(self, from_s: float, to_s: float) -> dict[str, int | None]:
        """Return the fewest tasks of each service between two moments; None: nobody could say."""
        return {
            role: min(self._between(role, from_s, to_s), default=None) for role in self.services
        }

    def usual(self, from_s: float, to_s: float) -> dict[str, int | None]:
        """Return their median likewise: calls come and go, and a process opens what it needs late."""
        found = {role: self._between(role, from_s, to_s) for role in self.services}
        return {role: median_low(tasks) if tasks else None for role, tasks in found.items()}

    def _between(self, role: str, from_s: float, to_s: float) -> list[int]:
        return [one.tasks for one in self.seen[role] if from_s <= one.at_s < to_s]


@contextlib.asynccontextmanager
async def counting(services: Mapping[str, str]) -> AsyncIterator[TaskCount]:
    """Count the tasks of services while the block runs."""
    count = TaskCount(services)
    async with beside(count.counting(), "tasks"):
        yield count
