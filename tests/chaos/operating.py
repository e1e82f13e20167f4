"""What an operator does in a run: apply a changed project, and put dead letters back."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.ledger import Ledger, Outcome
from tests.chaos.particular import Replayed
from tests.chaos.publishing import encoded
from tests.chaos.registering import Registry
from tests.chaos.stage import Cast
from tests.chaos.traffic import PARTITIONS, Traffic, widened
from tidemill.aio import AsyncClient
from tidemill.errors import Invalid, TidemillError
from tidemill_common import topics
from tidemill_common.feature_views import StreamSpec
from tidemill_common.kafka import Producer, Record, dead_letters

LETTERS: Final = 1_000
KILLS: Final = 2
KILLED_AFTER_S: Final = 1.0
"""In the middle of a replay, which takes some seconds."""
REPLAY_S: Final = 60.0
ORIGIN: Final = dead_letters.Origin("chaos", "chaos", "planted")
_AGAIN_S: Final = 0.2


@dataclass(slots=True)
class Operator:
    """Acts on one run."""

    cast: Cast
    client: AsyncClient
    registry: Registry
    spec: StreamSpec
    producer: Producer
    traffic: Traffic
    ledger: Ledger
    replayed: list[Replayed] = field(default_factory=list)

    async def apply(self) -> None:
        """Give the stream a field more: services take the new generation up while they run."""
        await self.registry.apply(widened(self.spec.name))

    async def replay(self) -> None:
        """Put planted dead letters back; the service that does it is killed in the middle, twice."""
        ids, positions = await self._plant()
        cut_off = 0
        for _ in range(KILLS):
            asked = asyncio.create_task(self._replay(positions))
            await asyncio.sleep(KILLED_AFTER_S)
            self.cast.stage.stack.kill(self.cast.process("ingestion"))
            try:
                await asked
            except TidemillError:
                cut_off += 1
        refused = await self._all(positions)
        second, _ = await self._replay(positions)
        for one in ids:
            self.ledger.note(one, Outcome.OK)
        self.replayed.append(Replayed(tuple(ids), cut_off, refused, second))

    async def _plant(self) -> tuple[list[str], list[int]]:
        """Set good rows aside, as an older release might have; return ids and positions."""
        sent = await asyncio.gather(*(self._plant_one(number) for number in range(LETTERS)))
        return [name for name, _ in sent], [position for _, position in sent]

    async def _plant_one(self, number: int) -> tuple[str, int]:
        row, topic = self.traffic.good(0), self.spec.topic.name
        partition = topics.partition_of(topics.key_bytes([row.user]), PARTITIONS)
        record = Record(topic, partition, number, 0, None, encoded(self.spec, [row]), ())
        error = Invalid("set aside by an older release")
        self.ledger.note(row.id, Outcome.UNKNOWN)
        sent = await dead_letters.write(self.producer, record, error, ORIGIN, row=0)
        return row.id, sent.offset

    async def _all(self, positions: list[int]) -> int:
        """Ask until a call gets to its end; return how many were refused."""
        async with asyncio.timeout(REPLAY_S):
            while True:
                with contextlib.suppress(TidemillError):
                    _, refused = await self._replay(positions)
                    return refused
                await asyncio.sleep(_AGAIN_S)

    async def _replay(self, positions: list[int]) -> tuple[int, int]:
        reply = await self.client.replay_dead_letters(self.spec.name, positions)
        return reply.replayed, reply.refused
