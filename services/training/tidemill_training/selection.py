"""On what to train: which rows a run must leave out, because data alerts say they are wrong.

A wrong value makes rows wrong in two ways. It stands in the windows of features, so rows are left
out until the longest window that read it has passed; and where it is in the label's stream, labels
that became known in the span are wrong, whatever the time of their row. A lifetime window never
forgets; it does not widen the span, else nothing could ever be trained again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.project.view_sources import columns_reading, view_streams
from tidemill_training.signals import AlertState, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tidemill.definitions.v1 import project_pb2
    from tidemill_training.signals import Alert

OPEN_END_US: Final = 3_650 * 86_400_000_000
"""An alert without an end excludes so much after its start: everything there is."""
_WORD: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Span:
    """Times from (included) to (excluded), and why."""

    from_us: int
    to_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class Excluded:
    """Spans of row times, and spans of label times."""

    rows: tuple[Span, ...] = ()
    labels: tuple[Span, ...] = ()


def excluded(
    project: project_pb2.Project, model: project_pb2.Model, alerts: Iterable[Alert]
) -> Excluded:
    """Return what a run of `model` leaves out, given all data alerts, open or resolved.

    A suspicion counts as long as it lasts; one that never became a firing alert leaves nothing out.
    """
    rows: list[Span] = []
    labels: list[Span] = []
    used = streams_of(project, model)
    for alert in sorted(alerts, key=lambda a: (a.bad_from_us or 0, a.alert_id)):
        if alert.kind is not Kind.DATA or alert.bad_from_us is None or alert.stream not in used:
            continue
        if alert.state is AlertState.OK and not alert.fired:
            continue
        end = bad_end(alert)
        reason = f"{alert.subject}: alert {alert.alert_id}"
        widened = end + longest_window(project, model, alert.stream, alert.field)
        rows.append(Span(alert.bad_from_us, widened, reason))
        if alert.stream == model.label.stream:
            labels.append(Span(alert.bad_from_us, end, reason))
    return Excluded(tuple(rows), tuple(labels))


def bad_end(alert: Alert) -> int:
    """Return where the bad span ends; a span that is still open has a far end."""
    start = alert.bad_from_us or 0
    if alert.bad_to_us is None or alert.state is AlertState.FIRING:
        return start + OPEN_END_US
    return max(alert.bad_to_us, start)


def streams_of(project: project_pb2.Project, model: project_pb2.Model) -> frozenset[str]:
    """Name every stream that a model's rows depend on."""
    used = views_of(project, model)
    views = (view for view in project.views if view.name in used)
    streams = {stream for view in views for stream in view_streams(view)}
    return frozenset({model.spine.stream, model.label.stream, *streams})


def views_of(project: project_pb2.Project, model: project_pb2.Model) -> frozenset[str]:
    """Name every view that a model reads, by itself or through on-demand features."""
    names = {i.feature.view for i in model.inputs if i.WhichOneof("source") == "feature"}
    by_name = {feature.name: feature.expression for feature in project.on_demand}
    views = {view.name for view in project.views}
    for declared in model.inputs:
        if declared.WhichOneof("source") == "on_demand":
            words = _WORD.findall(by_name.get(declared.on_demand, ""))
            names |= {w.partition("__")[0] for w in words if w.partition("__")[0] in views}
    return frozenset(names)


def longest_window(
    project: project_pb2.Project, model: project_pb2.Model, stream: str, field: str
) -> int:
    """Return the longest window, in microseconds, in which a wrong value of a field stands."""
    used = views_of(project, model)
    longest = 0
    for view in project.views:
        if view.name not in used or stream not in view_streams(view):
            continue
        names = columns_reading(view, stream, field)
        names |= {each.name for each in view.columns if _reads_any(each.expression, names)}
        filtered = any(_reads(s.filter, field) for s in view.sources if s.stream == stream)
        keyed = not names.isdisjoint(view.entity) or _reads_any(view.filter, names)
        shared = bool(field) and (filtered or keyed)
        for aggregation in view.aggregations:
            reads = not field or shared or aggregation.field in names
            if reads or _reads_any(aggregation.filter, names):
                lengths = [w.length.ToMicroseconds() for w in aggregation.windows]
                longest = max([longest, *lengths])
    return longest


def _reads(condition: str, field: str) -> bool:
    return field in _WORD.findall(condition)


def _reads_any(condition: str, fields: Collection[str]) -> bool:
    return any(_reads(condition, field) for field in fields)
