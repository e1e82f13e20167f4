"""Records of one step into columns by stream and model; what cannot be read is counted, not kept.

Dead letters of the raw streams are written by the features service, once; a second one from here
would be replayed twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.errors import Rejected
from tidemill_common import events, prediction_rows, topics
from tidemill_common.erasures import NOTHING_ERASED, Erased
from tidemill_monitoring import rows
from tidemill_monitoring.erasing import without

if TYPE_CHECKING:
    from tidemill_common.kafka import Record, TopicPartition
    from tidemill_monitoring.definitions import Watch

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Events:
    """All events of one stream in a step, in the order of their arrival, with their places."""

    table: pa.Table
    partition: Ints
    offset: Ints
    row: Ints
    clock_us: Ints
    records: tuple[Record, ...]

    def without(self, erased: Erased) -> Events:
        """Return the rows that are of nobody erased."""
        kept = ~erased.rows(self.table)
        if kept.all():
            return self
        return Events(
            table=self.table.filter(pa.array(kept)).combine_chunks(),
            partition=self.partition[kept],
            offset=self.offset[kept],
            row=self.row[kept],
            clock_us=self.clock_us[kept],
            records=self.records,
        )


@dataclass(slots=True)
class Decoded:
    """Everything of one step."""

    events: dict[str, Events] = field(default_factory=dict)
    predictions: dict[str, rows.Predictions] = field(default_factory=dict)
    clocks: dict[TopicPartition, int] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    refused: int = 0


def decode(
    watch: Watch,
    records: Iterable[tuple[TopicPartition, Record]],
    erased: Erased = NOTHING_ERASED,
) -> Decoded:
    """Read records of the watched topics, in the order in which they came.

    Rows of erased entities are left out, but for the stream time that they give.
    """
    streams = {stream.topic.name: stream.name for stream in watch.streams.values()}
    models = {topics.predictions(name).name: name for name in watch.models}
    schemas: dict[str, Any] = {
        stream.topic.name: events.event_schema(stream.columns) for stream in watch.streams.values()
    }
    schemas |= dict.fromkeys(models, prediction_rows.SCHEMA)
    decoded = Decoded()
    read: dict[str, list[tuple[pa.RecordBatch, Record]]] = {}
    for tp, record in records:
        decoded.offsets[tp] = record.offset + 1
        try:
            batch = events.decode(record.value or b"", schemas[record.topic])
        except Rejected:
            decoded.refused += 1
            continue
        if batch.num_rows:
            read.setdefault(record.topic, []).append((batch, record))
    for topic, found in read.items():
        if topic in models:
            table = pa.Table.from_batches([batch for batch, _ in found])
            model = models[topic]
            known = watch.models[model]
            here = erased.of_stream(known.spine_stream)
            decoded.predictions[model] = without(rows.predictions(table), known.spine_key, here)
        else:
            decoded.events[streams[topic]] = _events(found)
    _note_clocks(decoded)
    if erased:
        decoded.events = {
            name: found.without(erased.of_stream(name)) for name, found in decoded.events.items()
        }
    return decoded


def _events(found: list[tuple[pa.RecordBatch, Record]]) -> Events:
    """Put the batches of a stream one after the other."""
    sizes = [batch.num_rows for batch, _ in found]

    def spread(values: list[int]) -> Ints:
        return np.repeat(np.asarray(values, dtype=np.int64), sizes)

    table = pa.Table.from_batches([batch for batch, _ in found]).combine_chunks()
    append_ms = spread([record.timestamp_ms for _, record in found])
    return Events(
        table=table,
        partition=spread([record.partition for _, record in found]),
        offset=spread([record.offset for _, record in found]),
        row=np.concatenate([np.arange(size) for size in sizes]),
        clock_us=np.minimum(rows.micros(table["_available"]), append_ms * 1_000 + rows.SKEW_US),
        records=tuple(record for _, record in found),
    )


def _note_clocks(decoded: Decoded) -> None:
    """Note the newest stream time of each partition."""
    named = {tp: tp for tp in decoded.offsets}
    for found in decoded.events.values():
        topic = found.records[0].topic
        for partition in np.unique(found.partition):
            newest = int(found.clock_us[found.partition == partition].max())
            decoded.clocks[named[topic, int(partition)]] = newest  # type: ignore[index]
