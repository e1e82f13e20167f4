"""The inspector process: takes inquiries as lines on standard input, answers as lines on output.

It is a process of its own so that reads in the server stay fast while it looks through an archive.
It ends when its input does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from tidemill.errors import NotFound, TidemillError
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_common import log
from tidemill_common.feature_views import view_spec
from tidemill_features.answering import (
    MAX_ROWS,
    MAX_VALUES,
    ROWS,
    from_course,
    from_explanations,
)
from tidemill_features.convert import STATUS, to_entities
from tidemill_features.entityevents import EntityArchive, nearest, told
from tidemill_features.explaining import explain
from tidemill_features.history import Span, course
from tidemill_features.inquiries import Inquiry
from tidemill_features.jobs import error_line, result_line
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.kernels import warm_up
from tidemill_tiles.keys import hash_key
from tidemill_tiles.reads import Reading

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.entityevents import EntityEvents, Key

_STATUS_OF = {code: status for status, code in STATUS.items()}


def main() -> None:
    """Answer the inquiries on standard input."""
    log.configure("features-inspector")
    warm_up()
    for line in sys.stdin.buffer:
        try:
            answer = result_line(answered(Inquiry.from_line(line)))
        except TidemillError as error:
            answer = error_line(error)
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()


def answered(inquiry: Inquiry) -> Message:
    """Answer one inquiry from the archive; NotFound if the entity has no event in it."""
    return _explained(inquiry) if inquiry.kind == "explain" else _history(inquiry)


def _explained(inquiry: Inquiry) -> pb.ExplainFeaturesResponse:
    request = pb.ExplainFeaturesRequest.FromString(inquiry.request)
    view = view_spec(inquiry.project, request.view)
    key = to_entities(view, [request.entity])[0]
    events = _events(inquiry, view, key)
    explanations = explain(
        view.plan,
        events,
        hash_key(canonical_key(key)),
        inquiry.at_us,
        inquiry.watermarks,
        _reading(inquiry.served),
        request.features or view.features,
    )
    return from_explanations(view.plan, explanations, request.max_events)


def _history(inquiry: Inquiry) -> pb.GetHistoryResponse:
    request = pb.GetHistoryRequest.FromString(inquiry.request)
    view = view_spec(inquiry.project, request.view)
    key = to_entities(view, [request.entity])[0]
    events = _events(inquiry, view, key)
    features = list(request.features) or list(view.features)
    span = Span(
        request.since.ToMicroseconds() if request.HasField("since") else None,
        inquiry.at_us,
        request.every.ToMicroseconds(),
    )
    limit = min(request.limit or ROWS, MAX_ROWS, MAX_VALUES // len(features))
    found = course(view.plan, events, canonical_key(key), features, span, limit)
    return from_course(features, found, events, span, request.max_events)


def _events(inquiry: Inquiry, view: ViewSpec, key: Key) -> list[EntityEvents]:
    archives = [
        EntityArchive(inquiry.archive, name, inquiry.versions[name], inquiry.cut[name])
        for name in view.streams
    ]
    events = [archive.events(view, key) for archive in archives]
    if not any(map(len, events)):
        message = f"{view.name} has never had an event of {told(view, key)}"
        raise NotFound(message, hint=nearest(view, key, archives))
    return events


def _reading(served: pb.EntityValues) -> Reading:
    return Reading(
        np.array([served.values], dtype=np.float64),
        np.array([[_STATUS_OF[code] for code in served.statuses]], dtype=np.uint8),
        np.array([NO_TIME], dtype=np.int64),
    )


if __name__ == "__main__":
    main()
