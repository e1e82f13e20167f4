"""Rows and domain values to and from the messages of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tidemill.features.v1 import feature_service_pb2 as features_pb2
from tidemill.monitoring.v1 import monitoring_service_pb2 as monitoring_pb2
from tidemill.training.v1 import training_service_pb2 as pb
from tidemill_common.clock import from_us
from tidemill_training import trigger
from tidemill_training.signals import Alert, AlertState, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tidemill.definitions.v1 import project_pb2
    from tidemill_training.selection import Span
    from tidemill_training.trigger import Policy

STATES: Final = {
    "queued": pb.RUN_STATE_QUEUED,
    "running": pb.RUN_STATE_RUNNING,
    "succeeded": pb.RUN_STATE_SUCCEEDED,
    "failed": pb.RUN_STATE_FAILED,
    "cancelled": pb.RUN_STATE_CANCELLED,
}
FINAL: Final = frozenset({pb.RUN_STATE_SUCCEEDED, pb.RUN_STATE_FAILED, pb.RUN_STATE_CANCELLED})
_KINDS: Final = {
    monitoring_pb2.ALERT_KIND_QUALITY: Kind.QUALITY,
    monitoring_pb2.ALERT_KIND_PREDICTION_DRIFT: Kind.PREDICTION_DRIFT,
    monitoring_pb2.ALERT_KIND_FEATURE_DRIFT: Kind.FEATURE_DRIFT,
    monitoring_pb2.ALERT_KIND_DATA: Kind.DATA,
}
_ALERT_STATES: Final = {
    monitoring_pb2.ALERT_STATE_OK: AlertState.OK,
    monitoring_pb2.ALERT_STATE_SUSPECT: AlertState.SUSPECT,
    monitoring_pb2.ALERT_STATE_FIRING: AlertState.FIRING,
    monitoring_pb2.ALERT_STATE_RECOVERING: AlertState.RECOVERING,
}
_FIRED: Final = frozenset(
    {monitoring_pb2.ALERT_STATE_FIRING, monitoring_pb2.ALERT_STATE_RECOVERING}
)


def to_run(row: Mapping[str, Any]) -> pb.Run:
    """Make the message of a row of table `run`."""
    run = pb.Run(
        run_id=row["run_id"],
        spec=pb.RunSpec.FromString(row["spec"]),
        state=STATES[row["state"]],
        causes=row["causes"],
        attempt=row["attempt"],
        fence=row["fence"],
        worker=row["worker"],
        stage=row["stage"],
        progress=row["progress"],
        metrics=row["metrics"],
        error=row["error"],
        version=row["version"],
        checkpoint_digest=row["checkpoint_digest"],
        training_set_hash=row["training_set_hash"],
        traceparent=row["traceparent"],
    )
    for name in ("created", "started", "finished"):
        moment: datetime | None = row[f"{name}_at"]
        if moment is not None:
            getattr(run, f"{name}_time").FromDatetime(moment)
    run.stream_time.FromMicroseconds(row["stream_us"])
    return run


def to_decision(row: Mapping[str, Any]) -> pb.Decision:
    """Make the message of a row of table `decision`; an unknown signal is left out."""
    decision = pb.Decision(
        decision_id=row["decision_id"],
        model=row["model"],
        verdict=row["verdict"],
        reason=row["reason"],
        signals={name: float(v) for name, v in row["signals"].items() if v is not None},
        run_id=row["run_id"],
        cause=row["cause"],
        policy_digest=row["policy_digest"],
    )
    decision.stream_time.FromMicroseconds(row["stream_us"])
    decision.decided_time.FromDatetime(row["decided_at"])
    return decision


def from_alert(alert: monitoring_pb2.Alert) -> Alert | None:
    """Read an alert; None for a kind or state that this release does not know."""
    if alert.kind not in _KINDS or alert.state not in _ALERT_STATES:
        return None
    changed = alert.changed_stream_time if alert.HasField("changed_stream_time") else None
    return Alert(
        alert_id=alert.alert_id,
        model=alert.model,
        kind=_KINDS[alert.kind],
        state=_ALERT_STATES[alert.state],
        subject=alert.subject,
        version=alert.version,
        effect=alert.effect,
        bad_from_us=alert.bad_from.ToMicroseconds() if alert.HasField("bad_from") else None,
        bad_to_us=alert.bad_to.ToMicroseconds() if alert.HasField("bad_to") else None,
        changed_us=(changed or alert.changed_time).ToMicroseconds(),
        fired=alert.state in _FIRED,
    )


def to_exclusion(span: Span) -> features_pb2.Exclusion:
    """Make the message of a span that is left out."""
    exclusion = features_pb2.Exclusion(reason=span.reason)
    getattr(exclusion, "from").FromDatetime(from_us(span.from_us))
    exclusion.to.FromDatetime(from_us(span.to_us))
    return exclusion


def to_policy(model: project_pb2.Model) -> Policy:
    """Compile a model's declared policy."""
    declared = model.retrain
    return trigger.policy(
        model.name,
        fire=declared.fire,
        hold=declared.hold,
        debounce_us=declared.debounce.ToMicroseconds(),
        cooldown_us=declared.cooldown.ToMicroseconds(),
        max_runs_per_day=declared.max_runs_per_day,
    )
