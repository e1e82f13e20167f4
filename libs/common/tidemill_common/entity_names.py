"""What the key fields of entities are called in a stream: pure.

A field has its own name in every stream. A source of a view may give it another one: where it maps
`user: customer` from a stream, the `customer` of this stream, and of no other, is a `user` too; and
where it maps `user: lower(email)`, so is what this expression gives of a row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from tidemill.definitions.v1 import project_pb2
from tidemill.project.expressions import columns_of
from tidemill.project.view_sources import mapped
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_common.computed_names import Computed
from tidemill_common.feature_views import FIELD_TYPES, field_types
from tidemill_tiles.fieldtypes import FieldType

Name = str | Computed
"""A column, or an expression over columns."""
Names = Mapping[str, Mapping[str, tuple[Name, ...]]]
"""Stream -> key field -> what holds it in the stream besides the column of its own name."""
NO_NAMES: Final[Names] = {}
_TYPES: Final = {
    FIELD_TYPES[kind]: kind
    for kind in (
        project_pb2.FIELD_TYPE_BOOL,
        project_pb2.FIELD_TYPE_INT64,
        project_pb2.FIELD_TYPE_FLOAT64,
        project_pb2.FIELD_TYPE_STRING,
        project_pb2.FIELD_TYPE_TIMESTAMP,
    )
}


def names_of(*projects: project_pb2.Project) -> Names:
    """Return the other names of every key field, by whatever view of the projects has them."""
    found: dict[str, dict[str, set[Name]]] = {}
    for stream, field, name in (one for project in projects for one in _renamed(project)):
        found.setdefault(stream, {}).setdefault(field, set()).add(name)
    return {
        stream: {field: _in_order(names) for field, names in sorted(fields.items())}
        for stream, fields in sorted(found.items())
    }


def new_names(before: Names, now: Names) -> list[tuple[str, str, Name]]:
    """Return the names that there are more: stream, key field and name."""
    return [
        (stream, field, name)
        for stream, fields in now.items()
        for field, names in fields.items()
        for name in names
        if name not in before.get(stream, {}).get(field, ())
    ]


def namings(
    fields: Sequence[str], called: Mapping[str, tuple[Name, ...]]
) -> tuple[tuple[Name, ...], ...]:
    """Return every choice of names for key fields, those of their own columns first."""
    return tuple(product(*((name, *called.get(name, ())) for name in fields)))


def columns_among(choice: Iterable[Name], known: Collection[str]) -> tuple[str, ...] | None:
    """Return those of the known columns that a choice of names reads; None if it needs others."""
    found: list[str] = []
    for name in choice:
        if isinstance(name, Computed):
            read = name.there(known)
            if read is None:
                return None
            found += read
        elif name in known:
            found.append(name)
        else:
            return None
    return tuple(dict.fromkeys(found))


def computed_fields(names: Names) -> set[str]:
    """Return the key fields that have a computed name in any stream."""
    return {
        field
        for fields in names.values()
        for field, called in fields.items()
        if any(isinstance(one, Computed) for one in called)
    }


def to_proto(names: Names) -> list[pb.EntityName]:
    """Return names as the registry tells them."""
    return [
        pb.EntityName(
            stream=stream,
            field=field,
            columns=[one for one in called if isinstance(one, str)],
            computed=[
                pb.ComputedName(
                    expression=one.expression,
                    columns={column: _TYPES[kind] for column, kind in one.types},
                )
                for one in called
                if isinstance(one, Computed)
            ],
        )
        for stream, fields in names.items()
        for field, called in fields.items()
    ]


def from_proto(told: Iterable[pb.EntityName]) -> Names:
    """Read names as the registry told them."""
    names: dict[str, dict[str, tuple[Name, ...]]] = {}
    for one in told:
        computed = (
            _computed(each.expression, {name: FIELD_TYPES[n] for name, n in each.columns.items()})
            for each in one.computed
        )
        names.setdefault(one.stream, {})[one.field] = (*one.columns, *computed)
    return names


def to_document(names: Names) -> dict[str, dict[str, list[Any]]]:
    """Return names as they are stored: a column is a text, an expression says what it reads."""
    return {
        stream: {
            field: [
                {"expression": one.expression, "columns": dict(one.types)}
                if isinstance(one, Computed)
                else one
                for one in called
            ]
            for field, called in fields.items()
        }
        for stream, fields in names.items()
    }


def from_document(stored: Mapping[str, Mapping[str, Sequence[Any]]]) -> Names:
    """Read names as they were stored."""
    return {
        stream: {
            field: tuple(
                one if isinstance(one, str) else _computed(one["expression"], one["columns"])
                for one in called
            )
            for field, called in fields.items()
        }
        for stream, fields in stored.items()
    }


def _computed(expression: str, columns: Mapping[str, str]) -> Computed:
    types = sorted((name, FieldType(kind)) for name, kind in columns.items())
    return Computed(expression, tuple(types))


def _in_order(names: Iterable[Name]) -> tuple[Name, ...]:
    """Return columns, then expressions, each by their text."""
    return tuple(sorted(names, key=lambda one: (isinstance(one, Computed), str(one))))


def _renamed(project: project_pb2.Project) -> Iterator[tuple[str, str, Name]]:
    """Give stream, key field and name where a source calls the field otherwise."""
    streams = {stream.name: field_types(stream) for stream in project.streams}
    for view in project.views:
        for source in view.sources:
            types = streams.get(source.stream, {})
            for field in source.columns.keys() & set(view.entity):
                text = mapped(source, field)
                if text not in types:
                    read = {name: types[name] for name in columns_of(text) if name in types}
                    yield source.stream, field, _computed(text, read)
                elif text != field:
                    yield source.stream, field, text
