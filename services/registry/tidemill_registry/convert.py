"""Between the registry's protobuf messages and its domain, both directions side by side."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from tidemill.registry.v1 import events_pb2
from tidemill.registry.v1 import registry_service_pb2 as pb
from tidemill_registry.audit import Chained
from tidemill_registry.plan import Change, Kind
from tidemill_registry.projects import HeldProject
from tidemill_registry.rollouts import Rollout
from tidemill_registry.versions import Artifact, GateResult, Stage, Verdict, Version

STAGES = {
    Stage.CANDIDATE: pb.STAGE_CANDIDATE,
    Stage.VALIDATED: pb.STAGE_VALIDATED,
    Stage.REJECTED: pb.STAGE_REJECTED,
    Stage.ARCHIVED: pb.STAGE_ARCHIVED,
}
VERDICTS = {
    Verdict.PASS: pb.VERDICT_PASS,
    Verdict.FAIL: pb.VERDICT_FAIL,
    Verdict.NOT_ENOUGH_DATA: pb.VERDICT_NOT_ENOUGH_DATA,
}
FROM_VERDICT = {number: verdict for verdict, number in VERDICTS.items()}
KINDS = {
    Kind.ADDED: pb.CHANGE_KIND_ADDED,
    Kind.CHANGED: pb.CHANGE_KIND_CHANGED,
    Kind.REMOVED: pb.CHANGE_KIND_REMOVED,
}


def to_timestamp(at: datetime | None) -> Timestamp | None:
    """Convert a moment; None stays unset."""
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def from_timestamp(stamp: Timestamp) -> datetime:
    """Convert back to an aware moment."""
    return stamp.ToDatetime(UTC)


def to_held(held: HeldProject) -> pb.HeldProject:
    """Convert what is held."""
    return pb.HeldProject(
        project=held.project,
        generation=held.generation,
        author=held.author,
        held_time=to_timestamp(held.held),
    )


def to_artifact(artifact: Artifact) -> pb.Artifact:
    """Convert one file of a package."""
    return pb.Artifact(name=artifact.name, sha256=artifact.sha256, size=artifact.size)


def from_artifacts(artifacts: Iterable[pb.Artifact]) -> tuple[Artifact, ...]:
    """Convert back, in order of names."""
    found = (Artifact(one.name, one.sha256, one.size) for one in artifacts)
    return tuple(sorted(found, key=lambda artifact: artifact.name))


def to_gate_result(result: GateResult) -> pb.GateResult:
    """Convert a gate's result."""
    return pb.GateResult(
        gate=result.gate,
        verdict=VERDICTS[result.verdict],
        value=result.value,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        threshold=result.threshold,
        reason=result.reason,
        evidence=dict(result.evidence),
        time=to_timestamp(result.time),
    )


def from_gate_result(result: pb.GateResult) -> GateResult:
    """Convert back; KeyError for a verdict that is none."""
    return GateResult(
        gate=result.gate,
        verdict=FROM_VERDICT[result.verdict],
        value=result.value,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        threshold=result.threshold,
        reason=result.reason,
        evidence=dict(result.evidence),
    )


def to_version(version: Version) -> pb.Version:
    """Convert a version with its state, aliases and gate results."""
    return pb.Version(
        model=version.model,
        number=version.number,
        digest=version.digest,
        artifacts=[to_artifact(artifact) for artifact in version.artifacts],
        stage=STAGES[version.stage],
        lineage=pb.Lineage.FromString(version.lineage),
        metrics=dict(version.metrics),
        gate_results=[to_gate_result(result) for result in version.gate_results],
        created_time=to_timestamp(version.created),
        reason=version.reason,
        aliases=version.aliases,
        traceparent=version.traceparent,
        data_time=to_timestamp(version.data_time),
    )


def to_rollout(row: Rollout) -> pb.RolloutRow:
    """Convert a rollout row."""
    return pb.RolloutRow(
        model=row.model,
        state=pb.ROLLOUT_STATE_CANARY if row.canary else pb.ROLLOUT_STATE_STABLE,
        table_version=row.table_version,
        champion=row.champion,
        champion_digest=row.champion_digest,
        challenger=row.challenger,
        challenger_digest=row.challenger_digest,
        share=row.share,
        salt=row.salt,
        previous_champion=row.previous_champion,
        changed_time=to_timestamp(row.changed),
        reason=row.reason,
    )


def to_change(change: Change) -> pb.Change:
    """Convert one line of a plan."""
    return pb.Change(
        kind=KINDS[change.kind],
        type=change.type,
        name=change.name,
        details=change.details,
        rows_per_entity=change.rows_per_entity,
        bytes_per_entity=change.bytes_per_entity,
    )


def to_audit_entry(chained: Chained) -> pb.AuditEntry:
    """Convert a link with its entry; of a deleted entry only the link is left."""
    link, entry = chained.link, chained.entry
    message = pb.AuditEntry(
        sequence=link.sequence, previous_hash=link.previous_hash, hash=link.hash
    )
    if entry is not None:
        message.action = entry.action
        message.subject = entry.subject
        message.author = entry.author
        message.details = entry.details
        message.time.FromDatetime(entry.time)
    return message


Event = (
    events_pb2.ProjectApplied
    | events_pb2.VersionRegistered
    | events_pb2.VersionValidated
    | events_pb2.VersionRejected
    | events_pb2.RolloutMoved
    | events_pb2.AliasMoved
    | events_pb2.ProjectHeld
    | events_pb2.ProjectAborted
)


def to_event(event: Event, *, event_id: str, at: datetime, traceparent: str) -> bytes:
    """Wrap what happened for registry.events."""
    wrapped = events_pb2.RegistryEvent(event_id=event_id, traceparent=traceparent)
    wrapped.time.FromDatetime(at)
    match event:
        case events_pb2.ProjectApplied():
            wrapped.project_applied.CopyFrom(event)
        case events_pb2.VersionRegistered():
            wrapped.version_registered.CopyFrom(event)
        case events_pb2.VersionValidated():
            wrapped.version_validated.CopyFrom(event)
        case events_pb2.VersionRejected():
            wrapped.version_rejected.CopyFrom(event)
        case events_pb2.RolloutMoved():
            wrapped.rollout_moved.CopyFrom(event)
        case events_pb2.AliasMoved():
            wrapped.alias_moved.CopyFrom(event)
        case events_pb2.ProjectHeld():
            wrapped.project_held.CopyFrom(event)
        case events_pb2.ProjectAborted():
            wrapped.project_aborted.CopyFrom(event)
    return wrapped.SerializeToString()
