"""gRPC: convert, call a handler, convert."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from tidemill.errors import Invalid, NotFound, Violation
from tidemill.registry.v1 import registry_service_pb2 as pb
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceServicer
from tidemill_common import rpc
from tidemill_common.ids import is_digest
from tidemill_registry import convert, handlers, holding, rollouts
from tidemill_registry.apply import apply
from tidemill_registry.chaining import Anchors, verify_audit
from tidemill_registry.handlers import Registry
from tidemill_registry.projects import HeldProject, StoredProject
from tidemill_registry.rollouts import Moved, Rollout
from tidemill_registry.store import Transaction
from tidemill_registry.versions import Version

Context = grpc.aio.ServicerContext[object, object]

METHODS = rpc.rules(
    "tidemill.registry.v1.RegistryService",
    {
        "Apply": rpc.Rule("registry.apply", deadline=15.0),
        "HoldProject": rpc.Rule("registry.apply", deadline=15.0),
        "SwitchProject": rpc.Rule("registry.apply", deadline=15.0),
        "AbortProject": rpc.Rule("registry.apply", deadline=15.0),
        "GetProject": rpc.Rule("registry.read"),
        "RegisterVersion": rpc.Rule("registry.register", deadline=15.0),
        "GetVersion": rpc.Rule("registry.read"),
        "ListVersions": rpc.Rule("registry.read"),
        "MoveAlias": rpc.Rule("registry.write"),
        "RecordGateResult": rpc.Rule("registry.gate"),
        "GetRollout": rpc.Rule("registry.read"),
        "MoveRollout": rpc.Rule("registry.rollout"),
        "Promote": rpc.Rule("registry.promote"),
        "RollBack": rpc.Rule("registry.promote"),
        "GetLineage": rpc.Rule("registry.read"),
        "ListAudit": rpc.Rule("registry.audit"),
        "VerifyAudit": rpc.Rule("registry.audit", deadline=60.0, cap=600.0),
    },
)
MAX_LIST = 1000
DEFAULT_LIST = 100


@dataclass(frozen=True, slots=True)
class RegistryServicer(RegistryServiceServicer):
    """The registry over gRPC."""

    registry: Registry
    anchors: Anchors

    async def Apply(self, request: pb.ApplyRequest, context: Context) -> pb.ApplyResponse:
        """Check, plan and store a project."""
        applied = await apply(
            self.registry,
            request.project,
            author=request.author,
            expected=request.expected_generation,
            plan_only=request.plan_only,
        )
        return pb.ApplyResponse(
            generation=applied.generation,
            changes=[convert.to_change(change) for change in applied.changes],
            applied=applied.applied,
            number=applied.number,
        )

    async def GetProject(
        self, request: pb.GetProjectRequest, context: Context
    ) -> pb.GetProjectResponse:
        """Return a generation of the project; with the current one, what is held beside it."""

        async def work(tx: Transaction) -> tuple[StoredProject, HeldProject | None]:
            held = None if request.generation else await tx.held()
            stored = await tx.project(request.generation)
            # A switch between both looks is one that has happened.
            is_switched = held is not None and held.generation == stored.generation
            return stored, None if is_switched else held

        stored, held = await self.registry.store.run(work)
        return pb.GetProjectResponse(
            project=stored.project,
            generation=stored.generation,
            number=stored.number,
            applied_time=convert.to_timestamp(stored.applied),
            held=convert.to_held(held) if held is not None else None,
        )

    async def HoldProject(
        self, request: pb.HoldProjectRequest, context: Context
    ) -> pb.HoldProjectResponse:
        """Check and store a project that is to be built beside the current one."""
        held = await holding.hold(
            self.registry,
            request.project,
            author=request.author,
            expected=request.expected_generation,
        )
        return pb.HoldProjectResponse(
            generation=held.generation,
            changes=[convert.to_change(change) for change in held.changes],
            held=held.held,
        )

    async def SwitchProject(
        self, request: pb.SwitchProjectRequest, context: Context
    ) -> pb.SwitchProjectResponse:
        """Make the held project current."""
        stored = await holding.switch(self.registry, request.generation, author=request.author)
        return pb.SwitchProjectResponse(generation=stored.generation, number=stored.number)

    async def AbortProject(
        self, request: pb.AbortProjectRequest, context: Context
    ) -> pb.AbortProjectResponse:
        """Drop the held project."""
        dropped = await holding.abort(self.registry, request.generation, author=request.author)
        return pb.AbortProjectResponse(generation=dropped)

    async def RegisterVersion(
        self, request: pb.RegisterVersionRequest, context: Context
    ) -> pb.RegisterVersionResponse:
        """Register the result of a run."""
        version, created = await handlers.register(
            self.registry, self._version(request), request.fence
        )
        return pb.RegisterVersionResponse(version=convert.to_version(version), created=created)

    def _version(self, request: pb.RegisterVersionRequest) -> Version:
        violations = []
        if not request.model:
            violations.append(Violation("model", "is missing"))
        if not request.lineage.run_id:
            violations.append(Violation("lineage.run_id", "is missing"))
        if not is_digest(request.manifest_digest):
            said = f"{request.manifest_digest!r} is no sha256"
            violations.append(Violation("manifest_digest", said))
        if request.fence < 1:
            violations.append(Violation("fence", f"{request.fence} is no fence of a lease"))
        if violations:
            raise Invalid("the version cannot be registered", violations=violations)
        has_time = request.HasField("data_time")
        return Version(
            model=request.model,
            number=0,
            digest=request.manifest_digest,
            run_id=request.lineage.run_id,
            artifacts=convert.from_artifacts(request.artifacts),
            lineage=request.lineage.SerializeToString(deterministic=True),
            metrics=dict(request.metrics),
            created=self.registry.clock.now(),
            traceparent=request.traceparent,
            data_time=convert.from_timestamp(request.data_time) if has_time else None,
        )

    async def GetVersion(
        self, request: pb.GetVersionRequest, context: Context
    ) -> pb.GetVersionResponse:
        """Return one version."""
        version = await handlers.get_version(
            self.registry, request.model, request.number, request.alias
        )
        return pb.GetVersionResponse(version=convert.to_version(version))

    async def ListVersions(
        self, request: pb.ListVersionsRequest, context: Context
    ) -> pb.ListVersionsResponse:
        """Return versions, newest first."""
        limit = _limit(request.limit)
        found = await self.registry.store.run(lambda tx: tx.versions(request.model, limit=limit))
        return pb.ListVersionsResponse(versions=[convert.to_version(one) for one in found])

    async def MoveAlias(
        self, request: pb.MoveAliasRequest, context: Context
    ) -> pb.MoveAliasResponse:
        """Move an alias by compare-and-set."""
        generation = await handlers.move_alias(
            self.registry,
            request.model,
            request.alias,
            request.number,
            request.expected_generation,
            request.author,
            request.reason,
        )
        return pb.MoveAliasResponse(generation=generation)

    async def RecordGateResult(
        self, request: pb.RecordGateResultRequest, context: Context
    ) -> pb.RecordGateResultResponse:
        """Store a gate's result for a digest."""
        if request.result.verdict not in convert.FROM_VERDICT or not request.result.gate:
            violation = Violation("result", "needs a gate and a verdict")
            raise Invalid(violations=[violation])
        found = await self.registry.store.run(
            lambda tx: tx.versions(request.model, digest=request.digest)
        )
        if not found:
            raise NotFound(f"no version of {request.model!r} has digest {request.digest}")
        result = convert.from_gate_result(request.result)
        await handlers.record_gate(self.registry, found[0], result, "caller")
        return pb.RecordGateResultResponse()

    async def GetRollout(
        self, request: pb.GetRolloutRequest, context: Context
    ) -> pb.GetRolloutResponse:
        """Return what may take traffic."""
        model = request.model or None
        rows = await self.registry.store.run(lambda tx: tx.rollouts(model))
        return pb.GetRolloutResponse(rollouts=[convert.to_rollout(row) for row in rows])

    async def MoveRollout(
        self, request: pb.MoveRolloutRequest, context: Context
    ) -> pb.MoveRolloutResponse:
        """Move a rollout by compare-and-set."""
        reason = request.reason or "moved by the rollout controller"

        def move(row: Rollout) -> Moved:
            match request.move:
                case pb.ROLLOUT_MOVE_PROMOTE:
                    return rollouts.promote_challenger(row, reason)
                case pb.ROLLOUT_MOVE_ABORT:
                    return rollouts.abort(row, reason)
                case pb.ROLLOUT_MOVE_ROLL_BACK:
                    return rollouts.roll_back(row, reason)
                case _:
                    raise Invalid(violations=[Violation("move", "is no move of a rollout")])

        name = pb.RolloutMove.Name(request.move).removeprefix("ROLLOUT_MOVE_").lower()
        row = await handlers.move_rollout(
            self.registry,
            request.model,
            move,
            action=f"rollout.{name}",
            author=request.author,
            expected=request.expected_table_version,
            evidence=dict(request.evidence),
        )
        return pb.MoveRolloutResponse(rollout=convert.to_rollout(row))

    async def Promote(self, request: pb.PromoteRequest, context: Context) -> pb.PromoteResponse:
        """Make a version champion at once."""
        row = await handlers.promote(
            self.registry, request.model, request.number, request.author, request.reason
        )
        return pb.PromoteResponse(rollout=convert.to_rollout(row))

    async def RollBack(self, request: pb.RollBackRequest, context: Context) -> pb.RollBackResponse:
        """Return to the previous champion."""
        row = await handlers.roll_back(self.registry, request.model, request.author, request.reason)
        return pb.RollBackResponse(rollout=convert.to_rollout(row))

    async def GetLineage(
        self, request: pb.GetLineageRequest, context: Context
    ) -> pb.GetLineageResponse:
        """Return a version with its history."""
        version = await handlers.get_version(self.registry, request.model, request.number, "")
        subject = version.subject
        found = await self.registry.store.run(lambda tx: tx.audit(0, MAX_LIST, subject))
        return pb.GetLineageResponse(
            version=convert.to_version(version),
            history=[convert.to_audit_entry(chained) for chained in found],
        )

    async def ListAudit(
        self, request: pb.ListAuditRequest, context: Context
    ) -> pb.ListAuditResponse:
        """Return chained audit entries in order."""
        after, limit, subject = (
            request.after_sequence,
            _limit(request.limit),
            request.subject or None,
        )
        found = await self.registry.store.run(lambda tx: tx.audit(after, limit, subject))
        return pb.ListAuditResponse(entries=[convert.to_audit_entry(one) for one in found])

    async def VerifyAudit(
        self, request: pb.VerifyAuditRequest, context: Context
    ) -> pb.VerifyAuditResponse:
        """Walk the hash chain."""
        finding = await verify_audit(self.registry.store, self.anchors)
        return pb.VerifyAuditResponse(
            intact=finding.intact,
            entries=finding.entries,
            first_bad_sequence=finding.first_bad,
            problem=finding.problem,
            head=finding.head,
        )


def _limit(asked: int) -> int:
    return min(asked, MAX_LIST) if asked > 0 else DEFAULT_LIST
