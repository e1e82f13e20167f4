"""Runs and their queue in PostgreSQL: leased by the database's clock, fenced on every write.

Every change of a run is announced through the outbox in the transaction that makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tidemill.errors import Fenced, NotFound
from tidemill.training.v1 import training_service_pb2 as pb
from tidemill_common import topics
from tidemill_common.ids import new_id
from tidemill_common.postgres import Connection, outbox, queries
from tidemill_training import signals
from tidemill_training.convert import FINAL, to_run
from tidemill_training.failures import after_failure
from tidemill_training.store.policies import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

    from tidemill_common.postgres import Pool

SQL: Final = queries("tidemill_training.sql.queries")
RETRY_SECONDS: Final = 2.0
"""Pause before a failed attempt is repeated, times the attempt's number."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A run to open."""

    spec: pb.RunSpec
    cause: str
    stream_us: int
    labelled: int
    request_id: str | None = None
    gpus: int = 0
    memory_mb: int = 0
    traceparent: str = ""


async def open_run(connection: Connection, opening: Opening) -> tuple[pb.Run, bool]:
    """Open a run, or join the open one of its model; return it and whether it is new."""
    row = await connection.fetchrow(
        SQL["open_run"],
        new_id(),
        opening.spec.model,
        opening.spec.SerializeToString(deterministic=True),
        opening.cause,
        opening.request_id,
        opening.gpus,
        opening.memory_mb,
        opening.traceparent,
        opening.stream_us,
        opening.labelled,
    )
    if row is None:
        raise NotFound("the run was not stored")
    return await announced(connection, row), row["created"]


async def requested(connection: Connection, request_id: str) -> pb.Run | None:
    """Return the run that a request has led to."""
    row = await connection.fetchrow(SQL["requested_run"], request_id)
    return to_run(dict(row)) if row is not None else None


async def open_run_of(connection: Connection, model: str) -> pb.Run | None:
    """Return the open run of a model, locked until the transaction ends."""
    row = await connection.fetchrow(SQL["open_run_of"], model)
    return to_run(dict(row)) if row is not None else None


async def cancel(connection: Connection, run_id: str, why: str) -> pb.Run | None:
    """End an open run and say so; None when it is not open."""
    row = await connection.fetchrow(SQL["cancel_run"], run_id, why)
    return await announced(connection, row) if row is not None else None


async def announced(connection: Connection, row: asyncpg.Record) -> pb.Run:
    """Announce a run's new state with the change itself."""
    run = to_run(dict(row))
    value = pb.RunAnnounced(run=run).SerializeToString()
    await outbox.announce(connection, topics.TRAINING_REQUESTS.name, run.spec.model, value)
    return run


@dataclass(frozen=True, slots=True)
class Runs:
    """The queue."""

    pool: Pool
    lease_s: float
    attempts: int

    async def get(self, run_id: str) -> pb.Run:
        """Return a run; NotFound without one."""
        return _found(run_id, await self.pool.fetchrow(SQL["get_run"], run_id))

    async def newest(self, model: str, limit: int) -> list[pb.Run]:
        """Return runs, newest first."""
        return [to_run(dict(row)) for row in await self.pool.fetch(SQL["list_runs"], model, limit)]

    async def decisions(self, model: str, verdict: str, limit: int) -> list[asyncpg.Record]:
        """Return decisions, newest first."""
        return list(await self.pool.fetch(SQL["list_decisions"], model, verdict, limit))

    async def open_by_model(self) -> Mapping[str, int]:
        """Count the open runs of each model."""
        return {row["model"]: row["runs"] for row in await self.pool.fetch(SQL["open_runs"])}

    async def lease(self, worker: str, gpus: int, memory_mb: int) -> pb.Run | None:
        """Give the oldest run that fits to a worker, under a new fence."""

        async def work(connection: Connection) -> pb.Run | None:
            row = await connection.fetchrow(SQL["lease_run"], worker, gpus, memory_mb, self.lease_s)
            return await announced(connection, row) if row else None

        return await self.pool.retrying(work)

    async def renew(
        self, run_id: str, fence: int, stage: str, progress: float, metrics: Mapping[str, float]
    ) -> bool:
        """Keep a lease; True when the run was cancelled, Fenced when the lease is lost."""
        row = await self.pool.fetchrow(
            SQL["renew_lease"], run_id, fence, self.lease_s, stage, progress, dict(metrics)
        )
        if row is not None:
            return False
        return self._refuse(await self.get(run_id), fence)

    async def checkpoint(self, run_id: str, fence: int, digest: str, step: int) -> None:
        """Record a checkpoint; Fenced for a worker whose lease is over."""
        if await self.pool.fetchval(SQL["record_checkpoint"], run_id, fence, digest, step) is None:
            self._refuse(await self.get(run_id), fence)

    async def finish(self, request: pb.FinishRunRequest) -> pb.Run:
        """End an attempt once; a repeat returns the run, an outdated fence is refused.

        A failure that may be the machine's goes back to the queue while attempts are left.
        """

        async def work(connection: Connection) -> pb.Run:
            known = _found(
                request.run_id, await connection.fetchrow(SQL["get_run"], request.run_id)
            )
            memory = Memory(connection)
            state = await memory.lock(known.spec.model)
            to, wait = _next(request, known.attempt, self.attempts)
            row = await connection.fetchrow(
                SQL["finish_run"],
                request.run_id,
                request.fence,
                to,
                request.error,
                request.version,
                dict(request.metrics),
                request.training_set_hash,
                wait,
            )
            if row is None:
                current = await connection.fetchrow(SQL["get_run"], request.run_id)
                run = _found(request.run_id, current)
                self._refuse(run, request.fence)
                return run
            if to == "succeeded":
                state = signals.succeeded(state, row["labelled_at_cut"])
            elif to == "failed":
                state = signals.refused(state)
            await memory.save(known.spec.model, state)
            return await announced(connection, row)

        return await self.pool.retrying(work)

    async def cancel(self, run_id: str, why: str) -> pb.Run:
        """End a run; one that has ended stays as it is."""

        async def work(connection: Connection) -> pb.Run:
            ended = await cancel(connection, run_id, why)
            return ended or _found(run_id, await connection.fetchrow(SQL["get_run"], run_id))

        return await self.pool.retrying(work)

    async def expire(self) -> list[pb.Run]:
        """Take the runs of silent workers back: to the queue, or to failed when out of attempts."""

        async def work(connection: Connection) -> list[pb.Run]:
            taken = []
            for row in await connection.fetch(SQL["expired_runs"]):
                to = after_failure(row["attempt"], self.attempts, retryable=True)
                error = f"infrastructure: worker {row['worker']} was silent for {self.lease_s:g} s"
                again = await connection.fetchrow(SQL["requeue_run"], row["run_id"], to, error)
                if to == "failed":
                    memory = Memory(connection)
                    state = signals.refused(await memory.lock(row["model"]))
                    await memory.save(row["model"], state)
                if again is not None:
                    taken.append(await announced(connection, again))
            return taken

        return await self.pool.retrying(work)

    @staticmethod
    def _refuse(run: pb.Run, fence: int) -> bool:
        """Say why a write did not count: cancelled (True), ended (a repeat), or raise Fenced."""
        if run.fence != fence or run.state not in FINAL:
            raise Fenced(
                f"run {run.run_id} is leased under fence {run.fence}, not {fence}",
                hint="another worker has the run: stop working on it",
            )
        return run.state == pb.RUN_STATE_CANCELLED


def _next(request: pb.FinishRunRequest, attempt: int, attempts: int) -> tuple[str, float]:
    """Return the run's state after this end, and how long it waits for its next attempt."""
    match request.state:
        case pb.RUN_STATE_SUCCEEDED:
            return "succeeded", 0.0
        case pb.RUN_STATE_CANCELLED:
            return "cancelled", 0.0
        case _:
            to = after_failure(attempt, attempts, retryable=request.retryable)
            return to, RETRY_SECONDS * attempt if to == "queued" else 0.0


def _found(run_id: str, row: Any) -> pb.Run:
    if row is None:
        raise NotFound(f"there is no run {run_id!r}")
    return to_run(row)
