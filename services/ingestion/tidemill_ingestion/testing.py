"""Builders of a stream and its events for tests."""

from __future__ import annotations

from typing import Any

import orjson

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill_ingestion.validation import RawEvent

NOW_US = 1_800_000_000_000_000


def a_stream(**changes: Any) -> pb.Stream:
    """Return a stream of clicks, keyed by user."""
    values: dict[str, Any] = {
        "name": "clicks",
        "key": ["user"],
        "partitions": 4,
        "fields": [
            pb.Field(name="user", type=pb.FIELD_TYPE_STRING, required=True),
            pb.Field(name="price", type=pb.FIELD_TYPE_FLOAT64, minimum=0),
            pb.Field(name="count", type=pb.FIELD_TYPE_INT64),
            pb.Field(name="at", type=pb.FIELD_TYPE_TIMESTAMP),
            pb.Field(name="paid", type=pb.FIELD_TYPE_BOOL),
        ],
    }
    return pb.Stream(**{**values, **changes})


def an_event(number: int = 1, **changes: Any) -> RawEvent:
    """Return the event of that number; `data` may be fields or bytes."""
    data = changes.pop("data", {"user": f"u{number % 7}", "price": number * 1.5})
    values: dict[str, Any] = {
        "id": f"e{number}",
        "source": "shop",
        "data": data if isinstance(data, bytes) else orjson.dumps(data),
        "time_us": NOW_US,
        "available_us": None,
    }
    return RawEvent(**{**values, **changes})
