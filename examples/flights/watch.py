"""Watch the platform while it works: runs, versions, alerts; hold the clock while a run is open.

The replay compresses months into minutes, but a run takes as long as it takes. In life a run of
ten seconds is over before the next flight is announced; so the replay's clock stands while a run or
the gates are at work, and the compression does not make the platform look slow.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from replay import MODEL

from tidemill.aio import AsyncClient
from tidemill.errors import TidemillError
from tidemill.monitoring.v1 import monitoring_service_pb2 as monitoring_pb
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.training.v1 import training_service_pb2 as training_pb

EVERY_S = 0.3
OPEN_RUN = (training_pb.RUN_STATE_QUEUED, training_pb.RUN_STATE_RUNNING)
LONGEST_HOLD_S = 90.0


@dataclass(slots=True)
class Seen:
    """The latest state of everything watched."""

    runs: list[training_pb.Run] = field(default_factory=list)
    versions: list[registry_pb.Version] = field(default_factory=list)
    alerts: list[monitoring_pb.Alert] = field(default_factory=list)
    rollout: registry_pb.RolloutRow = field(default_factory=registry_pb.RolloutRow)
    held_s: float = 0.0
    problem: str = ""

    @property
    def busy(self) -> str:
        """What is at work now, empty if nothing is."""
        for run in self.runs:
            if run.state in OPEN_RUN:
                return f"run {run.run_id[:8]}: {run.stage or 'queued'}"
        for version in self.versions:
            if version.stage == registry_pb.STAGE_CANDIDATE:
                return f"version {version.number}: gates"
        return ""


class Watch:
    """Polls until cancelled; a service that is away for a moment is only noted."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._free = asyncio.Event()
        self._free.set()
        self.seen = Seen()

    async def run(self) -> None:
        """Poll for ever."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Ask everything once."""
        seen = self.seen
        try:
            seen.runs = await self._client.runs(MODEL, limit=100)
            seen.versions = await self._client.versions(MODEL, limit=100)
            seen.alerts = await self._client.alerts(MODEL, limit=500)
            seen.rollout = next(iter(await self._client.rollouts(MODEL)), seen.rollout)
            seen.problem = ""
        except TidemillError as error:
            seen.problem = error.message
        if seen.busy:
            self._free.clear()
        else:
            self._free.set()

    async def hold(self) -> None:
        """Wait while a run or the gates are at work, but never for ever."""
        if self._free.is_set():
            return
        begun = time.monotonic()
        try:
            async with asyncio.timeout(LONGEST_HOLD_S):
                await self._free.wait()
        except TimeoutError:
            self.seen.problem = f"{self.seen.busy} is slow; the clock goes on"
        self.seen.held_s += time.monotonic() - begun
