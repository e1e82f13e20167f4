"""Values of foreign records become columns, batch by batch; the bad ones are told apart.

A batch is decoded at once. Only if that fails is each value looked at alone: so that bad
neighbours cost the good ones little and change nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Invalid
from tidemill_common.events import TIMESTAMP

T = TypeVar("T")
Rows = npt.NDArray[np.int64]
Columns = dict[str, pa.Array]

MAX_VALUE_BYTES: Final = 262_144
FRAME_BYTES: Final = 5
TOO_LARGE: Final = f"a value has at most {MAX_VALUE_BYTES} bytes"

ARROW: Final[Mapping[int, pa.DataType]] = {
    pb.FIELD_TYPE_BOOL: pa.bool_(),
    pb.FIELD_TYPE_INT64: pa.int64(),
    pb.FIELD_TYPE_FLOAT64: pa.float64(),
    pb.FIELD_TYPE_STRING: pa.string(),
    pb.FIELD_TYPE_TIMESTAMP: TIMESTAMP,
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """Columns of the good values, where these stood in the input, and why the others are bad."""

    columns: Columns
    index: Rows
    bad: dict[int, str] = field(default_factory=dict)


class Decoder(Protocol):
    """Decodes values that are all of one schema."""

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Return the columns; what one value says depends on no other value."""


def parsed(
    values: Sequence[bytes],
    parse: Callable[[bytes], T],
    errors: tuple[type[Exception], ...],
    said: Callable[[Exception], str] = str,
) -> tuple[list[T], Rows, dict[int, str]]:
    """Parse every value; return the results, their places, and what is wrong with the others."""
    if max(map(len, values), default=0) <= MAX_VALUE_BYTES:
        try:
            return list(map(parse, values)), np.arange(len(values), dtype=np.int64), {}
        except errors:
            pass  # at least one is bad: below each is looked at alone
    good: list[T] = []
    index: list[int] = []
    bad: dict[int, str] = {}
    for place, value in enumerate(values):
        if len(value) > MAX_VALUE_BYTES:
            bad[place] = f"{len(value)} bytes: {TOO_LARGE}"
            continue
        try:
            good.append(parse(value))
        except errors as error:
            bad[place] = said(error) or type(error).__name__
        else:
            index.append(place)
    return good, np.asarray(index, dtype=np.int64), bad


def in_halves(
    rows: Rows, work: Callable[[Rows], Columns]
) -> tuple[list[tuple[Rows, Columns]], dict[int, str]]:
    """Do work on all rows at once, or on halves of them until the bad ones stand alone."""
    try:
        return [(rows, work(rows))], {}
    except (Invalid, pa.ArrowException, OverflowError, ValueError) as error:
        if len(rows) <= 1:
            return [], {int(row): str(error) for row in rows}
    middle = len(rows) // 2
    first, bad = in_halves(rows[:middle], work)
    second, also_bad = in_halves(rows[middle:], work)
    return first + second, bad | also_bad


def joined(parts: Sequence[tuple[Rows, Columns]], types: Mapping[str, pa.DataType]) -> Decoded:
    """Put parts together in the order of their rows; what a part lacks is NULL."""
    if len(parts) == 1 and parts[0][1].keys() == types.keys():
        return Decoded(parts[0][1], parts[0][0])
    index = np.concatenate([rows for rows, _ in parts]) if parts else np.empty(0, np.int64)
    order = pa.array(np.argsort(index, kind="stable"))
    columns = {}
    for name, kind in types.items():
        chunks = [
            found[name].cast(kind) if name in found else pa.nulls(len(rows), kind)
            for rows, found in parts
        ]
        whole = pa.concat_arrays(chunks) if chunks else pa.nulls(0, kind)
        columns[name] = whole.take(order)
    return Decoded(columns, np.sort(index))


def decoded(
    rows: Sequence[Any],
    index: Rows,
    bad: dict[int, str],
    types: Mapping[str, pa.DataType],
    columns: Callable[[Sequence[Any]], Columns],
) -> Decoded:
    """Turn parsed rows into columns; a value that no column can hold makes its row bad."""
    places = np.arange(len(rows), dtype=np.int64)
    parts, unfit = in_halves(
        places,
        lambda some: (
            columns([rows[i] for i in some.tolist()]) if len(some) < len(rows) else columns(rows)
        ),
    )
    whole = joined(parts, types)
    unfit_at = {int(index[place]): reason for place, reason in unfit.items()}
    return Decoded(whole.columns, index[whole.index], bad | unfit_at)


@dataclass(frozen=True, slots=True)
class Framed:
    """Values that begin with a zero byte and the id of their schema in four bytes."""

    decoders: Mapping[int, Decoder]
    types: Mapping[str, pa.DataType]
    any_id: Decoder | None = None
    """Decodes every id; else the id must be known."""

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Decode each group of values by the schema that it names."""
        groups: dict[int, list[int]] = {}
        bad: dict[int, str] = {}
        for place, value in enumerate(values):
            if len(value) < FRAME_BYTES or value[0]:
                bad[place] = "no frame: a zero byte, then the id of a schema in four bytes"
            else:
                groups.setdefault(int.from_bytes(value[1:FRAME_BYTES]), []).append(place)
        parts: list[tuple[Rows, Columns]] = []
        for schema_id, places in groups.items():
            decoder = self.decoders.get(schema_id, self.any_id)
            if decoder is None:
                known = ", ".join(map(str, sorted(self.decoders)))
                reason = f"no schema of id {schema_id} (known: {known})"
                bad.update(dict.fromkeys(places, reason))
                continue
            found = decoder.decode([values[place][FRAME_BYTES:] for place in places])
            at = np.asarray(places, dtype=np.int64)
            parts.append((at[found.index], found.columns))
            bad.update({places[place]: reason for place, reason in found.bad.items()})
        whole = joined(parts, self.types)
        return Decoded(whole.columns, whole.index, bad)
