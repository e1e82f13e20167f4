"""JSON objects become columns: only what is asked for is built, the rest is skipped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from tidemill.project.schemas.columns import Column, Stored
from tidemill_ingestion.foreign.decoding import ARROW, Columns, Decoded, decoded, parsed

MAX_DEPTH: Final = 32
ERRORS: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
TYPES: Final[Mapping[Stored, Any]] = {
    Stored.BOOL: bool,
    Stored.INT64: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    Stored.FLOAT64: float,
    Stored.STRING: str,
    Stored.TIMESTAMP: Annotated[datetime, msgspec.Meta(tz=True)],
}
_BRACE: Final = ord("{")
_TO_BRACE: Final = ord("{") ^ ord("[")
"""The one bit in which the two opening brackets differ."""

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])', re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Object:
    """An object that columns lie in; `empty` stands for one that is absent."""

    struct: type[msgspec.Struct]
    leaves: tuple[tuple[str, pa.DataType] | None, ...]
    objects: tuple[_Object | None, ...]

    def columns(self, rows: Sequence[msgspec.Struct]) -> Columns:
        """Turn rows into columns; the transposition runs in C."""
        found: Columns = {}
        members = zip(*map(msgspec.structs.astuple, rows), strict=True)
        for leaf, inner, values in zip(self.leaves, self.objects, members, strict=True):
            if leaf is not None:
                found[leaf[0]] = pa.array(values, leaf[1])
            elif inner is not None:
                empty = inner.struct()
                found |= inner.columns([value or empty for value in values])
        return found


class JsonDecoder:
    """Decodes JSON objects; types are strict, members that no column names are skipped."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        """Prepare for these columns."""
        self._types = {name: ARROW[column.type] for name, column in columns.items()}
        self._object = _object(list(columns.values()), 0)
        self._decoder = msgspec.json.Decoder(self._object.struct)

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Return the columns of the values that are objects of the expected types.

        Each value is parsed alone: a line of several could be told apart only by parsing it.
        """
        parse = self._parse if _may_be_deep(values) else self._decoder.decode
        rows, index, bad = parsed(values, parse, ERRORS, _said)
        if not rows:
            empty = {name: pa.nulls(0, kind) for name, kind in self._types.items()}
            return Decoded(empty, index, bad)
        return decoded(rows, index, bad, self._types, self._object.columns)

    def _parse(self, value: bytes) -> Any:
        _check_depth(value)
        return self._decoder.decode(value)


def _object(columns: Sequence[Column], depth: int) -> _Object:
    members: dict[str, list[Column]] = {}
    for column in columns:
        members.setdefault(column.path[depth], []).append(column)
    leaves: list[tuple[str, pa.DataType] | None] = []
    objects: list[_Object | None] = []
    fields: list[tuple[str, Any, Any]] = []
    for number, inside in enumerate(members.values()):
        first = inside[0]
        leaf = len(first.path) == depth + 1
        inner = None if leaf else _object(inside, depth + 1)
        leaves.append((first.name, ARROW[first.type]) if leaf else None)
        objects.append(inner)
        kind = TYPES[first.stored] if inner is None else inner.struct
        fields.append((f"m{number}", kind | None, None))
    names = {f"m{number}": name for number, name in enumerate(members)}
    struct = msgspec.defstruct("Object", fields, rename=names, gc=False)
    return _Object(struct, tuple(leaves), tuple(objects))


def _may_be_deep(values: Sequence[bytes]) -> bool:
    """Tell whether any value has more opening brackets than may be open at once."""
    raw = np.frombuffer(b"".join(values), np.uint8)
    opened = np.flatnonzero((raw | _TO_BRACE) == _BRACE)
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    return bool((np.diff(np.searchsorted(opened, ends), prepend=0) > MAX_DEPTH).any())


def _check_depth(value: bytes) -> None:
    """Refuse deep nesting before it is parsed."""
    depth = 0
    for match in _TOKENS.finditer(value):
        depth += bool(match.group(1)) - bool(match.group(2))
        if depth > MAX_DEPTH:
            raise RecursionError


def _said(error: Exception) -> str:
    return f"nested deeper than {MAX_DEPTH}" if isinstance(error, RecursionError) else str(error)
