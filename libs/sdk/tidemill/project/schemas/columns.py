"""A column of a foreign record: where its value lies, and how it is stored there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH: Final = 32
MAX_COLUMNS: Final = 1_000
MAX_SCHEMA_CHARACTERS: Final = 65_536

KEY: Final = "_key"
TIMESTAMP: Final = "_timestamp"
PARTITION: Final = "_partition"
OFFSET: Final = "_offset"
RECORD: Final[Mapping[str, pb.FieldType]] = {
    KEY: pb.FIELD_TYPE_STRING,
    TIMESTAMP: pb.FIELD_TYPE_TIMESTAMP,
    PARTITION: pb.FIELD_TYPE_INT64,
    OFFSET: pb.FIELD_TYPE_INT64,
}
"""What every record has beside its value."""


class SchemaError(ValueError):
    """A schema that cannot be used, said for a person."""


class Stored(Enum):
    """How a value is stored in a record, and which type of field it becomes."""

    BOOL = "bool"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT64 = "float64"
    STRING = "string"
    TIMESTAMP = "timestamp"
    MILLISECONDS = "milliseconds"
    MICROSECONDS = "microseconds"
    SYMBOL = "symbol"
    """A number of a Protobuf enum, which becomes its name."""


TYPES: Final[Mapping[Stored, pb.FieldType]] = {
    Stored.BOOL: pb.FIELD_TYPE_BOOL,
    Stored.INT64: pb.FIELD_TYPE_INT64,
    Stored.UINT64: pb.FIELD_TYPE_INT64,
    Stored.FLOAT64: pb.FIELD_TYPE_FLOAT64,
    Stored.STRING: pb.FIELD_TYPE_STRING,
    Stored.SYMBOL: pb.FIELD_TYPE_STRING,
    Stored.TIMESTAMP: pb.FIELD_TYPE_TIMESTAMP,
    Stored.MILLISECONDS: pb.FIELD_TYPE_TIMESTAMP,
    Stored.MICROSECONDS: pb.FIELD_TYPE_TIMESTAMP,
}


@dataclass(frozen=True, slots=True)
class Column:
    """One value of a record; `path` leads to it through the objects around it."""

    path: tuple[str, ...]
    stored: Stored

    @property
    def name(self) -> str:
        """Return the name under which expressions read it."""
        return ".".join(self.path)

    @property
    def type(self) -> pb.FieldType:
        """Return the type that expressions see."""
        return TYPES[self.stored]


def by_name(columns: list[Column]) -> dict[str, Column]:
    """Index columns; SchemaError if two would have one name, or there are too many."""
    if len(columns) > MAX_COLUMNS:
        raise SchemaError(f"{len(columns)} columns, at most {MAX_COLUMNS}")
    named = {column.name: column for column in columns}
    if len(named) < len(columns):
        names = [column.name for column in columns]
        twice = next(name for name in names if names.count(name) > 1)
        raise SchemaError(f"two values would be called {twice!r}")
    return named
