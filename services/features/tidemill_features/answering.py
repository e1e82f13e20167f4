"""Explanations and events between the engine's words and the protocol's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_features.convert import STATUS
from tidemill_features.explaining import value_of
from tidemill_tiles.definitions import normalised
from tidemill_tiles.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill_features.entityevents import EntityEvents
    from tidemill_features.explaining import Counted, Explanation
    from tidemill_tiles.plan import Plan

EVENTS: Final = 100
"""Events, and tiles, of a feature, unless more are asked for."""
MAX_EVENTS: Final = 4_000
"""In one reply, which must stay below the largest message."""
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


def newest(counted: Sequence[Counted], most: int) -> list[tuple[EntityEvents, int]]:
    """Return the newest events of all streams by window time and id, oldest first."""
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
