"""Events on the wire to Kafka: one Arrow record batch a record, and headers that say what it is.

Bytes from outside are never trusted: the size, the number of messages and the absence of
dictionaries and of compression are checked before Arrow allocates anything, offsets and UTF-8
right after, and no row is looked at before that.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import pyarrow as pa

from tidemill.errors import Invalid, TooLarge
from tidemill_common import telemetry
from tidemill_common.ids import canonical_json
from tidemill_common.topics import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

Headers = Iterable[tuple[str, bytes]]
ColumnType = Literal["bool", "int64", "float64", "string", "timestamp"]

CONTENT_TYPE: Final = "application/vnd.apache.arrow.stream"
TIMESTAMP: Final = pa.timestamp("us", "UTC")
ARROW_TYPES: Final = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "timestamp": TIMESTAMP,
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a batch; a value may be missing unless it is required."""

    name: str
    type: ColumnType
    required: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What a record may cost at most."""

    max_bytes: int = MAX_RECORD_BYTES
    max_rows: int = 100_000
    max_columns: int = 1_000


LIMITS: Final = Limits()
ENVELOPE: Final = (
    Column("_id", "string", required=True),
    Column("_source", "string", required=True),
    Column("_time", "timestamp", required=True),
    Column("_available", "timestamp", required=True),
    Column("_replay_of", "string"),
)


def event_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the schema of a stream's records: the envelope, then the stream's own columns."""
    return pa.schema(
        [
            pa.field(column.name, ARROW_TYPES[column.type], nullable=not column.required)
            for column in (*ENVELOPE, *columns)
        ]
    )


def fingerprint(columns: Sequence[Column]) -> str:
    """Return 16 hex digits that are the same for the same columns in the same order."""
    shape = [[column.name, column.type, column.required] for column in columns]
    return hashlib.sha256(canonical_json(shape)).hexdigest()[:16]


def event_headers(schema: str) -> list[tuple[str, bytes]]:
    """Return the headers of a record of events; the current span's context travels with it."""
    return [
        ("content-type", CONTENT_TYPE.encode()),
        ("schema", schema.encode()),
        *telemetry.to_headers(),
    ]


def header(headers: Headers, name: str) -> str | None:
    """Return the first header called `name` as text, None if there is none."""
    for key, value in headers:
        if key == name:
            return value.decode("utf-8", "replace")
    return None


_PLAIN = pa.ipc.IpcWriteOptions()
"""Without options Arrow asks the environment at every record."""


def encode(batch: pa.RecordBatch) -> bytes:
    """Return the Arrow IPC stream of one batch, uncompressed: Kafka compresses whole batches.

    Of a slice only its own rows: Arrow would fill the last 64 bytes of each column with what lies
    behind it, which may be about somebody else.
    """
    columns = [pa.concat_arrays([column]) for column in batch.columns]
    batch = pa.RecordBatch.from_arrays(columns, schema=batch.schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_PLAIN) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def decode(
    value: bytes, schema: pa.Schema | None = None, limits: Limits = LIMITS
) -> pa.RecordBatch:
    """Return the one batch in `value`, with the columns of `schema` when one is given.

    TooLarge if it breaks a limit, Invalid for anything else; no input makes it raise another
    error, and the memory it takes is bounded by the size of `value`.
    """
    if len(value) > limits.max_bytes:
        raise TooLarge(f"{len(value)} bytes: a record has at most {limits.max_bytes}")
    try:
        batch = _read_one(value, limits)
        batch.validate(full=True)
        if schema is not None and not batch.schema.equals(schema):
            batch = _aligned(batch, schema)
    except (pa.ArrowException, ValueError, OSError, EOFError, struct.error) as error:
        if isinstance(error, Invalid):
            raise
        raise Invalid(f"not an Arrow stream of one batch: {type(error).__name__}") from error
    _refuse_missing(batch)
    return batch


def _read_one(value: bytes, limits: Limits) -> pa.RecordBatch:
    """Read a schema message and one batch message, and nothing else."""
    messages = iter(pa.ipc.MessageReader.open_stream(pa.py_buffer(value)))
    head = next(messages, None)
    body = next(messages, None)
    if head is None or body is None or head.type != "schema" or body.type != "record batch":
        raise Invalid("an event record is a schema and one batch, without dictionaries")
    if next(messages, None) is not None:
        raise Invalid("an event record has exactly one batch")
    schema = pa.ipc.read_schema(head)
    if len(schema) > limits.max_columns:
        raise TooLarge(f"{len(schema)} columns: a record has at most {limits.max_columns}")
    rows, compressed = batch_facts(bytes(body.metadata))
    if compressed:
        raise Invalid("the batch is compressed; Kafka compresses, the batch must not be")
    if rows > limits.max_rows:
        raise TooLarge(f"{rows} rows: a record has at most {limits.max_rows}")
    return pa.ipc.read_record_batch(body, schema)


def batch_facts(metadata: bytes) -> tuple[int, bool]:
    """Return the number of rows and whether the body is compressed, from a message's flatbuffer.

    Arrow shows neither before it has allocated the columns. Fields by slot: Message 2 is the
    header; RecordBatch 0 is the length, 3 the compression.
    """
    message = struct.unpack_from("<I", metadata, 0)[0]
    header_at = _field(metadata, message, 2)
    if header_at is None:
        raise Invalid("a batch message without a header")
    table = header_at + struct.unpack_from("<I", metadata, header_at)[0]
    length_at = _field(metadata, table, 0)
    rows = 0 if length_at is None else struct.unpack_from("<q", metadata, length_at)[0]
    return rows, _field(metadata, table, 3) is not None


def _field(buffer: bytes, table: int, slot: int) -> int | None:
    """Return where field `slot` of the flatbuffer table at `table` lies, None if it is absent."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    if vtable < 0:
        raise Invalid("a batch message with a broken table")
    size = struct.unpack_from("<H", buffer, vtable)[0]
    entry = 4 + 2 * slot
    if entry + 2 > size:
        return None
    offset = struct.unpack_from("<H", buffer, vtable + entry)[0]
    return table + offset if offset else None


def _aligned(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the columns of `schema`, by name: a stream's columns may be added and taken away.

    What a writer of an older schema did not know is missing, what one of a newer schema adds is
    left out. Invalid if a column has another type, or is missing and required.
    """
    names = batch.schema.names
    if len(set(names)) < len(names):
        raise Invalid("two columns of one name")
    if not batch.schema.equals(pa.schema(list(batch.schema))):
        raise Invalid("columns differ from the schema: they are in another byte order")
    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            if not field.nullable:
                raise Invalid(f"columns differ from the schema: {field.name} is missing")
            columns.append(pa.nulls(batch.num_rows, field.type))
        elif batch.schema.field(index).type != field.type:
            found = batch.schema.field(index)
            raise Invalid(f"columns differ from the schema: {found} in place of {field}")
        else:
            columns.append(batch.column(index))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _refuse_missing(batch: pa.RecordBatch) -> None:
    """Refuse a missing value in a column that the batch's own schema calls required."""
    for index, field in enumerate(batch.schema):
        if not field.nullable and batch.column(index).null_count:
            raise Invalid(f"{field.name} is required, {batch.column(index).null_count} missing")
