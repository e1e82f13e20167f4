"""Raw records become columns: decoded once for everybody, the bad ones set apart with their bytes.

A record that is no Arrow batch of the stream's schema is dead as a whole; a row with a number that
the engine cannot hold is dead alone. What is dead counts nowhere else: not in the watermark, not
among the ids.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from tidemill.errors import Invalid
from tidemill_common import events
from tidemill_tiles.columns import window_time
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.fixed import representable
from tidemill_tiles.keys import event_id_hashes, flat

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tidemill_common.feature_views import StreamSpec
    from tidemill_common.kafka import Record

MAX_TIME_US: Final = 2**61
_MILLISECOND_US: Final = 1_000


@dataclass(frozen=True, slots=True)
class Dead:
    """A record, or one row of it, that cannot be processed; `value` is what is set aside."""

    record: Record
    row: int | None
    value: bytes | None
    error: Invalid


@dataclass(frozen=True, slots=True)
class Events:
    """Decoded rows in log order, and what was dead among them. Every array has n rows."""

    table: pa.Table
    offset: npt.NDArray[np.int64]
    row: npt.NDArray[np.int32]
    append_us: npt.NDArray[np.int64]
    event_us: npt.NDArray[np.int64]
    available_us: npt.NDArray[np.int64]
    time_us: npt.NDArray[np.int64]
    ids: npt.NDArray[np.uint64]
    dead: tuple[Dead, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.offset.size)

    def one_row(self, index: int) -> bytes:
        """Return one row as a record of its own."""
        return events.encode(self.table.slice(index, 1).combine_chunks().to_batches()[0])


def decode(stream: StreamSpec, schema: pa.Schema, records: Sequence[Record]) -> Events:
    """Decode records of one partition, in their order."""
    batches, kept, dead = [], [], []
    for record in records:
        try:
            batches.append(events.decode(record.value or b"", schema))
        except Invalid as error:
            dead.append(Dead(record, None, record.value, error))
        else:
            kept.append(record)
    table = pa.Table.from_batches(batches, schema=schema)
    if len(batches) > 1:
        table = table.combine_chunks()
    sizes = np.array([batch.num_rows for batch in batches], dtype=np.int64)
    found = _columns(table, kept, sizes)
    good = _good_rows(stream, found)
    if good.all():
        return replace(found, dead=tuple(dead))
    dead.extend(_dead_rows(found, kept, sizes, good))
    return replace(_only(found, good), dead=tuple(sorted(dead, key=_place)))


def times_us(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """Return a column of microseconds without missing values as integers, without a copy."""
    column = flat(table.column(name))
    if len(column) == 0:
        return np.zeros(0, dtype=np.int64)
    return np.frombuffer(column.buffers()[1], np.int64, len(column), column.offset * 8)


def _columns(table: pa.Table, kept: Sequence[Record], sizes: npt.NDArray[np.int64]) -> Events:
    offsets = np.array([record.offset for record in kept], dtype=np.int64)
    appended = np.array([record.timestamp_ms for record in kept], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    event_us, available_us = times_us(table, "_time"), times_us(table, "_available")
    row = np.arange(table.num_rows, dtype=np.int64) - np.repeat(starts, sizes)
    return Events(
        table=table,
        offset=np.repeat(offsets, sizes),
        row=row.astype(np.int32),
        append_us=np.repeat(appended * _MILLISECOND_US, sizes),
        event_us=event_us,
        available_us=available_us,
        time_us=window_time(event_us, available_us),
        ids=event_id_hashes(
            table.column("_source"), table.column("_id"), table.column("_replay_of")
        ),
        dead=(),
    )


def _only(found: Events, good: npt.NDArray[np.bool_]) -> Events:
    """Return the rows that are good."""
    return Events(
        table=found.table.filter(pa.array(good)).combine_chunks(),
        offset=found.offset[good],
        row=found.row[good],
        append_us=found.append_us[good],
        event_us=found.event_us[good],
        available_us=found.available_us[good],
        time_us=found.time_us[good],
        ids=found.ids[good],
        dead=(),
    )


def _good_rows(stream: StreamSpec, found: Events) -> npt.NDArray[np.bool_]:
    """Say which rows the engine can hold: finite bounded numbers, and times that are times."""
    good = np.abs(found.event_us) < MAX_TIME_US
    good &= np.abs(found.available_us) < MAX_TIME_US
    for field in stream.fields:
        if field.type in (FieldType.FLOAT64, FieldType.INT64):
            good &= representable(found.table.column(field.name), field)
    return good


def _dead_rows(
    found: Events,
    kept: Sequence[Record],
    sizes: npt.NDArray[np.int64],
    good: npt.NDArray[np.bool_],
) -> list[Dead]:
    """Set each bad row apart as a record of its own."""
    source = np.repeat(np.arange(len(kept)), sizes)
    dead = []
    for index in np.flatnonzero(~good):
        error = Invalid("a number is not finite or beyond what features can hold (|v| < 2^48)")
        value = found.one_row(int(index))
        dead.append(Dead(kept[source[index]], int(found.row[index]), value, error))
    return dead


def _place(dead: Dead) -> tuple[int, int]:
    return (dead.record.offset, -1 if dead.row is None else dead.row)
