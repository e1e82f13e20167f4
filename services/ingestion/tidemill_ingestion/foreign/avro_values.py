"""Avro data become columns; the schema bounds how deep they are."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import fastavro
import pyarrow as pa

from tidemill.errors import Invalid
from tidemill.project.schemas import avro
from tidemill.project.schemas.columns import Column, Stored
from tidemill_common.events import TIMESTAMP
from tidemill_ingestion.foreign.decoding import ARROW, Columns, Decoded, decoded, parsed

ERRORS: Final = (
    Invalid,
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)
"""What fastavro raises when bytes are no datum of the schema."""
MILLISECONDS: Final = pa.timestamp("ms", "UTC")


@dataclass(frozen=True, slots=True)
class _Record:
    """A record that columns lie in: members by name, each a column or a record again."""

    members: tuple[tuple[str, Column | _Record], ...]

    def columns(self, rows: Sequence[Mapping[str, Any]]) -> Columns:
        """Turn rows into columns; `None` is a record that is absent."""
        found: Columns = {}
        for name, member in self.members:
            values = list(map(itemgetter(name), rows))
            if isinstance(member, _Record):
                absent = dict.fromkeys((inner for inner, _ in member.members), None)
                found |= member.columns([value or absent for value in values])
            else:
                found[member.name] = _array(values, member)
        return found


class AvroDecoder:
    """Decodes single data of one schema, each of which must end where its value ends."""

    def __init__(self, text: str, columns: Mapping[str, Column]) -> None:
        """Prepare for these columns of the schema."""
        self._schema = _without_logical_types(avro.parse(text))
        self._types = {name: ARROW[column.type] for name, column in columns.items()}
        self._record = _record(list(columns.values()), 0)

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Return the columns of the values that are data of the schema."""
        rows, index, bad = parsed(values, self._parse, ERRORS, _said)
        return decoded(rows, index, bad, self._types, self._record.columns)

    def _parse(self, value: bytes) -> Any:
        body = io.BytesIO(value)
        row = fastavro.schemaless_reader(body, self._schema, None)
        if body.tell() != len(value):
            raise Invalid(f"{len(value) - body.tell()} bytes after the end of the datum")
        return row


def _record(columns: Sequence[Column], depth: int) -> _Record:
    members: dict[str, list[Column]] = {}
    for column in columns:
        members.setdefault(column.path[depth], []).append(column)
    return _Record(
        tuple(
            (name, inside[0] if len(inside[0].path) == depth + 1 else _record(inside, depth + 1))
            for name, inside in members.items()
        )
    )


def _array(values: Sequence[Any], column: Column) -> pa.Array:
    if column.stored is Stored.MILLISECONDS:
        return pa.array(values, pa.int64()).cast(MILLISECONDS).cast(TIMESTAMP)
    if column.stored is Stored.MICROSECONDS:
        return pa.array(values, pa.int64()).cast(TIMESTAMP)
    return pa.array(values, ARROW[column.type])


def _without_logical_types(schema: Any) -> Any:
    """Return a schema that gives plain numbers: they become times column by column."""
    if isinstance(schema, list):
        return [_without_logical_types(each) for each in schema]
    if isinstance(schema, dict):
        kept = {key: value for key, value in schema.items() if key != "logicalType"}
        return {key: _without_logical_types(value) for key, value in kept.items()}
    return schema


def _said(error: Exception) -> str:
    if isinstance(error, Invalid):
        return error.message
    if isinstance(error, EOFError):
        return "the datum ends too soon"
    return f"not a datum of the schema: {error}"
