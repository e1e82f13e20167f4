"""Protobuf messages become columns, member by member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError

from tidemill.errors import Invalid
from tidemill.project.schemas import protobuf
from tidemill.project.schemas.columns import Column, Stored
from tidemill_common.events import TIMESTAMP
from tidemill_ingestion.foreign.decoding import ARROW, Columns, Decoded, decoded, parsed

if TYPE_CHECKING:
    from google._upb._message import Descriptor as CDescriptor
    from google.protobuf.descriptor import Descriptor

ERRORS: Final = (DecodeError, RecursionError, Invalid)
FIRST_SECOND: Final = -62_135_596_800
LAST_SECOND: Final = 253_402_300_799
"""The years 1 to 9999, which is what a Timestamp may hold."""
BYTE: Final = 7
MAX_PLACES: Final = 64


class _Names(dict[int, str]):
    """Names of an enum; a number that has none is its own name."""

    def __missing__(self, number: int) -> str:
        return str(number)


class ProtobufDecoder:
    """Decodes messages of one type; a member that is not set is NULL where that can be told."""

    def __init__(
        self, schema: str | bytes, message: str, columns: Mapping[str, Column], *, framed: bool
    ) -> None:
        """Prepare for these columns; a framed value begins with the message's place in the file."""
        self._type = protobuf.message_class(schema, message)
        self._types = {name: ARROW[column.type] for name, column in columns.items()}
        root = protobuf.descriptor(schema, message)
        self._leaves = [_Leaf(root, column) for column in columns.values()]
        self._place = _place(root) if framed else None

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Return the columns of the values that are messages."""
        rows, index, bad = parsed(values, self._parse, ERRORS, _said)
        return decoded(rows, index, bad, self._types, self._columns)

    def _parse(self, value: bytes) -> Any:
        if self._place is not None:
            value = _after_place(value, self._place)
        return self._type.FromString(value)

    def _columns(self, rows: Sequence[Any]) -> Columns:
        return {leaf.column.name: leaf.array(rows) for leaf in self._leaves}


class _Leaf:
    """One column of a message: how to reach it, and how to tell that it is absent."""

    def __init__(self, root: Descriptor | CDescriptor, column: Column) -> None:
        self.column = column
        self._holders: list[tuple[str, str]] = []  # path of a message, member that may be absent
        message: Any = root
        for depth, name in enumerate(column.path):
            member = message.fields_by_name[name]
            if member.has_presence:
                self._holders.append((".".join(column.path[:depth]), name))
            message = member.message_type
        self._names = None
        if column.stored is Stored.SYMBOL:
            self._names = _Names({v.number: v.name for v in reversed(member.enum_type.values)})

    def array(self, rows: Sequence[Any]) -> pa.Array:
        """Return the column of all rows."""
        values = list(map(attrgetter(self.column.name), rows))
        absent = self._absent(rows)
        if self.column.stored is Stored.TIMESTAMP:
            return _instants(values, absent)
        if self._names is not None:
            values = list(map(self._names.__getitem__, values))
        return pa.array(values, ARROW[self.column.type], mask=absent)

    def _absent(self, rows: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
        """Tell which rows lack the member, or a message around it."""
        if not self._holders:
            return None
        present = np.ones(len(rows), dtype=np.bool_)
        for path, name in self._holders:
            owners = map(attrgetter(path), rows) if path else rows
            present &= np.fromiter(map(methodcaller("HasField", name), owners), bool, len(rows))
        return ~present


def _instants(values: Sequence[Any], absent: Any) -> pa.Array:
    seconds = np.fromiter(map(attrgetter("seconds"), values), np.int64, len(values))
    nanos = np.fromiter(map(attrgetter("nanos"), values), np.int64, len(values))
    if ((seconds < FIRST_SECOND) | (seconds > LAST_SECOND)).any():
        raise Invalid("a Timestamp lies outside of the years 1 to 9999")
    micros = seconds * 1_000_000 + nanos // 1_000
    return pa.array(micros, pa.int64(), mask=absent).cast(TIMESTAMP)


def _place(message: Descriptor | CDescriptor) -> tuple[int, ...]:
    """Return the message's place: its number in the file, or in the messages around it."""
    places: list[int] = []
    inner: Any = message
    while inner is not None:
        outer = inner.containing_type
        siblings = outer.nested_types if outer else inner.file.message_types_by_name.values()
        places.insert(0, [each.full_name for each in siblings].index(inner.full_name))
        inner = outer
    return tuple(places)


def _after_place(value: bytes, place: tuple[int, ...]) -> bytes:
    """Return what follows the list of places, a single 0 standing for the first message."""
    count, at = _number(value, 0)
    if not 0 <= count <= MAX_PLACES:
        raise Invalid("the frame does not say which message follows")
    found = []
    for _ in range(count):
        number, at = _number(value, at)
        found.append(number)
    if (tuple(found) or (0,)) != place:
        raise Invalid(f"another message of the schema: {found}, not {list(place)}")
    return value[at:]


def _number(value: bytes, at: int) -> tuple[int, int]:
    """Read one zigzag number; return it and where the next one begins."""
    number = shift = 0
    while True:
        if at >= len(value) or shift > 4 * BYTE:
            raise Invalid("the frame ends too soon")
        byte = value[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + BYTE
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, Invalid) else "not a message of the schema"
