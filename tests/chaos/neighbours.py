"""Read and publish, again and again, beside a partition that stops: how its neighbours fare."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tests.chaos.faults import Do
from tests.chaos.ledger import Ledger, Outcome
from tests.chaos.particular import Neighbours
from tests.chaos.publishing import to_event
from tests.chaos.striking import STOPPED, Struck
from tests.chaos.traffic import HOT, PARTITIONS, SECOND_US, Traffic
from tidemill.aio import AsyncClient
from tidemill.errors import TidemillError
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill_common import topics
from tidemill_common.feature_views import StreamSpec

EVERY_S: Final = 0.05
TIMEOUT_S: Final = 4.0
P99: Final = 0.99


@dataclass(frozen=True, slots=True)
class Took:
    """One look at a neighbour: when, and how long reading and publish-to-readable took."""

    at_s: float
    read_s: float
    readable_s: float


@dataclass(slots=True)
class Neighbour:
    """Publishes events of entities in the other partitions, and reads them back by their token."""

    client: AsyncClient
    spec: StreamSpec
    traffic: Traffic
    ledger: Ledger
    took: list[Took] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """Look for so long."""
        began = time.monotonic()
        users = [f"u{number}" for number in range(HOT) if partition_of(f"u{number}") != STOPPED]
        for user in itertools.cycle(users):
            if (elapsed := time.monotonic() - began) > seconds:
                return
            with contextlib.suppress(TidemillError):
                await self._look(user, elapsed)
            await asyncio.sleep(EVERY_S)

    async def _look(self, user: str, elapsed_s: float) -> None:
        view, entities = f"{self.spec.name}_users", [{"user": user}]
        began = time.monotonic()
        await self.client.get_features(view, entities, timeout=TIMEOUT_S)
        read = time.monotonic()
        row = replace(self.traffic.good(int(elapsed_s * SECOND_US)), user=user)
        self.ledger.note(row.id, Outcome.UNKNOWN)
        reply = await self.client.publish([to_event(self.spec.name, row)], timeout=TIMEOUT_S)
        if reply.results[0].outcome == pb.OUTCOME_ACCEPTED:
            self.ledger.note(row.id, Outcome.OK)
            await self.client.get_features(view, entities, token=reply.token, timeout=TIMEOUT_S)
            self.took.append(Took(began, read - began, time.monotonic() - read))


def partition_of(user: str) -> int:
    """Return the partition of a user's events."""
    return topics.partition_of(topics.key_bytes([user]), PARTITIONS)


def compared(took: Sequence[Took], struck: Sequence[Struck]) -> Neighbours:
    """Compare looks from before a burst with those between its end and the next fault."""
    (burst,) = [one for one in struck if one.fault.do is Do.BURST]
    healed_s = min(one.began_s for one in struck if one.began_s > burst.ended_s)
    before = [one for one in took if one.at_s < burst.began_s]
    beside = [one for one in took if burst.ended_s <= one.at_s < healed_s]
    return Neighbours(
        looks=(len(before), len(beside)),
        read_p99_s=(p99([one.read_s for one in before]), p99([one.read_s for one in beside])),
        readable_p99_s=(
            p99([one.readable_s for one in before]),
            p99([one.readable_s for one in beside]),
        ),
    )


def p99(seconds: Sequence[float]) -> float:
    """Return the smallest value that 99 of a hundred do not exceed; 0 of none."""
    return sorted(seconds)[math.ceil(P99 * len(seconds)) - 1] if seconds else 0.0
