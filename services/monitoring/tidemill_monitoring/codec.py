"""Stored form of the monitors' state: rows of the database to domain values and back."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidemill_monitoring import signedlog
from tidemill_monitoring.alerts import Alert, Cause, FirstBad, Kind, Machine, State, Subject
from tidemill_monitoring.fields import Past, Segment
from tidemill_monitoring.fieldstate import FieldState, Span, Watched, empty, in_order, schema
from tidemill_monitoring.quality import Cohort

Array = npt.NDArray[Any]


def pack(values: Array) -> bytes:
    """Compress an array of numbers (most of them are 0) as float64."""
    return zlib.compress(np.ascontiguousarray(values, dtype=np.float64).tobytes(), 1)


def unpack(data: bytes) -> npt.NDArray[np.float64]:
    """Give the numbers that were packed."""
    return np.frombuffer(zlib.decompress(data), dtype=np.float64).copy()


def frame_to_bytes(frame: pl.DataFrame) -> bytes:
    """Write rows as an Arrow file."""
    sink = io.BytesIO()
    frame.write_ipc(sink, compression="lz4")
    return sink.getvalue()


def frame_from_bytes(data: bytes) -> pl.DataFrame:
    """Read rows back."""
    return pl.read_ipc(io.BytesIO(data))


def alert_columns(alert: Alert) -> Sequence[object]:
    """Give the columns of `save_alert`, without the last."""
    details = {
        "recent": list(alert.machine.recent),
        "clean": alert.machine.clean,
        "causes": [asdict(cause) for cause in alert.causes],
        "first_bad": asdict(alert.first_bad) if alert.first_bad else None,
    }
    return (
        alert.alert_id,
        alert.subject.kind.value,
        alert.subject.model,
        alert.subject.version,
        alert.subject.name,
        alert.machine.state.value,
        alert.severity,
        alert.effect,
        alert.p_value,
        alert.opened_us,
        alert.changed_us,
        alert.changed_wall_us,
        alert.resolved_us,
        alert.bad_from_us,
        alert.bad_to_us,
        alert.summary,
        details,
        alert.traceparent,
    )


def alert(row: Any) -> Alert:
    """Read an alert from its row."""
    details = row["details"]
    first = details["first_bad"]
    machine = Machine(State(row["state"]), tuple(details["recent"]), details["clean"])
    return Alert(
        alert_id=row["alert_id"],
        subject=Subject(Kind(row["kind"]), row["model"], row["version"], row["subject"]),
        machine=machine,
        severity=row["severity"],
        effect=row["effect"],
        p_value=row["p_value"],
        opened_us=row["opened_us"],
        changed_us=row["changed_us"],
        changed_wall_us=row["changed_wall_us"],
        summary=row["summary"],
        causes=tuple(Cause(**cause) for cause in details["causes"]),
        first_bad=FirstBad(**first) if first else None,
        bad_from_us=row["bad_from_us"],
        bad_to_us=row["bad_to_us"],
        resolved_us=row["resolved_us"],
        report_path=row["report_path"],
        acknowledged_by=row["acknowledged_by"],
        traceparent=row["traceparent"],
    )


def with_others(alert: Alert, report_path: str, acknowledged_by: str) -> Alert:
    """Give the alert with what others write into its row."""
    return replace(alert, report_path=report_path, acknowledged_by=acknowledged_by)


def cohort(row: Any) -> Cohort:
    """Read a revision of a cohort from its row."""
    return Cohort(
        model=row["model"],
        version=row["version"],
        from_us=row["window_start"],
        to_us=row["window_end"],
        predictions=row["predictions"],
        labelled=row["labelled"],
        metrics=row["metrics"],
        mature=row["mature"],
        final=row["final"],
        error=row["error"] if row["error"] is not None else math.inf,
        revision=row["revision"],
    )


def field_state(state: FieldState) -> tuple[dict[str, Any], bytes]:
    """Give a watch without its rows: a document, and the counts of the pasts."""
    names = sorted(state.pasts)
    document = {
        "looked_us": state.looked_us,
        "learnt_us": state.learnt_us,
        "spans": [asdict(span) for span in state.spans],
        "pasts": [
            {
                "name": name,
                "missing": state.pasts[name].missing,
                "first_us": state.pasts[name].first_us,
                "last_us": state.pasts[name].last_us,
            }
            for name in names
        ],
    }
    counts = [state.pasts[name].counts for name in names]
    return document, pack(np.concatenate(counts) if counts else np.zeros(0))


def field_state_from(
    watched: Watched, frames: Sequence[pl.DataFrame], document: Mapping[str, Any], packed: bytes
) -> FieldState:
    """Read a watch; rows of another generation of the stream that do not fit are let go."""
    columns = schema(watched)
    fitting = [frame for frame in frames if frame.schema == pl.Schema(columns)]
    rows = in_order(pl.concat(fitting)) if fitting else empty(watched).rows
    if not document:
        return FieldState(rows=rows)
    listed = document["pasts"]
    counts = unpack(packed).reshape(len(listed), signedlog.CELLS)
    return FieldState(
        rows=rows,
        pasts={
            past["name"]: Past(counts[i], past["missing"], past["first_us"], past["last_us"])
            for i, past in enumerate(listed)
        },
        spans=tuple(
            Span(**{**span, "segment": Segment(**span["segment"])})
            for span in document["spans"]
            if span["field"] in watched.numeric
        ),
        looked_us=document["looked_us"],
        learnt_us=document["learnt_us"],
    )
