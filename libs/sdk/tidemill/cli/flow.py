"""How events flow: each view's lag, freshness, size, flushes and snapshots; each bridge. Pure.

What the replica knows comes with DescribeViews; what only the processes know, their rates and
durations, from two looks at their metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from tidemill.cli.exposition import Samples, quantile, rate
from tidemill.cli.output import NOTHING, short, when
from tidemill.definitions.v1 import project_pb2
from tidemill.features.v1 import feature_service_pb2 as features_pb

Rows = list[dict[str, Any]]

VIEW_COLUMNS: Final = (
    *("view", "stream", "events/s", "lag", "behind", "fresh"),
    *("entities", "rows", "size", "flush p50/p99", "snapshot"),
)
NEXT_COLUMNS: Final = ("generation", "view", "version", "state", "built", "lag", "left")
BRIDGE_COLUMNS: Final = (
    *("stream", "topic", "format", "state"),
    *("events/s", "appended", "dead", "left out", "lag"),
)
UNITS: Final = ("B", "kB", "MB", "GB", "TB")
SPANS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"))


def partition_row(state: features_pb.ViewState) -> dict[str, Any]:
    """Return what a replica says of one partition of a view's log."""
    return {
        "view": state.view,
        "version": state.version,
        "stream": state.stream,
        "partition": state.partition,
        "position": state.position,
        "lag": max(0, state.source_end - state.position),
        "lag_seconds": _seconds(state, "lag"),
        "fresh_seconds": _seconds(state, "since_last_record"),
        "entities": state.entities,
        "rows": state.rows,
        "bytes": state.state_bytes,
        "ready": state.ready,
        "newest": when(state.newest_available),
        "last_snapshot": when(state.last_snapshot),
        "snapshot_seconds": _seconds(state, "snapshot_took"),
        "snapshot_open_seconds": _seconds(state, "snapshot_open"),
    }


def _seconds(
    message: features_pb.ViewState | features_pb.NextGeneration, name: str
) -> float | None:
    span: Duration = getattr(message, name)
    return span.ToMicroseconds() / 1e6 if message.HasField(name) else None


def next_rows(coming: features_pb.NextGeneration) -> Rows:
    """Return each view of the generation that is built beside, and how far it is."""
    parts: dict[tuple[str, str], list[features_pb.ViewState]] = {}
    for one in coming.views:
        parts.setdefault((one.view, one.version), []).append(one)
    return [
        {
            "generation": coming.generation,
            "held": coming.held,
            "state": next_state(coming),
            "view": view,
            "version": version,
            "records": sum(min(max(one.position, 0), one.source_end) for one in states),
            "records_total": sum(one.source_end for one in states),
            "remaining_seconds": _seconds(coming, "remaining"),
        }
        for (view, version), states in parts.items()
    ]


def next_state(coming: features_pb.NextGeneration) -> str:
    """Say in a word how far a generation is."""
    return short(features_pb.NextState.Name(coming.state), "NEXT_STATE_").replace("_", " ")


def shown_next(row: dict[str, Any]) -> dict[str, Any]:
    """Show a view that is built beside as people read it."""
    done, total = row["records"], row["records_total"]
    return {
        **row,
        "generation": row["generation"][:12],
        "built": f"{100 * done // total} %" if total else "100 %",
        "lag": total - done,
        "left": span(row["remaining_seconds"]),
    }


def stream_row(stream: str, before: Samples, after: Samples) -> dict[str, Any]:
    """Return what the workers say of a stream: all of its views are updated by one flush."""
    flush = "tidemill_flush_duration_seconds"
    return {
        "stream": stream,
        "events_per_second": rate(before, after, "tidemill_events_applied_total", stream=stream),
        "duplicates": after.total("tidemill_duplicates_total", stream=stream),
        "late": after.total("tidemill_events_late_total", stream=stream),
        "flush_p50_seconds": quantile(before, after, flush, 0.5, stream=stream),
        "flush_p99_seconds": quantile(before, after, flush, 0.99, stream=stream),
    }


def sources(project: project_pb2.Project) -> Rows:
    """Return the foreign topics of a project."""
    return [
        {
            "stream": stream.name,
            "topic": stream.source.topic,
            "format": short(project_pb2.Format.Name(stream.source.format), "FORMAT_"),
        }
        for stream in project.streams
        if stream.HasField("source")
    ]


def bridge_row(source: dict[str, Any], before: Samples, after: Samples) -> dict[str, Any]:
    """Return what the bridge says of one foreign topic."""
    stream, counter = source["stream"], "tidemill_bridge_records_total"
    stopped = after.total("tidemill_bridge_stopped", stream=stream)
    waiting = after.total("tidemill_bridge_waiting", stream=stream)
    working = "no such topic" if waiting else "running"
    state = "unknown" if stopped is None else "stopped" if stopped else working
    known = {
        outcome: after.total(counter, stream=stream, outcome=outcome)
        for outcome in ("appended", "dead", "left_out", "repeated")
    }
    group = f"tidemill-bridge.{stream}"
    return {
        **source,
        "state": state,
        "events_per_second": rate(before, after, counter, stream=stream, outcome="appended"),
        **{name: None if stopped is None else value or 0.0 for name, value in known.items()},
        "lag": after.total("tidemill_consumer_lag_records", topic=source["topic"], group=group),
    }


def by_view(partitions: Iterable[dict[str, Any]], streams: Sequence[dict[str, Any]]) -> Rows:
    """Add the partitions of each view and stream up, as people read them."""
    flows = {row["stream"]: row for row in streams}
    parts: dict[tuple[str, str, str], Rows] = {}
    for row in partitions:
        parts.setdefault((row["view"], row["version"], row["stream"]), []).append(row)
    return [_summed(rows, flows.get(stream, {})) for (_, _, stream), rows in parts.items()]


def _summed(rows: Rows, flow: dict[str, Any]) -> dict[str, Any]:
    lag = sum(row["lag"] for row in rows)
    ready = all(row["ready"] for row in rows)
    flushes = [flow.get(f"flush_{share}_seconds") for share in ("p50", "p99")]
    behind = _largest(rows, "lag_seconds")
    return {
        "view": rows[0]["view"],
        "stream": rows[0]["stream"],
        "events/s": _number(flow.get("events_per_second")),
        "lag": lag if ready else f"{lag}, not ready",
        "behind": span(behind) if lag else "0 s",
        "fresh": span(_largest(rows, "fresh_seconds")),
        "entities": sum(row["entities"] for row in rows),
        "rows": sum(row["rows"] for row in rows),
        "size": size(sum(row["bytes"] for row in rows)),
        "flush p50/p99": " / ".join(map(span, flushes)),
        "snapshot": _snapshot(rows),
    }


def _largest(rows: Rows, name: str) -> float | None:
    return max((row[name] for row in rows if row[name] is not None), default=None)


def _snapshot(rows: Rows) -> str:
    """Say how old the oldest of the partitions' newest snapshots is, and how long one took."""
    opened = _largest(rows, "snapshot_open_seconds")
    if opened is not None:
        return f"for {span(opened)} under way"
    if any(row["last_snapshot"] == NOTHING for row in rows):
        return "none yet"
    oldest = min(datetime.fromisoformat(row["last_snapshot"]) for row in rows)
    age = (datetime.now(UTC) - oldest.replace(tzinfo=UTC)).total_seconds()
    return f"{span(max(0.0, age))} ago, took {span(_largest(rows, 'snapshot_seconds'))}"


def shown(bridge: dict[str, Any]) -> dict[str, Any]:
    """Show a bridge as people read it."""
    counts = {name: bridge.get(name) for name in ("appended", "dead", "left_out", "lag")}
    return {
        **bridge,
        **{
            name.replace("_", " "): NOTHING if value is None else f"{value:.0f}"
            for name, value in counts.items()
        },
        "events/s": _number(bridge.get("events_per_second")),
    }


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def span(seconds: float | None) -> str:
    """Show a duration by its largest unit."""
    if seconds is None:
        return NOTHING
    for unit, name in SPANS:
        if seconds >= unit:
            count = seconds / unit
            return f"{count:.0f} {name}" if count >= 10 else f"{count:.1f} {name}"
    return "0 ms"


def size(count: int) -> str:
    """Show bytes by their largest unit."""
    value, unit = float(count), 0
    while value >= 1_000 and unit < len(UNITS) - 1:
        value, unit = value / 1_000, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit and value < 10 else f"{value:.0f} {UNITS[unit]}"
