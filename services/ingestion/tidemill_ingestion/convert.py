"""Protobuf and CloudEvents JSON to events, results to replies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from tidemill.errors import Invalid, Violation
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill_common.clock import to_us
from tidemill_ingestion.handlers import Outcome, Result
from tidemill_ingestion.validation import RawEvent

_OUTCOMES: Final = {
    Outcome.REJECTED: pb.OUTCOME_REJECTED,
    Outcome.UNKNOWN: pb.OUTCOME_UNKNOWN,
    Outcome.UNAVAILABLE: pb.OUTCOME_UNAVAILABLE,
}


def from_proto(events: Iterable[pb.Event]) -> list[tuple[str, RawEvent]]:
    """(stream, event) of each message."""
    return [
        (
            event.stream,
            RawEvent(
                event.id,
                event.source,
                event.data,
                _us(event.time) if event.HasField("time") else None,
                _us(event.available_time) if event.HasField("available_time") else None,
            ),
        )
        for event in events
    ]


def _us(stamp: Timestamp) -> int:
    return stamp.seconds * 1_000_000 + stamp.nanos // 1_000


def to_results(results: Sequence[Result]) -> list[pb.EventResult]:
    """One reply message per result; what is empty is not set, which is the same and sooner done."""
    return [
        pb.EventResult(outcome=pb.OUTCOME_ACCEPTED, partition=partition, offset=offset, row=row)
        if outcome is Outcome.ACCEPTED
        else pb.EventResult(outcome=_OUTCOMES[outcome], reason=reason, field=field)
        for outcome, reason, field, partition, offset, row in results
    ]


def to_token(token: Mapping[tuple[str, int], int], epoch: str) -> pb.PositionToken:
    """Positions of a publish call."""
    return pb.PositionToken(
        positions=[
            pb.Position(stream=stream, topic_epoch=epoch, partition=partition, next_offset=offset)
            for (stream, partition), offset in token.items()
        ]
    )


class CloudEvent(msgspec.Struct, frozen=True):
    """A CloudEvent 1.0 in structured JSON mode; `data` keeps its bytes."""

    id: str
    source: str
    type: str
    specversion: str
    data: msgspec.Raw
    time: datetime | None = None
    availabletime: datetime | None = None
    datacontenttype: str = "application/json"
    dataschema: str = ""
    subject: str = ""


_ONE: Final = msgspec.json.Decoder(CloudEvent)
_MANY: Final = msgspec.json.Decoder(list[CloudEvent])


def from_cloudevents(body: bytes, *, batched: bool) -> list[tuple[str, RawEvent]]:
    """Read structured (one) or batched (a list) CloudEvents JSON; Invalid says what is wrong."""
    try:
        events = _MANY.decode(body) if batched else [_ONE.decode(body)]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        text = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Invalid(f"not CloudEvents JSON: {text}") from error
    problems = [
        Violation(f"[{position}].specversion", f"{event.specversion!r}; only 1.0 is known")
        for position, event in enumerate(events)
        if event.specversion != "1.0"
    ]
    if problems:
        raise Invalid(violations=problems)
    return [
        (
            event.type,
            RawEvent(
                event.id,
                event.source,
                bytes(event.data),
                to_us(event.time) if event.time else None,
                to_us(event.availabletime) if event.availabletime else None,
            ),
        )
        for event in events
    ]
