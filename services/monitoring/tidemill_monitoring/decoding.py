"""Records of one step into batches by stream and model; what cannot be read is counted, not kept.

Dead letters of the raw streams are written by the features service, once; a second one from here
would be replayed twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import Rejected
from tidemill_common import events, topics
from tidemill_monitoring import rows

if TYPE_CHECKING:
    from tidemill_common.kafka import Record, TopicPartition
    from tidemill_monitoring.definitions import Watch


@dataclass(frozen=True, slots=True)
class Events:
    """One record of a stream."""

    batch: pa.RecordBatch
    record: Record


@dataclass(slots=True)
class Decoded:
    """Everything of one step."""

    events: dict[str, list[Events]] = field(default_factory=dict)
    predictions: dict[str, list[rows.Predictions]] = field(default_factory=dict)
    clocks: dict[TopicPartition, int] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    refused: int = 0


def decode(watch: Watch, records: Iterable[tuple[TopicPartition, Record]]) -> Decoded:
    """Read records of the watched topics, in the order in which they came."""
    streams = {stream.topic.name: stream for stream in watch.streams.values()}
    models = {topics.predictions(name).name: name for name in watch.models}
    schemas = {name: events.event_schema(s.columns) for name, s in streams.items()}
    decoded = Decoded()
    for tp, record in records:
        decoded.offsets[tp] = record.offset + 1
        schema = schemas.get(record.topic)
        try:
            batch = events.decode(record.value or b"", schema)
            if schema is not None:
                _add_events(decoded, streams[record.topic].name, Events(batch, record), tp)
            else:
                answered = rows.predictions(batch)
                decoded.predictions.setdefault(models[record.topic], []).append(answered)
        except Rejected:
            decoded.refused += 1
    return decoded


def _add_events(decoded: Decoded, stream: str, found: Events, tp: TopicPartition) -> None:
    newest = pc.max(rows.clock_of(found.batch, found.record.timestamp_ms)).as_py()
    decoded.events.setdefault(stream, []).append(found)
    if newest is not None:
        decoded.clocks[tp] = max(newest, decoded.clocks.get(tp, 0))
