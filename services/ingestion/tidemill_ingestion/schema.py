"""A stream's declaration, compiled once into what validation needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import pyarrow as pa

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import Misconfigured
from tidemill.project.normalise import LARGEST_FIXED
from tidemill_common import events

ColumnType = Literal["bool", "int64", "float64", "string", "timestamp"]

MAX_STRING: Final = 65_536
DEFAULT_RESOLUTION: Final = 2.0**-20

_COLUMN_TYPES: Final[dict[int, ColumnType]] = {
    project_pb2.FIELD_TYPE_BOOL: "bool",
    project_pb2.FIELD_TYPE_INT64: "int64",
    project_pb2.FIELD_TYPE_FLOAT64: "float64",
    project_pb2.FIELD_TYPE_STRING: "string",
    project_pb2.FIELD_TYPE_TIMESTAMP: "timestamp",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Inclusive limits of a numeric field."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StreamSchema:
    """Everything that the edge knows about one stream."""

    name: str
    topic: str
    partitions: int
    replay: bool
    key: tuple[str, ...]
    id_field: str
    time_field: str
    columns: tuple[events.Column, ...]
    arrow: pa.Schema
    types: dict[str, pa.DataType]
    """Of the columns of `arrow`, in their order."""
    fingerprint: str
    bounds: dict[str, Bounds]
    row: msgspec.json.Decoder[Any]


def compile_stream(stream: project_pb2.Stream) -> StreamSchema:
    """Compile a normalised stream; Misconfigured if a type is unknown."""
    columns = tuple(_column(field) for field in stream.fields)
    arrow = events.event_schema(columns)
    return StreamSchema(
        name=stream.name,
        topic=f"events.{stream.name}",
        partitions=stream.partitions,
        replay=stream.replay,
        key=tuple(stream.key),
        id_field=stream.event_id_field,
        time_field=stream.event_time_field,
        columns=columns,
        arrow=arrow,
        types={field.name: field.type for field in arrow},
        fingerprint=events.fingerprint(columns),
        bounds={f.name: _bounds(f) for f in stream.fields if f.type in _NUMERIC},
        row=msgspec.json.Decoder(_row_type(stream)),
    )


_NUMERIC: Final = (project_pb2.FIELD_TYPE_INT64, project_pb2.FIELD_TYPE_FLOAT64)


def _column(field: project_pb2.Field) -> events.Column:
    if field.type not in _COLUMN_TYPES:
        raise Misconfigured(f"field {field.name}: unknown type {field.type}")
    return events.Column(field.name, _COLUMN_TYPES[field.type], field.required)


def _bounds(field: project_pb2.Field) -> Bounds:
    whole = field.type == project_pb2.FIELD_TYPE_INT64
    resolution = field.resolution or (1.0 if whole else DEFAULT_RESOLUTION)
    largest = (LARGEST_FIXED - 1) * resolution
    low = max(field.minimum, -largest) if field.HasField("minimum") else -largest
    high = min(field.maximum, largest) if field.HasField("maximum") else largest
    return Bounds(low, high)


def _row_type(stream: project_pb2.Stream) -> type[msgspec.Struct]:
    """One JSON object of the stream; the decoder checks types, bounds and names in C."""
    required = [(f.name, _python_type(f)) for f in stream.fields if f.required]
    optional: list[tuple[str, Any, Any]] = [
        (f.name, _python_type(f) | None, None) for f in stream.fields if not f.required
    ]
    return msgspec.defstruct(
        f"Row_{stream.name}", [*required, *optional], forbid_unknown_fields=True, gc=False
    )


def _python_type(field: project_pb2.Field) -> Any:
    match _column(field).type:
        case "bool":
            return Annotated[bool, msgspec.Meta()]
        case "int64":
            bounds = _bounds(field)
            return Annotated[int, msgspec.Meta(ge=int(bounds.low), le=int(bounds.high))]
        case "float64":
            bounds = _bounds(field)
            return Annotated[float, msgspec.Meta(ge=bounds.low, le=bounds.high)]
        case "timestamp":
            return Annotated[datetime, msgspec.Meta(tz=True)]
        case _:
            return Annotated[str, msgspec.Meta(max_length=MAX_STRING)]
