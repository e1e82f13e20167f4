"""The Python form of a project: typed values that become the same tree as YAML.

    from tidemill.project import FeatureView, Project, Stream, mean, string, float64

    city = string(required=True)
    rides = Stream("ride_ended", key=["city"], fields={"city": city, "fare": float64()})
    fares = FeatureView("fares", stream=rides, entity=["city"], aggregations=[mean("fare", "1h")])
    project = Project("rides", streams=[rides], views=[fares])

Each value remembers the line that made it, so that a mistake in it names that line.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from types import FrameType
from typing import Any, Final, Literal

from tidemill.project.nodes import Items, Leaf, Node, Table
from tidemill.project.problems import NOWHERE, Location

Span = str | timedelta
TypeName = Literal["bool", "int64", "float64", "string", "timestamp"]
FormatName = Literal["json", "avro", "protobuf"]
BY_NAME: Final = frozenset({"streams", "views", "on_demand", "models"})
BUILDERS: Final = __file__.removesuffix(".py")


def _here() -> Location:
    """Find the nearest caller outside of the builders and of generated constructors."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith((BUILDERS, "<string>")):
        frame = frame.f_back
    return Location(frame.f_code.co_filename, frame.f_lineno) if frame is not None else NOWHERE


@dataclass(frozen=True, kw_only=True)
class _Made:
    """Knows the line on which it was made."""

    location: Location = field(default_factory=_here, repr=False, compare=False)

    def node(self) -> Table:
        """Return the tree of this value: its fields that were given."""
        entries = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name != "location"]
        return Table(
            tuple(
                (name, _node(value, self.location, name))
                for name, value in entries
                if value is not None
            ),
            self.location,
        )


@dataclass(frozen=True)
class _Named(_Made):
    """Is written under its name."""

    name: str

    def node(self) -> Table:
        """Return the tree without the name."""
        whole = super().node()
        kept = tuple(entry for entry in whole.entries if entry[0] != "name")
        return Table(kept, self.location)


def _node(value: Any, location: Location, name: str) -> Node:
    if isinstance(value, _Made):
        reference = isinstance(value, _Named) and name not in BY_NAME
        return Leaf(getattr(value, "name", ""), location) if reference else value.node()
    if isinstance(value, Mapping):
        pairs = ((str(key), _node(one, location, "")) for key, one in value.items())
        return Table(tuple(pairs), location)
    if isinstance(value, list | tuple):
        if name in BY_NAME:
            named = ((getattr(one, "name", ""), _definition(one, location)) for one in value)
            return Table(tuple(named), location)
        return Items(tuple(_node(one, location, "") for one in value), location)
    known = value is None or isinstance(value, str | int | float | timedelta)
    return Leaf(value if known else repr(value), location)


def _definition(value: Any, location: Location) -> Node:
    return value.node() if isinstance(value, _Made) else _node(value, location, "")


@dataclass(frozen=True)
class Field(_Made):
    """A field of a stream; made by string(), float64() and so on."""

    type: TypeName
    required: bool | None = None
    resolution: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None
    pii: bool | None = None
    description: str | None = None


def string(
    *, required: bool | None = None, pii: bool | None = None, description: str | None = None
) -> Field:
    """Make a text field."""
    return Field("string", required=required, pii=pii, description=description)


def timestamp(
    *, required: bool | None = None, resolution: float | None = None, description: str | None = None
) -> Field:
    """Make a field that holds a moment."""
    return Field("timestamp", required=required, resolution=resolution, description=description)


def boolean(*, required: bool | None = None, description: str | None = None) -> Field:
    """Make a field that is true or false."""
    return Field("bool", required=required, description=description)


def int64(
    *,
    required: bool | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str | None = None,
    pii: bool | None = None,
    description: str | None = None,
) -> Field:
    """Make a field of whole numbers."""
    return Field(
        "int64",
        required=required,
        minimum=minimum,
        maximum=maximum,
        unit=unit,
        pii=pii,
        description=description,
    )


def float64(
    *,
    required: bool | None = None,
    resolution: float | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str | None = None,
    pii: bool | None = None,
    description: str | None = None,
) -> Field:
    """Make a field of numbers."""
    return Field(
        "float64",
        required=required,
        resolution=resolution,
        minimum=minimum,
        maximum=maximum,
        unit=unit,
        pii=pii,
        description=description,
    )


@dataclass(frozen=True)
class Source(_Made):
    """A topic that others write, one event a record, and how an event is made of a record."""

    topic: str
    format: FormatName
    schema: str | None = None
    schemas: Mapping[int, str] | None = None
    framed: bool | None = None
    message: str | None = None
    descriptors: str | None = None
    columns: Mapping[str, TypeName] | None = None
    filter: str | None = None
    id: str | None = None
    time: str | None = None
    available: str | None = None
    fields: Mapping[str, str] | None = None
    start: Literal["earliest", "latest"] | None = None


@dataclass(frozen=True)
class Stream(_Named):
    """A kind of event that apps publish."""

    key: Sequence[str]
    fields: Mapping[str, Field | TypeName]
    event_time_field: str | None = None
    event_id_field: str | None = None
    lateness: Span | None = None
    dedupe: Span | None = None
    retention: Span | None = None
    partitions: int | None = None
    replay: bool | None = None
    owner: str | None = None
    description: str | None = None
    source: Source | None = None


@dataclass(frozen=True)
class Window(_Made):
    """A span of time that ends at the read, with a hop of its own."""

    length: Span
    hop: Span | None = None


@dataclass(frozen=True)
class OnDemand(_Named):
    """A feature computed at the request."""

    type: TypeName
    expression: str
    description: str | None = None
