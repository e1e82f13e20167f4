"""What the run has shown, in numbers: `demo/summary.json`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from replay import Progress
from sklearn.metrics import log_loss, roc_auc_score
from timetable import Fault
from watch import Seen

from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.monitoring.v1 import monitoring_service_pb2 as monitoring_pb
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.training.v1 import training_service_pb2 as training_pb

CLIP = 1e-6
WANTED_GAIN = {"auc": 0.04, "log_loss": 0.029}
"""What retraining every fortnight gave over a first version of two weeks, in an offline trial."""


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a summary is made of; `served` has one row per answered flight.

    Columns of `served`: flight_id, at, score, version, variant, freshness_ms, latency_ms, asked,
    late, first_score.
    """

    progress: Progress
    served: pl.DataFrame
    seen: Seen
    decisions: Sequence[training_pb.Decision]
    verified: features_pb.VerifyVectorsResponse
    training_set: features_pb.TrainingSet
    fault: Fault | None
    seconds: dict[str, float]


def quality(rows: pl.DataFrame, score: str) -> dict[str, float]:
    """AUC and log loss of a score column against `late`; NaN where there is only one class."""
    label = rows["late"].to_numpy().astype(np.int64)
    if len(set(label.tolist())) < 2:
        return {"auc": math.nan, "log_loss": math.nan, "rows": len(label)}
    value = np.clip(rows[score].to_numpy(), CLIP, 1 - CLIP)
    return {
        "auc": float(roc_auc_score(label, value)),
        "log_loss": float(log_loss(label, value)),
        "rows": len(label),
    }


def gain(served: dict[str, float], first: dict[str, float]) -> dict[str, float]:
    """By how much what was served is better than the first version on the same flights."""
    return {
        "auc": served["auc"] - first["auc"],
        "log_loss": first["log_loss"] - served["log_loss"],
    }


def labelled(served: pl.DataFrame) -> pl.DataFrame:
    """Answers whose flight arrived."""
    return served.filter(pl.col("late").is_not_null())


def summarise(run: Run) -> dict[str, Any]:
    """Return the summary as JSON values."""
    rows = labelled(run.served)
    served, first = quality(rows, "score"), quality(rows, "first_score")
    gained = gain(served, first)
    fire = reaction_seconds(run)
    return {
        "events": run.progress.events,
        "events_refused": run.progress.refused,
        "publish_retries": run.progress.retries,
        "predictions": run.served.height,
        "asked_before_the_first_version": run.progress.unanswered,
        "seconds": {name: round(value, 1) for name, value in run.seconds.items()},
        "quality": {
            "served": served,
            "first_version": first,
            "gain": gained,
            "wanted_gain": WANTED_GAIN,
            "wanted_gain_reached": all(gained[name] >= WANTED_GAIN[name] for name in gained),
        },
        "freshness_ms": _quantiles(run.served["freshness_ms"]),
        "latency_ms": _quantiles(run.served["latency_ms"]),
        "versions": [_version(version) for version in run.seen.versions],
        "refused_versions": [
            _version(version)
            for version in run.seen.versions
            if version.stage == registry_pb.STAGE_REJECTED
        ],
        "policy_fires_to_traffic_s": {"p50": float(np.median(fire)) if fire else None, "all": fire},
        "alerts": [_alert(alert) for alert in run.seen.alerts],
        "fault": _fault(run),
        "served_vectors_recomputed": {
            "vectors": run.verified.vectors,
            "values": run.verified.values,
            "mismatches": run.verified.mismatches,
            "by_feature": dict(run.verified.by_feature),
            "examples": list(run.verified.examples)[:5],
        },
        "training_set": {
            "rows": run.training_set.rows,
            "events": run.training_set.events,
            "seconds": run.training_set.seconds,
            "row_hash": run.training_set.row_hash,
        },
    }


def reaction_seconds(run: Run) -> list[float]:
    """Wall seconds from the decision that opened a run to the first answer of its version.

    A policy that fires again while the run is open is attached to it and does not count.
    """
    first = dict(run.served.group_by("version").agg(pl.col("asked").min()).iter_rows())
    version_of = {one.run_id: one.version for one in run.seen.runs if one.version}
    fired: dict[str, float] = {}
    for decision in run.decisions:
        at = decision.decided_time.ToMicroseconds() / 1e6
        fired[decision.run_id] = min(at, fired.get(decision.run_id, at))
    return sorted(
        round(first[version_of[run_id]] - at, 2)
        for run_id, at in fired.items()
        if version_of.get(run_id) in first
    )


def weekly(served: pl.DataFrame) -> list[dict[str, Any]]:
    """Quality by week, of what was served and of the first version."""
    rows = labelled(served).sort("at")
    weeks = rows.group_by_dynamic("at", every="1w").agg(pl.len())
    found = []
    for start, _ in weeks.iter_rows():
        part = rows.filter(
            pl.col("at").is_between(start, start + timedelta(weeks=1), closed="left")
        )
        found.append(
            {"week": start, "served": quality(part, "score"), "first": quality(part, "first_score")}
        )
    return found


def _quantiles(values: pl.Series) -> dict[str, float | None]:
    return {
        "p50": values.quantile(0.5, "linear"),
        "p99": values.quantile(0.99, "linear"),
        "max": values.max(),  # type: ignore[dict-item]  # a float series
    }


def _version(version: registry_pb.Version) -> dict[str, Any]:
    return {
        "number": version.number,
        "stage": registry_pb.Stage.Name(version.stage).removeprefix("STAGE_").lower(),
        "metrics": dict(version.metrics),
        "data_until": _time(version.data_time),
        "reason": version.reason,
        "gates": {
            gate.gate: f"{_verdict(gate.verdict)}: {gate.reason}" for gate in version.gate_results
        },
    }


def _alert(alert: monitoring_pb.Alert) -> dict[str, Any]:
    return {
        "kind": monitoring_pb.AlertKind.Name(alert.kind).removeprefix("ALERT_KIND_").lower(),
        "subject": alert.subject,
        "state": monitoring_pb.AlertState.Name(alert.state).removeprefix("ALERT_STATE_").lower(),
        "severity": alert.severity,
        "opened": _time(alert.opened_stream_time),
        "resolved": _time(alert.resolved_stream_time),
        "summary": alert.summary,
        "first_bad": {
            "topic": alert.first_bad.topic,
            "partition": alert.first_bad.partition,
            "offset": alert.first_bad.offset,
            "row": alert.first_bad.row,
            "value": alert.first_bad.value,
            "event_time": _time(alert.first_bad.event_time),
        },
        "report": alert.report_path,
    }


def _fault(run: Run) -> dict[str, Any] | None:
    """Whether the injected fault was named, kept out of training, and recovered from."""
    fault = run.fault
    if fault is None:
        return None
    alerts = [
        alert
        for alert in run.seen.alerts
        if alert.kind == monitoring_pb.ALERT_KIND_DATA and "delay" in alert.subject
    ]
    runs_during = [
        one.run_id
        for one in run.seen.runs
        if fault.start <= one.stream_time.ToDatetime(tzinfo=fault.start.tzinfo) < fault.end
    ]
    later = [
        one
        for one in run.seen.runs
        if one.state == training_pb.RUN_STATE_SUCCEEDED
        and one.stream_time.ToDatetime(tzinfo=fault.start.tzinfo) >= fault.end
    ]
    return {
        "injected": {
            "from": fault.start.isoformat(),
            "to": fault.end.isoformat(),
            "carrier": fault.carrier,
        },
        "named": [_alert(alert) for alert in alerts],
        "runs_opened_during_it": runs_during,
        "recovered": bool(alerts)
        and all(alert.HasField("resolved_stream_time") for alert in alerts),
        "runs_after_it": len(later),
        "rows_left_out": [
            {"from": _time(getattr(one, "from")), "to": _time(one.to), "reason": one.reason}
            for run_after in later[:1]
            for one in run_after.spec.exclusions
        ],
    }


def _time(stamp: Any) -> str | None:
    if not stamp.seconds:
        return None
    at: datetime = stamp.ToDatetime()
    return at.isoformat(sep=" ", timespec="seconds")


def _verdict(verdict: int) -> str:
    return registry_pb.Verdict.Name(verdict).removeprefix("VERDICT_").lower()
