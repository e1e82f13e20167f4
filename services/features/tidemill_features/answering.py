"""Explanations, histories and events between the engine's words and the protocol's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_features.convert import STATUS
from tidemill_features.explaining import Counted, value_of
from tidemill_tiles.definitions import normalised
from tidemill_tiles.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill_features.entityevents import EntityEvents
    from tidemill_features.explaining import Explanation
    from tidemill_features.history import Course, Span
    from tidemill_tiles.plan import Plan

EVENTS: Final = 100
"""Events, and tiles, of a feature, unless more are asked for."""
MAX_EVENTS: Final = 4_000
"""In one reply, which must stay below the largest message."""
ROWS: Final = 1_000
"""Rows of a history, unless more are asked for."""
MAX_ROWS: Final = 10_000
MAX_VALUES: Final = 100_000
MAX_TEXT: Final = 200
VERDICTS: Final = {
    Verdict.APPLIED: pb.VERDICT_APPLIED,
    Verdict.DUPLICATE: pb.VERDICT_DUPLICATE,
    Verdict.LATE: pb.VERDICT_LATE,
}


def from_explanations(
    plan: Plan, explanations: Sequence[Explanation], max_events: int
) -> pb.ExplainFeaturesResponse:
    """Write explanations; each with its newest tiles and events, as many as fit in a reply."""
    most = min(max_events or EVENTS, MAX_EVENTS // len(explanations))
    kinds = {one.name: one for one in normalised(plan.definition).aggregations}
    response = pb.ExplainFeaturesResponse(agrees=all(one.agrees for one in explanations))
    for one in explanations:
        message = _explanation(one, most)
        for part, row in newest(one.counted, most):
            event = from_event(part, row)
            match value_of(plan, kinds[one.feature], part, row):
                case float(value):
                    event.value = value
                case str(text):
                    event.text = text[:MAX_TEXT]
            message.events.append(event)
        response.features.append(message)
    return response


def _explanation(one: Explanation, most: int) -> pb.Explanation:
    message = pb.Explanation(
        feature=one.feature,
        served=one.served,
        served_status=STATUS[one.served_status],
        recomputed=one.recomputed,
        recomputed_status=STATUS[one.recomputed_status],
        agrees=one.agrees,
        operands=one.operands,
        tiles_total=len(one.tiles),
        events_total=sum(len(part.rows) for part in one.counted),
        left_out=one.left_out,
    )
    for tile in one.tiles[-most:]:
        written = message.tiles.add(value=tile.value, events=tile.events)
        if tile.start_us is not None and tile.end_us is not None:
            written.start.FromMicroseconds(tile.start_us)
            written.end.FromMicroseconds(tile.end_us)
    return message


def from_course(
    features: Sequence[str],
    found: Course,
    events: Sequence[EntityEvents],
    span: Span,
    max_events: int,
) -> pb.GetHistoryResponse:
    """Write a history, and the newest events that happened or became known in its span."""
    response = pb.GetHistoryResponse(features=features, rows_cut=found.cut)
    codes = np.take([STATUS[one] for one in sorted(STATUS)], found.status).tolist()
    rows = zip(found.at_us.tolist(), found.values.tolist(), codes, strict=True)
    for at_us, values, statuses in rows:
        response.rows.add(values=values, statuses=statuses).at.FromMicroseconds(at_us)
    first_us = int(found.at_us[0])
    counted = [_within(one, first_us, span.until_us) for one in events]
    response.events_total = sum(len(one.rows) for one in counted)
    for part, row in newest(counted, min(max_events, MAX_EVENTS)):
        response.events.append(from_event(part, row))
    return response


def _within(events: EntityEvents, first_us: int, last_us: int) -> Counted:
    """Return the events with a time within a span, oldest first."""
    known = (events.available_us >= first_us) & (events.available_us <= last_us)
    happened = (events.batch.time_us >= first_us) & (events.batch.time_us <= last_us)
    rows = np.flatnonzero(known | happened)
    return Counted(events, rows[np.lexsort((events.batch.tie[rows], events.batch.time_us[rows]))])


def newest(counted: Sequence[Counted], most: int) -> list[tuple[EntityEvents, int]]:
    """Return the newest events of all streams by window time and id, oldest first."""
    if not most:
        return []
    last = [(part.events, int(row)) for part in counted for row in part.rows[-most:]]
    last.sort(key=lambda one: (one[0].batch.time_us[one[1]], one[0].batch.tie[one[1]]))
    return last[-most:]


def from_event(events: EntityEvents, row: int) -> pb.FeatureEvent:
    """Write one event, without what a feature takes of it."""
    table = events.table
    message = pb.FeatureEvent(
        stream=events.stream,
        partition=int(events.partition[row]),
        offset=table["_offset"][row].as_py(),
        row=table["_row"][row].as_py(),
        source=table["_source"][row].as_py()[:MAX_TEXT],
        id=table["_id"][row].as_py(),
        verdict=VERDICTS[Verdict(int(events.verdict[row]))],
    )
    message.event_time.FromMicroseconds(int(events.event_us[row]))
    message.available_time.FromMicroseconds(int(events.available_us[row]))
    return message
