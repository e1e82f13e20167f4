"""What the key fields of entities are called in a stream: pure.

A field has its own name in every stream. A source of a view may give it another one: where it maps
`user: customer` from a stream, the `customer` of this stream, and of no other, is a `user` too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

from tidemill.project.view_sources import mapped
from tidemill.registry.v1 import erasure_service_pb2 as pb

if TYPE_CHECKING:
    from tidemill.definitions.v1 import project_pb2

Names = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Stream -> key field -> columns of the stream that hold it besides that of its own name."""
NO_NAMES: Final[Names] = {}


@dataclass(frozen=True, slots=True)
class Computed:
    """A key field of a view that a source computes: its rows say nothing of whose they are."""

    view: str
    stream: str
    field: str
    expression: str


def names_of(*projects: project_pb2.Project) -> Names:
    """Return the other names of every key field, by whatever view of the projects has them."""
    found: dict[str, dict[str, set[str]]] = {}
    for stream, field, column in (one for project in projects for one in _renamed(project)):
        found.setdefault(stream, {}).setdefault(field, set()).add(column)
    return {
        stream: {field: tuple(sorted(columns)) for field, columns in sorted(fields.items())}
        for stream, fields in sorted(found.items())
    }


def new_names(before: Names, now: Names) -> list[tuple[str, str, str]]:
    """Return the names that there are more: stream, key field and column."""
    return [
        (stream, field, column)
        for stream, fields in now.items()
        for field, columns in fields.items()
        for column in columns
        if column not in before.get(stream, {}).get(field, ())
    ]


def namings(
    fields: Sequence[str], called: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    """Return every choice of columns for key fields, those of their own names first."""
    return tuple(product(*((name, *called.get(name, ())) for name in fields)))


def computed_keys(project: project_pb2.Project) -> Iterator[Computed]:
    """Give the key fields that a source computes by an expression."""
    streams = {stream.name: {field.name for field in stream.fields} for stream in project.streams}
    for view in project.views:
        for source in view.sources:
            for field in view.entity:
                text = mapped(source, field)
                if text not in streams.get(source.stream, ()):
                    yield Computed(view.name, source.stream, field, text)


def to_proto(names: Names) -> list[pb.EntityName]:
    """Return names as the registry tells them."""
    return [
        pb.EntityName(stream=stream, field=field, columns=columns)
        for stream, fields in names.items()
        for field, columns in fields.items()
    ]


def from_proto(told: Iterable[pb.EntityName]) -> Names:
    """Read names as the registry told them."""
    names: dict[str, dict[str, tuple[str, ...]]] = {}
    for one in told:
        names.setdefault(one.stream, {})[one.field] = tuple(one.columns)
    return names


def _renamed(project: project_pb2.Project) -> Iterator[tuple[str, str, str]]:
    """Give stream, key field and column where a source calls the field otherwise."""
    streams = {stream.name: {field.name for field in stream.fields} for stream in project.streams}
    for view in project.views:
        for source in view.sources:
            for field in view.entity:
                column = mapped(source, field)
                if column != field and column in streams.get(source.stream, ()):
                    yield source.stream, field, column
