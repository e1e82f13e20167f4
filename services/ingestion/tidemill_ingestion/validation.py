"""Decide for a whole batch which events of a stream are good, and turn those into columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill_common.erasures import NOTHING_ERASED, REASON, Erased
from tidemill_ingestion.schema import Bounds, StreamSchema
from tidemill_tiles.keys import key_column, partitions_of, string_parts

MAX_EVENT_BYTES: Final = 262_144
MAX_ID: Final = 256
FUTURE_US: Final = 5 * 60 * 1_000_000
"""How far ahead of the platform's clock an event may be."""
KEY_SEPARATOR: Final = "\x1f"
_STAMP: Final = pa.timestamp("us", "UTC")

_FIELD = re.compile(r"field `([^`]+)`|\$(?:\[\d+\])?\.([A-Za-z0-9_]+)")


class RawEvent(NamedTuple):
    """An event as an edge received it; times in microseconds, None when the event states none.

    A tuple, because one is made for every event: a frozen dataclass takes four times as long.
    """

    id: str
    source: str
    data: bytes
    time_us: int | None
    available_us: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one event can never be accepted, and which field is to blame."""

    reason: str
    field: str = ""

    def __str__(self) -> str:
        """Read as one line."""
        return f"{self.field}: {self.reason}" if self.field else self.reason


@dataclass(frozen=True, slots=True)
class Batch:
    """Good rows in columns, the partition of each, and where they stood in the input."""

    schema: StreamSchema
    rows: pa.RecordBatch
    partitions: npt.NDArray[np.int32]
    index: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Checked:
    """The good rows (None if there are none) and the refusals by position in the input."""

    batch: Batch | None
    refusals: dict[int, Refusal]


def check_events(
    schema: StreamSchema, raw: Sequence[RawEvent], now_us: int, erased: Erased = NOTHING_ERASED
) -> Checked:
    """Validate JSON events of one stream.

    The batch is decoded in one call; only if that fails is each event looked at alone, so that
    bad neighbours cost the good ones little and change nothing for them.
    """
    refusals: dict[int, Refusal] = {}
    rows = _decode_all(schema, raw)
    if rows is None:
        rows = _decode_each(schema, raw, refusals)
    good = [i for i in range(len(raw)) if i not in refusals] if refusals else range(len(raw))
    if not good:
        return Checked(None, refusals)
    kept = [rows[i] for i in good] if refusals else rows
    fields = _fields(schema, kept)
    envelope = [raw[i] for i in good] if refusals else raw
    columns = {
        "_id": fields[schema.id_field]
        if schema.id_field
        else pa.array([e.id for e in envelope], pa.string()),
        "_source": pa.array([e.source for e in envelope], pa.string()),
        "_time": _times(schema, fields, [e.time_us for e in envelope], now_us),
        "_available": _stamps([e.available_us for e in envelope], now_us),
        "_replay_of": pa.nulls(len(envelope), pa.string()),
        **fields,
    }
    table = pa.RecordBatch.from_arrays(
        [columns[name] for name in schema.types], schema=schema.arrow
    )
    index = np.asarray(good, dtype=np.int64)
    states = np.fromiter((e.available_us is not None for e in envelope), bool, len(envelope))
    return _check_rows(schema, table, index, refusals, now_us, states, erased)


def check_columns(
    schema: StreamSchema,
    table: pa.RecordBatch,
    now_us: int,
    *,
    states: bool,
    erased: Erased = NOTHING_ERASED,
) -> Checked:
    """Validate rows that came as columns of the stream's Arrow schema."""
    refusals: dict[int, Refusal] = {}
    for column in schema.columns:
        values = table.column(column.name)
        if column.required:
            _refuse(
                refusals, np.asarray(pc.is_null(values)), "a required field is missing", column.name
            )
        if column.name in schema.bounds:
            _refuse_outside(refusals, values, schema.bounds[column.name], column.name)
    rows = np.arange(table.num_rows, dtype=np.int64)
    good = np.array([i for i in rows if i not in refusals], dtype=np.int64) if refusals else rows
    if not len(good):
        return Checked(None, refusals)
    kept = table.take(pa.array(good)) if refusals else table
    return _check_rows(schema, kept, good, refusals, now_us, np.full(len(good), states), erased)


def _fields(schema: StreamSchema, rows: Sequence[Any]) -> dict[str, pa.Array]:
    """Turn rows of equal shape into columns; the transposition runs in C."""
    names = rows[0].__struct_fields__
    columns = zip(*map(msgspec.structs.astuple, rows), strict=True)
    return {
        name: pa.array(values, type=schema.types[name])
        for name, values in zip(names, columns, strict=True)
    }


def _decode_all(schema: StreamSchema, raw: Sequence[RawEvent]) -> list[Any] | None:
    """Decode all at once, or None if any event may be bad.

    Rows are flat, every line begins an object, and a raw newline ends a string with an error: so
    lines cannot merge, and as many rows as lines means one row per event.
    """
    lines = [event.data for event in raw]
    if not all(line[:1] == b"{" and len(line) <= MAX_EVENT_BYTES for line in lines):
        return None
    try:
        rows: list[Any] = schema.row.decode_lines(b"\n".join(lines))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return rows if len(rows) == len(lines) else None


def _decode_each(
    schema: StreamSchema, raw: Sequence[RawEvent], refusals: dict[int, Refusal]
) -> list[Any]:
    rows: list[Any] = []
    for position, event in enumerate(raw):
        row = None
        if len(event.data) > MAX_EVENT_BYTES:
            size = f"{len(event.data)} bytes of data; at most {MAX_EVENT_BYTES} are accepted"
            refusals[position] = Refusal(size)
        else:
            try:
                row = schema.row.decode(event.data)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
                refusals[position] = _refusal(error)
        rows.append(row)
    return rows


def _refusal(error: Exception) -> Refusal:
    text = "the object is nested too deeply" if isinstance(error, RecursionError) else str(error)
    match = _FIELD.search(text)
    return Refusal(text, (match.group(1) or match.group(2)) if match else "")


def _stamps(values: Sequence[int | None], now_us: int) -> pa.Array:
    filled = np.fromiter(
        (now_us if value is None else value for value in values), np.int64, len(values)
    )
    return pa.Array.from_buffers(_STAMP, len(values), [None, pa.py_buffer(filled)])


def _micros(times: pa.Array) -> npt.NDArray[np.int64]:
    """Return times without a missing one as integers, without a copy."""
    return np.frombuffer(times.buffers()[1], np.int64, len(times), times.offset * 8)


def _times(
    schema: StreamSchema, fields: dict[str, pa.Array], stated: Sequence[int | None], now_us: int
) -> pa.Array:
    if not schema.time_field:
        return _stamps(stated, now_us)
    declared = fields[schema.time_field]
    return pc.coalesce(declared, _stamps(stated, now_us)) if declared.null_count else declared


def _check_rows(
    schema: StreamSchema,
    rows: pa.RecordBatch,
    index: npt.NDArray[np.int64],
    refusals: dict[int, Refusal],
    now_us: int,
    states: npt.NDArray[np.bool_],
    erased: Erased,
) -> Checked:
    """Check what every edge shares: id, times, key, erasures; then choose partitions."""
    found: dict[int, Refusal] = {}
    _check_ids(rows, found)
    _check_times(schema, rows, found, now_us, states)
    _check_separators(schema, rows, found)
    keys = key_column([rows.column(name) for name in schema.key])
    partitions = partitions_of(keys, schema.partitions)
    _refuse(found, partitions < 0, "a field of the stream's key is null", ", ".join(schema.key))
    for _, columns, refused in erased.of_stream(schema.name).named(rows):
        _refuse(found, refused, REASON, ", ".join(columns))
    refusals.update({int(index[row]): refusal for row, refusal in found.items()})
    if not found:
        return Checked(Batch(schema, rows, partitions, index), refusals)
    good = np.array([i for i in range(rows.num_rows) if i not in found], dtype=np.int64)
    if not len(good):
        return Checked(None, refusals)
    kept = rows.take(pa.array(good))
    return Checked(Batch(schema, kept, partitions[good], index[good]), refusals)


def _check_ids(rows: pa.RecordBatch, found: dict[int, Refusal]) -> None:
    ids = rows.column("_id")
    offsets = string_parts(ids)[1]
    size = offsets[1:] - offsets[:-1]
    if ids.null_count == 0 and size.min() >= 1 and size.max() <= MAX_ID:
        return  # no id has more characters than bytes
    lengths = pc.fill_null(pc.utf8_length(ids), 0)
    bounds = pc.min_max(lengths)
    if bounds["min"].as_py() < 1 or bounds["max"].as_py() > MAX_ID:
        sizes = np.asarray(lengths)
        _refuse(found, sizes < 1, "an event needs an id", "id")
        _refuse(found, sizes > MAX_ID, f"an id has at most {MAX_ID} characters", "id")


def _check_times(
    schema: StreamSchema,
    rows: pa.RecordBatch,
    found: dict[int, Refusal],
    now_us: int,
    states: npt.NDArray[np.bool_],
) -> None:
    time, available = _micros(rows.column("_time")), _micros(rows.column("_available"))
    latest = now_us + FUTURE_US
    if time.max() <= latest and available.max() <= latest and not states.any():
        return
    ahead = "lies more than 5 min in the future"
    _refuse(found, time > latest, f"the event time {ahead}", schema.time_field or "time")
    _refuse(found, available > latest, f"the available time {ahead}", "availabletime")
    if not schema.replay:
        rule = f"only a stream marked `replay` may state it, and {schema.name} is not"
        _refuse(found, states, rule, "availabletime")
    rule = "the available time lies before the event time"
    _refuse(found, states & (available < time), rule, "availabletime")


def _check_separators(
    schema: StreamSchema, rows: pa.RecordBatch, found: dict[int, Refusal]
) -> None:
    """0x1F joins the parts of a key, so no string may hold it."""
    for column in schema.columns:
        if column.type != "string":
            continue
        values = rows.column(column.name)
        data, offsets, _ = string_parts(values)
        if KEY_SEPARATOR.encode() in data[offsets[0] : offsets[-1]].tobytes():
            hit = pc.fill_null(pc.match_substring(values, KEY_SEPARATOR), fill_value=False)
            rule = "a string may not hold the character U+001F"
            _refuse(found, np.asarray(hit), rule, column.name)


def _refuse(
    found: dict[int, Refusal], mask: npt.NDArray[np.bool_], reason: str, field: str
) -> None:
    for row in np.flatnonzero(mask).tolist():
        found.setdefault(row, Refusal(reason, field))


def _refuse_outside(
    found: dict[int, Refusal], values: pa.Array, bounds: Bounds, field: str
) -> None:
    number = np.asarray(pc.fill_null(pc.cast(values, pa.float64(), safe=False), 0.0))
    rule = f"must be finite and lie between {bounds.low:g} and {bounds.high:g}"
    _refuse(found, ~((number >= bounds.low) & (number <= bounds.high)), rule, field)
