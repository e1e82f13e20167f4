"""A stream's source, compiled once: how its records are decoded and what events they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Misconfigured
from tidemill.project import sources
from tidemill.project.schemas.columns import (
    KEY,
    OFFSET,
    PARTITION,
    RECORD,
    TIMESTAMP,
    Column,
    SchemaError,
)
from tidemill_common import events
from tidemill_common.erasures import NOTHING_ERASED, Erased
from tidemill_common.kafka import Record
from tidemill_ingestion.foreign.avro_values import AvroDecoder
from tidemill_ingestion.foreign.decoding import ARROW, Decoder, Framed
from tidemill_ingestion.foreign.json_values import JsonDecoder
from tidemill_ingestion.foreign.mapping import Mapper, types_of
from tidemill_ingestion.foreign.protobuf_values import ProtobufDecoder
from tidemill_ingestion.schema import StreamSchema, compile_stream
from tidemill_ingestion.validation import Batch, Refusal, check_columns


@dataclass(frozen=True, slots=True)
class Bridged:
    """What became of a batch of records: events, refusals by place, and the rest by number."""

    batch: Batch | None
    refusals: dict[int, Refusal]
    left_out: int
    empty: int


@dataclass(frozen=True, slots=True)
class ForeignSource:
    """What turns the records of one foreign topic into events of one stream."""

    topic: str
    start: pb.Start
    schema: StreamSchema
    decoder: Decoder
    mapper: Mapper

    def events(
        self, records: Sequence[Record], now_us: int, erased: Erased = NOTHING_ERASED
    ) -> Bridged:
        """Decode, map and check records; what one record gives depends on no other record.

        A record without a value is no event: it deletes a key in a compacted topic. One of an
        erased entity is left out: as a dead letter it would be kept.
        """
        values = [record.value for record in records]
        places = np.arange(len(values), dtype=np.int64)
        if None in values:
            places = np.array([at for at in places.tolist() if values[at] is not None], np.int64)
        found = self.decoder.decode([value for value in values if value is not None])
        refusals = {int(places[at]): Refusal(reason) for at, reason in found.bad.items()}
        index = places[found.index]
        columns = found.columns | _of_records(self.mapper.columns, records, index)
        mapped = self.mapper.events(columns, self._ids(records, index), now_us)
        refusals |= {int(index[row]): refusal for row, refusal in mapped.refusals.items()}
        index = index[mapped.index]
        empty = len(records) - len(places)
        if mapped.rows is None:
            return Bridged(None, refusals, mapped.left_out, empty)
        kept = np.flatnonzero(~erased.of_stream(self.schema.name).rows(mapped.rows))
        left_out = mapped.left_out + mapped.rows.num_rows - len(kept)
        rows, index = mapped.rows.take(pa.array(kept)), index[kept]
        checked = check_columns(self.schema, rows, now_us, states=self.mapper.states)
        refusals |= {int(index[row]): refusal for row, refusal in checked.refusals.items()}
        batch = checked.batch
        if batch is not None:
            batch = Batch(self.schema, batch.rows, batch.partitions, index[batch.index])
        return Bridged(batch, refusals, left_out, empty)

    def _ids(self, records: Sequence[Record], index: npt.NDArray[np.int64]) -> pa.Array:
        """Name each record by its place, which it never leaves, if it has no name of its own."""
        if self.mapper.named:
            return pa.nulls(len(index), pa.string())
        texts = [f"{records[at].partition}:{records[at].offset}" for at in index.tolist()]
        return pa.array(texts, pa.string())


def compile_source(stream: pb.Stream) -> ForeignSource:
    """Compile a normalised stream that has a source; Misconfigured if it cannot be used."""
    source = stream.source
    schema = compile_stream(stream)
    try:
        known = sources.columns_of(stream)
        mapper = Mapper.of(stream, schema, types_of(known))
        decoder = _decoder(stream, {name: known[name] for name in mapper.columns - set(RECORD)})
    except SchemaError as error:
        raise Misconfigured(f"the source of {stream.name}: {error}") from error
    return ForeignSource(source.topic, source.start, schema, decoder, mapper)


def _decoder(stream: pb.Stream, wanted: Mapping[str, pb.FieldType]) -> Decoder:
    source = stream.source
    types = {name: ARROW[kind] for name, kind in wanted.items()}
    if source.format == pb.FORMAT_JSON:
        json = JsonDecoder(sources.json_columns(wanted))
        return Framed({}, types, any_id=json) if source.framed else json
    if source.descriptors:
        decoder = _of_schema(source, source.descriptors, wanted, framed=source.framed)
        return Framed({}, types, any_id=decoder) if source.framed else decoder
    if not source.schemas:
        return _of_schema(source, source.schema, wanted, framed=False)
    by_id = {
        int(schema_id): _of_schema(source, text, wanted, framed=True)
        for schema_id, text in source.schemas.items()
    }
    return Framed(by_id, types)


def _of_schema(
    source: pb.Source, schema: str | bytes, wanted: Mapping[str, pb.FieldType], *, framed: bool
) -> Decoder:
    columns = sources.schema_columns(source.format, schema, source.message)
    own: dict[str, Column] = {name: column for name, column in columns.items() if name in wanted}
    if source.format == pb.FORMAT_AVRO and isinstance(schema, str):
        return AvroDecoder(schema, own)
    return ProtobufDecoder(schema, source.message, own, framed=framed)


def _of_records(
    wanted: frozenset[str], records: Sequence[Record], index: npt.NDArray[np.int64]
) -> dict[str, pa.Array]:
    """Return what expressions read of the records themselves."""
    chosen = [records[at] for at in index.tolist()] if wanted & set(RECORD) else []
    found: dict[str, pa.Array] = {}
    if KEY in wanted:
        found[KEY] = pa.array([_text(record.key) for record in chosen], pa.string())
    if TIMESTAMP in wanted:
        stamps = pa.array([record.timestamp_ms for record in chosen], pa.int64())
        found[TIMESTAMP] = pc.multiply(stamps, 1_000).cast(events.TIMESTAMP)
    if PARTITION in wanted:
        found[PARTITION] = pa.array([record.partition for record in chosen], pa.int64())
    if OFFSET in wanted:
        found[OFFSET] = pa.array([record.offset for record in chosen], pa.int64())
    return found


def _text(key: bytes | None) -> str | None:
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None
