"""Protobuf to domain and back."""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tidemill.monitoring.v1 import monitoring_service_pb2 as pb
from tidemill_monitoring.alerts import Alert, Kind, State
from tidemill_monitoring.quality import Cohort

KINDS = {
    Kind.QUALITY: pb.ALERT_KIND_QUALITY,
    Kind.PREDICTION_DRIFT: pb.ALERT_KIND_PREDICTION_DRIFT,
    Kind.FEATURE_DRIFT: pb.ALERT_KIND_FEATURE_DRIFT,
    Kind.DATA: pb.ALERT_KIND_DATA,
}
STATES = {
    State.OK: pb.ALERT_STATE_OK,
    State.SUSPECT: pb.ALERT_STATE_SUSPECT,
    State.FIRING: pb.ALERT_STATE_FIRING,
    State.RECOVERING: pb.ALERT_STATE_RECOVERING,
}


def to_timestamp(us: int | None) -> Timestamp | None:
    """Give microseconds as a protobuf time; None stays unset."""
    if us is None:
        return None
    stamp = Timestamp()
    stamp.FromMicroseconds(us)
    return stamp


def from_timestamp(stamp: Timestamp, unset: int) -> int:
    """Give a protobuf time as microseconds; `unset` for the zero time."""
    return stamp.ToMicroseconds() or unset


def to_alert(alert: Alert) -> pb.Alert:
    """Give an alert; the end of the bad span is told when it is over."""
    message = pb.Alert(
        alert_id=alert.alert_id,
        kind=KINDS[alert.subject.kind],
        model=alert.subject.model,
        version=alert.subject.version,
        subject=alert.subject.name,
        state=STATES[alert.machine.state],
        severity=alert.severity,
        effect=alert.effect,
        p_value=alert.p_value,
        causes=[
            pb.Cause(
                subject=cause.subject,
                shape=cause.shape,
                weight=cause.weight,
                segment=cause.segment,
                text=cause.text,
            )
            for cause in alert.causes
        ],
        opened_stream_time=to_timestamp(alert.opened_us),
        changed_stream_time=to_timestamp(alert.changed_us),
        resolved_stream_time=to_timestamp(alert.resolved_us),
        changed_time=to_timestamp(alert.changed_wall_us),
        report_path=alert.report_path,
        acknowledged_by=alert.acknowledged_by,
        traceparent=alert.traceparent,
        summary=alert.summary,
        bad_from=to_timestamp(alert.bad_from_us),
        bad_to=to_timestamp(_end(alert)),
    )
    first = alert.first_bad
    if first is not None:
        message.first_bad.CopyFrom(
            pb.FirstBad(
                topic=first.topic,
                partition=first.partition,
                offset=first.offset,
                row=first.row,
                event_time=to_timestamp(first.event_us),
                value=first.value,
            )
        )
    return message


def _end(alert: Alert) -> int | None:
    """Give the moment just after the last bad event, so that [bad_from, bad_to) holds it, too."""
    return None if alert.machine.open or alert.bad_to_us is None else alert.bad_to_us + 1


def to_changed(alert: Alert, previous: State) -> pb.AlertChanged:
    """Give the event that says how an alert stands now."""
    return pb.AlertChanged(alert=to_alert(alert), previous=STATES[previous])


def to_drift_window(row: Any) -> pb.DriftWindow:
    """Give one judged subject of one window."""
    message = pb.DriftWindow(
        subject=row["subject"],
        version=row["version"],
        to=to_timestamp(row["window_end"]),
        rows=row["rows"],
        effect=row["effect"],
        p_value=row["p_value"],
        drifted=row["drifted"],
    )
    getattr(message, "from").FromMicroseconds(row["window_start"])
    return message


def to_cohort(cohort: Cohort) -> pb.Cohort:
    """Give the quality of one cohort."""
    message = pb.Cohort(
        version=cohort.version,
        to=to_timestamp(cohort.to_us),
        predictions=cohort.predictions,
        labelled=cohort.labelled,
        coverage=cohort.coverage,
        metrics=dict(cohort.metrics),
        mature=cohort.mature,
    )
    getattr(message, "from").FromMicroseconds(cohort.from_us)
    return message
