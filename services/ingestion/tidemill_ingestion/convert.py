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
from tidemill_ingestion.handlers import Outcome, Result, check_size
from tidemill_ingestion.validation import RawEvent, Refusal

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
_PARTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_NO_JSON: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
_VERSION: Final = "1.0"


def from_cloudevent(body: bytes) -> tuple[str, RawEvent]:
    """Read CloudEvents JSON in structured mode; Invalid says what is wrong."""
    try:
        event = _ONE.decode(body)
    except _NO_JSON as error:
        raise Invalid(f"not CloudEvents JSON: {_reason(error)}") from error
    if event.specversion != _VERSION:
        raise Invalid(violations=[Violation("specversion", _only(event.specversion))])
    return _pair(event)


def from_cloudevents(body: bytes) -> list[tuple[str, RawEvent] | Refusal]:
    """Read a batch of CloudEvents; Invalid if it is no list of JSON values, or one too long.

    The batch is decoded in one call; only if that fails is each part looked at alone, so that the
    good ones are not held up by bad neighbours.
    """
    try:
        events = _MANY.decode(body)
    except _NO_JSON:
        return [_part(part) for part in _parts(body)]
    check_size(len(events))
    return [
        _pair(event)
        if event.specversion == _VERSION
        else Refusal(_only(event.specversion), "specversion")
        for event in events
    ]


def _parts(body: bytes) -> list[msgspec.Raw]:
    try:
        parts = _PARTS.decode(body)
    except _NO_JSON as error:
        raise Invalid(f"not CloudEvents JSON: {_reason(error)}") from error
    check_size(len(parts))
    return parts


def _part(part: msgspec.Raw) -> tuple[str, RawEvent] | Refusal:
    try:
        return from_cloudevent(bytes(part))
    except Invalid as error:
        field = error.violations[0].field if error.violations else ""
        return Refusal(error.message, field)


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _only(version: str) -> str:
    return f"{version!r}; only {_VERSION} is known"


def _pair(event: CloudEvent) -> tuple[str, RawEvent]:
    return event.type, RawEvent(
        event.id,
        event.source,
        bytes(event.data),
        to_us(event.time) if event.time else None,
        to_us(event.availabletime) if event.availabletime else None,
    )
