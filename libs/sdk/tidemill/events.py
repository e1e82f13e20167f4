"""Events as users write them."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from tidemill.errors import Invalid
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb

DEFAULT_SOURCE = "python"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of `stream`; publishing the same (source, id) again counts once.

    `time` is when it happened, `available` when the platform could first know it (only for streams
    marked `replay`); both aware. `data` holds the stream's fields.
    """

    stream: str
    data: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid4()))
    source: str = DEFAULT_SOURCE
    time: datetime | None = None
    available: datetime | None = None


def to_proto(event: Event) -> pb.Event:
    """Encode; Invalid if a value has no JSON form (NaN and infinities have none) or no zone."""
    try:
        data = orjson.dumps(event.data, option=orjson.OPT_UTC_Z)
    except TypeError as error:
        raise Invalid(f"event {event.id!r} of {event.stream}: {error}") from error
    if b"null" in data:  # orjson writes a number that JSON cannot hold so, too
        _refuse_what_became_null(event)
    message = pb.Event(id=event.id, source=event.source, stream=event.stream, data=data)
    if event.time is not None:
        message.time.CopyFrom(to_timestamp(event.time))
    if event.available is not None:
        message.available_time.CopyFrom(to_timestamp(event.available))
    return message


def _refuse_what_became_null(event: Event) -> None:
    for name, value in event.data.items():
        if isinstance(value, float) and not math.isfinite(value):
            text = f"event {event.id!r} of {event.stream}: {name}: {value} is no number of JSON"
            raise Invalid(text, hint="None is a value that is not known")


def to_timestamp(at: datetime) -> Timestamp:
    """Convert an aware time; Invalid without a zone, which would be a guess."""
    if at.tzinfo is None:
        raise Invalid(f"{at.isoformat()} has no time zone", hint="use datetime(..., tzinfo=UTC)")
    stamp = Timestamp()
    stamp.FromDatetime(at.astimezone(UTC))
    return stamp


def from_timestamp(stamp: Timestamp) -> datetime:
    """Convert to an aware time in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def merge(tokens: Iterable[pb.PositionToken]) -> pb.PositionToken:
    """Return the token that waits for everything that any of `tokens` waits for."""
    newest: dict[tuple[str, str, int], int] = {}
    for token in tokens:
        for position in token.positions:
            key = (position.stream, position.topic_epoch, position.partition)
            newest[key] = max(newest.get(key, 0), position.next_offset)
    return pb.PositionToken(
        positions=[
            pb.Position(stream=stream, topic_epoch=epoch, partition=partition, next_offset=offset)
            for (stream, epoch, partition), offset in sorted(newest.items())
        ]
    )


def token_text(token: pb.PositionToken) -> str:
    """Return a token as the parameter `tidemill_token` of an inference request."""
    return base64.urlsafe_b64encode(token.SerializeToString()).decode()
