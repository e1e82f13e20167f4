"""Decide about canaries: one process of all replicas, by a lease, from the prediction log.

Each canary has a runner of its own. A decision is a compare-and-set on the table version in the
registry, so that two leaders at once can do no more harm than one.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tidemill.errors import Conflict, FailedPrecondition, Fenced, Invalid, TidemillError
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill_common import events, metrics, rpc, telemetry, topics
from tidemill_common.app import until
from tidemill_common.kafka import TopicPartition, administering, following
from tidemill_serving.canary import Canary, Counted
from tidemill_serving.rollout import Decision, Move, decide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub
    from tidemill_common.kafka import Broker, Record
    from tidemill_serving.fleet import Fleet
    from tidemill_serving.rollout import Rules
    from tidemill_serving.store import Store

logger = logging.getLogger(__name__)

ROLE: Final = "rollout"
LEASE_SECONDS: Final = 6.0
RENEW_SECONDS: Final = 1.0
DECIDE_SECONDS: Final = 0.25
AUTHOR: Final = "rollout controller"
_MOVES: Final = {
    Move.PROMOTE: registry_pb.ROLLOUT_MOVE_PROMOTE,
    Move.ABORT: registry_pb.ROLLOUT_MOVE_ABORT,
}
_STATES: Final = {Move.HOLD: 2, Move.PROMOTE: 3, Move.ABORT: 4}


class Controller:
    """The leader's work. `rows` are the rollouts that the route source keeps up to date."""

    def __init__(
        self,
        store: Store,
        stub: RegistryServiceAsyncStub,
        broker: Broker,
        fleet: Fleet,
        rows: Mapping[str, registry_pb.RolloutRow],
    ) -> None:
        """Read counts from `broker`, rules from the fleet's definitions, ask `stub` to move."""
        self._store = store
        self._stub = stub
        self._broker = broker
        self._fleet = fleet
        self._rows = rows
        self._runners: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._fence = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Lead while the lease is ours; without it nothing is counted or decided here."""
        try:
            while not stop.is_set():
                fence = await self._lease()
                if fence is None:
                    await self._stop_runners(set())
                else:
                    self._fence = fence
                    await self._keep_runners()
                await until(stop, RENEW_SECONDS)
        finally:
            await self._stop_runners(set())
            with suppress(TidemillError):
                await self._store.give_up_lease(ROLE)

    async def _lease(self) -> int | None:
        try:
            return await self._store.take_lease(ROLE, LEASE_SECONDS)
        except TidemillError as error:
            logger.warning("rollout.no_lease", extra={"error": repr(error)})
            return None

    async def _keep_runners(self) -> None:
        """Have one runner for each canary, and none for what is over."""
        wanted = {}
        for row in self._rows.values():
            model = self._fleet.models.get(row.model)
            if row.state == registry_pb.ROLLOUT_STATE_CANARY and row.challenger and model:
                spec = model.spec
                canary = canary_of(row, spec.latency_slo_us)
                wanted[(row.model, row.table_version)] = (canary, spec.rules)
        await self._stop_runners(set(wanted))
        for key, (canary, rules) in wanted.items():
            if key not in self._runners or self._runners[key].done():
                self._runners[key] = asyncio.create_task(self._watch(canary, rules))

    async def _stop_runners(self, keep: set[tuple[str, int]]) -> None:
        over = set(self._runners) - keep
        for model, _ in over:
            metrics.gauge("tidemill_rollout_state", model=model).set(0)
        gone = [self._runners.pop(key) for key in over]
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)

    async def _watch(self, canary: Canary, rules: Rules) -> None:
        """Count and decide until the canary is over. A failure ends it; it is started again."""
        try:
            await self._count(canary, rules)
        except (Fenced, Conflict, FailedPrecondition) as error:
            logger.info("rollout.moved_meanwhile", extra={"error": repr(error)})
        except TidemillError as error:
            logger.warning("rollout.waits", extra={"model": canary.model, "error": repr(error)})

    async def _count(self, canary: Canary, rules: Rules) -> None:
        counted = await self._store.load(canary.model, canary.table_version)
        topic = topics.predictions(canary.model)
        partitions = [TopicPartition(topic.name, p) for p in range(topic.partitions)]
        if counted is None:
            async with administering(self._broker) as admin:
                await admin.ensure([topic])
                ends = await admin.end_offsets(partitions)
            counted = Counted(positions={tp.partition: end for tp, end in ends.items()})
        changed = asyncio.Event()
        changed.set()

        def take(tp: TopicPartition, records: Sequence[Record]) -> None:
            for record in records:
                _take(counted, canary, tp.partition, record)
            changed.set()

        starts = {tp: counted.positions.get(tp.partition) for tp in partitions}
        async with following(self._broker, starts, take, on_reset=lambda _: None):
            while True:
                await asyncio.sleep(DECIDE_SECONDS)
                trip = await self._store.trip(canary.model, canary.table_version)
                if changed.is_set() or trip:
                    changed.clear()
                    await self._store.save(canary.model, canary.table_version, counted, self._fence)
                    if await self._decide(canary, counted, rules, trip):
                        return

    async def _decide(self, canary: Canary, counted: Counted, rules: Rules, trip: str) -> bool:
        """Decide, and ask for the move if there is one; whether the canary is over."""
        decision = decide(counted.champion, counted.challenger, rules, trip)
        for signal in ("errors", "slow"):
            metrics.gauge("tidemill_rollout_evalue", model=canary.model, signal=signal).set(
                decision.evidence[f"e_{signal}"]
            )
        metrics.gauge("tidemill_rollout_state", model=canary.model).set(_STATES[decision.move])
        if decision.move is Move.HOLD:
            return False
        await self._move(canary, decision)
        return True

    async def _move(self, canary: Canary, decision: Decision) -> None:
        name = "rollback" if decision.move is Move.ABORT else "promote"
        with telemetry.span(name, attributes={"tidemill.model.name": canary.model}):
            await rpc.call(
                self._stub.MoveRollout,
                registry_pb.MoveRolloutRequest(
                    model=canary.model,
                    expected_table_version=canary.table_version,
                    move=_MOVES[decision.move],
                    reason=decision.reason,
                    evidence=decision.evidence,
                    author=AUTHOR,
                ),
                timeout=5.0,
            )
        if decision.move is Move.ABORT:
            metrics.counter("tidemill_rollback_total", model=canary.model, cause="canary").inc()
        logger.info(
            "rollout.decided",
            extra={
                "model": canary.model,
                "table_version": canary.table_version,
                "move": str(decision.move),
                "reason": decision.reason,
                **decision.evidence,
            },
        )


def canary_of(row: registry_pb.RolloutRow, slo_us: int) -> Canary:
    """Read a rollout row that is a canary."""
    return Canary(
        row.model,
        row.table_version,
        row.champion,
        row.challenger,
        row.changed_time.ToMicroseconds(),
        slo_us,
    )


def _take(counted: Counted, canary: Canary, partition: int, record: Record) -> None:
    try:
        batch = events.decode(record.value or b"")
        counted.take(canary, partition, record.offset, batch)
    except (Invalid, KeyError) as error:
        logger.warning("rollout.unreadable", extra={"offset": record.offset, "error": repr(error)})
        counted.skip(partition, record.offset)
