"""Where routing tables come from: the registry's rollout rows, by event and by slow reconciling."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from tidemill.errors import TidemillError
from tidemill.registry.v1 import events_pb2, registry_service_pb2
from tidemill_common import rpc, topics
from tidemill_common.kafka import TopicPartition, administering, following
from tidemill_serving.routing import Pin, Table, limit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub
    from tidemill_common.kafka import Broker, Record

logger = logging.getLogger(__name__)

RECONCILE_SECONDS: Final = 5.0
FIRST_SECONDS: Final = 0.2


def table_of(row: registry_service_pb2.RolloutRow) -> Table:
    """Turn a rollout row into a routing table."""
    canary = row.state == registry_service_pb2.ROLLOUT_STATE_CANARY
    return Table(
        model=row.model,
        version=row.table_version,
        salt=row.salt,
        champion=_pin(row.champion, row.champion_digest),
        challenger=_pin(row.challenger, row.challenger_digest) if canary else None,
        previous=None,
        limit=limit_of(row.share) if canary else 0,
    )


def _pin(number: int, digest: str) -> Pin | None:
    return Pin(number, digest) if number else None


class RouteSource:
    """Tells `want` every table, as soon as the registry announces it."""

    def __init__(self, stub: RegistryServiceAsyncStub, want: Callable[[Table], None]) -> None:
        """Read rollouts by `stub`."""
        self._stub = stub
        self._want = want
        self._digests: dict[tuple[str, int], str] = {}
        self._hint = asyncio.Event()
        self.rows: dict[str, registry_service_pb2.RolloutRow] = {}
        self.loaded = asyncio.Event()

    async def run(self, broker: Broker, stop: asyncio.Event) -> None:
        """Follow registry.events from its end, and ask for everything now and then."""
        tp = TopicPartition(topics.REGISTRY_EVENTS.name, 0)
        async with administering(broker) as admin:
            await admin.ensure([topics.REGISTRY_EVENTS])
            end = (await admin.end_offsets([tp]))[tp]
        async with following(broker, {tp: end}, self._announced, on_reset=lambda _: None):
            while not stop.is_set():
                fresh = await self.reconcile()
                await self._pause(stop, RECONCILE_SECONDS if fresh else FIRST_SECONDS)

    async def reconcile(self) -> bool:
        """Ask the registry for all rollouts; whether it answered."""
        try:
            reply = await rpc.call(
                self._stub.GetRollout, registry_service_pb2.GetRolloutRequest(), timeout=5.0
            )
        except TidemillError as error:
            logger.warning("routes.registry_away", extra={"error": repr(error)})
            return False
        for row in reply.rollouts:
            self.rows[row.model] = row
            self._want(await self._with_previous(row))
        self.loaded.set()
        return True

    async def _with_previous(self, row: registry_service_pb2.RolloutRow) -> Table:
        """Add the version that a rollback returns to; the row has no digest of it."""
        table = table_of(row)
        number = row.previous_champion
        if not number:
            return table
        key = (row.model, number)
        if key not in self._digests:
            request = registry_service_pb2.GetVersionRequest(model=row.model, number=number)
            try:
                reply = await rpc.call(self._stub.GetVersion, request, timeout=5.0)
            except TidemillError as error:
                logger.warning("routes.no_way_back", extra={"error": repr(error)})
                return table
            self._digests[key] = reply.version.digest
        return replace(table, previous=Pin(number, self._digests[key]))

    def _announced(self, _: TopicPartition, records: Sequence[Record]) -> None:
        for record in records:
            try:
                event = events_pb2.RegistryEvent.FromString(record.value or b"")
            except DecodeError:
                logger.warning("routes.unreadable", extra={"offset": record.offset})
                continue
            if event.WhichOneof("event") in {"rollout_moved", "project_applied"}:
                self._hint.set()

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        tasks = [asyncio.create_task(self._hint.wait()), asyncio.create_task(stop.wait())]
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        self._hint.clear()
