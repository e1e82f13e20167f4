"""TrainingService over gRPC: convert, call the store or the policies, convert."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.duration_pb2 import Duration

from tidemill.errors import Invalid, Violation
from tidemill.training.v1 import training_service_pb2 as pb
from tidemill.training.v1.training_service_pb2_grpc import TrainingServiceServicer
from tidemill_common import metrics, rpc
from tidemill_common.ids import is_digest, new_id
from tidemill_training.convert import FINAL, to_decision

if TYPE_CHECKING:
    from tidemill_training.changes import Changes
    from tidemill_training.handlers import Policies
    from tidemill_training.store.runs import Runs
    from tidemill_training.workers import Workers

SERVICE: Final = "tidemill.training.v1.TrainingService"
METHODS: Final = rpc.rules(
    SERVICE,
    {
        "SubmitRun": rpc.Rule("training.write"),
        "GetRun": rpc.Rule("training.read"),
        "ListRuns": rpc.Rule("training.read"),
        "WatchRun": rpc.Rule("training.read", deadline=None, cap=None),
        "CancelRun": rpc.Rule("training.write"),
        "ListDecisions": rpc.Rule("training.read"),
        "LeaseRun": rpc.Rule("training.work", deadline=5.0, cap=30.0),
        "Heartbeat": rpc.Rule("training.work"),
        "RecordCheckpoint": rpc.Rule("training.work"),
        "FinishRun": rpc.Rule("training.work"),
    },
)
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1_000
MAX_TEXT: Final = 2_000
MAX_NUMBERS: Final = 200
_LEASE_POLL: Final = 0.5
_LEASE_WAIT: Final = 10.0
_WATCH_POLL: Final = 1.0
_MARGIN: Final = 1.0


class TrainingServicer(TrainingServiceServicer):
    """Every RPC of training."""

    def __init__(
        self,
        runs: Runs,
        policies: Policies,
        workers: Workers,
        changes: Changes,
        stop: asyncio.Event,
    ) -> None:
        self._workers = workers
        self._runs = runs
        self._policies = policies
        self._changes = changes
        self._stop = stop
        lease = Duration()
        lease.FromMicroseconds(int(runs.lease_s * 1_000_000))
        self._lease = lease

    async def SubmitRun(self, request: pb.SubmitRunRequest, context: Any) -> pb.SubmitRunResponse:
        """Open a run by hand."""
        _check_numbers("overrides", request.overrides)
        if len(request.reason) > MAX_TEXT or len(request.request_id) > MAX_TEXT:
            raise Invalid(violations=[Violation("reason", f"at most {MAX_TEXT} characters")])
        request.request_id = request.request_id or new_id()
        run = await self._policies.submit(request)
        self._changes.notify()
        return pb.SubmitRunResponse(run=run)

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:
        """Return one run."""
        return pb.GetRunResponse(run=await self._runs.get(request.run_id))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:
        """Return runs, newest first."""
        runs = await self._runs.newest(request.model, _limit(request.limit))
        return pb.ListRunsResponse(runs=runs)

    async def WatchRun(
        self, request: pb.WatchRunRequest, context: Any
    ) -> AsyncIterator[pb.WatchRunResponse]:
        """Give the run now and at every change, until it has ended."""
        last = None
        while not self._stop.is_set():
            run = await self._runs.get(request.run_id)
            if run != last:
                yield pb.WatchRunResponse(run=run)
                last = run
            if run.state in FINAL:
                return
            await self._changes.wait(_WATCH_POLL)

    async def CancelRun(self, request: pb.CancelRunRequest, context: Any) -> pb.CancelRunResponse:
        """End a run."""
        run = await self._runs.cancel(request.run_id, "cancelled by hand")
        self._changes.notify()
        return pb.CancelRunResponse(run=run)

    async def ListDecisions(
        self, request: pb.ListDecisionsRequest, context: Any
    ) -> pb.ListDecisionsResponse:
        """Return decisions, newest first."""
        rows = await self._runs.decisions(request.model, request.verdict, _limit(request.limit))
        return pb.ListDecisionsResponse(decisions=[to_decision(dict(row)) for row in rows])

    async def LeaseRun(self, request: pb.LeaseRunRequest, context: Any) -> pb.LeaseRunResponse:
        """Give a run to a worker; with none, wait for one within the caller's deadline."""
        if not request.worker or len(request.worker) > MAX_TEXT:
            raise Invalid(violations=[Violation("worker", "must name the worker")])
        until = time.monotonic() + min(_LEASE_WAIT, rpc.remaining() - _MARGIN)
        while True:
            run = await self._runs.lease(request.worker, request.gpus, request.memory_mb)
            self._workers.asked(request.worker, run.run_id if run else "")
            if run is not None:
                self._changes.notify()
                return pb.LeaseRunResponse(run=run, lease=self._lease)
            if time.monotonic() >= until or self._stop.is_set():
                return pb.LeaseRunResponse()
            await self._changes.wait(_LEASE_POLL)

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Any) -> pb.HeartbeatResponse:
        """Keep a lease."""
        _check_numbers("metrics", request.metrics)
        stage = request.stage[:MAX_TEXT]
        cancelled = await self._runs.renew(
            request.run_id, request.fence, stage, request.progress, request.metrics
        )
        self._workers.beat(request.run_id)
        self._changes.notify()
        return pb.HeartbeatResponse(lease=self._lease, cancelled=cancelled)

    async def RecordCheckpoint(
        self, request: pb.RecordCheckpointRequest, context: Any
    ) -> pb.RecordCheckpointResponse:
        """Record a checkpoint."""
        if not is_digest(request.digest):
            raise Invalid(violations=[Violation("digest", "64 lower-case hex digits")])
        await self._runs.checkpoint(request.run_id, request.fence, request.digest, request.step)
        return pb.RecordCheckpointResponse()

    async def FinishRun(self, request: pb.FinishRunRequest, context: Any) -> pb.FinishRunResponse:
        """End an attempt."""
        _check_numbers("metrics", request.metrics)
        if request.state not in FINAL:
            raise Invalid(violations=[Violation("state", "must be succeeded, failed or cancelled")])
        request.error = request.error[:MAX_TEXT]
        run = await self._runs.finish(request)
        name = pb.RunState.Name(run.state).removeprefix("RUN_STATE_").lower()
        metrics.counter("tidemill_runs_total", model=run.spec.model, state=name).inc()
        self._changes.notify()
        return pb.FinishRunResponse(run=run)


def _limit(asked: int) -> int:
    return min(asked, MAX_LIMIT) if asked > 0 else DEFAULT_LIMIT


def _check_numbers(name: str, numbers: Any) -> None:
    if len(numbers) > MAX_NUMBERS:
        raise Invalid(violations=[Violation(name, f"at most {MAX_NUMBERS} entries")])
