"""What a stream's source gives: the columns that its expressions see, and its defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project.schemas import avro, descriptors, protobuf
from tidemill.project.schemas.columns import RECORD, TIMESTAMP, Column, SchemaError, Stored, by_name

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON_STORED = {
    pb.FIELD_TYPE_BOOL: Stored.BOOL,
    pb.FIELD_TYPE_INT64: Stored.INT64,
    pb.FIELD_TYPE_FLOAT64: Stored.FLOAT64,
    pb.FIELD_TYPE_STRING: Stored.STRING,
    pb.FIELD_TYPE_TIMESTAMP: Stored.TIMESTAMP,
}


def json_columns(columns: Mapping[str, pb.FieldType]) -> dict[str, Column]:
    """Return declared columns; SchemaError if one is a value and an object at once."""
    found = [Column(tuple(name.split(".")), JSON_STORED[kind]) for name, kind in columns.items()]
    for column in found:
        for length in range(1, len(column.path)):
            if ".".join(column.path[:length]) in columns:
                outer = ".".join(column.path[:length])
                raise SchemaError(f"{outer!r} cannot be a value and hold {column.name!r}")
    return by_name(found)


def schema_columns(format_: pb.Format, schema: str | bytes, message: str) -> dict[str, Column]:
    """Return the columns of a schema's records; SchemaError says what is wrong with it."""
    if isinstance(schema, bytes) and len(schema) > descriptors.MAX_BYTES:
        raise SchemaError(
            f"what {message} needs takes {len(schema)} bytes, at most {descriptors.MAX_BYTES}"
        )
    if format_ == pb.FORMAT_AVRO and isinstance(schema, str):
        return avro.columns(schema)
    return protobuf.columns(schema, message)


def without_column(source: pb.Source) -> dict[str, str]:
    """Return what a record has beside its columns, and why expressions cannot read it."""
    if source.format != pb.FORMAT_PROTOBUF:
        return {}
    found: dict[str, str] = {}
    for schema in schemas(source).values():
        found |= protobuf.without_column(schema, source.message)
    return found


def schemas(source: pb.Source) -> dict[str, str | bytes]:
    """Return the schemas by their key in the project file, ids in their order.

    Of descriptors only what the message needs; SchemaError if they are none.
    """
    if source.descriptors:
        return {"descriptors": descriptors.needed(source.descriptors, source.message)}
    by_id: dict[str, str | bytes] = {
        f"schemas.{key}": source.schemas[key] for key in sorted(source.schemas, key=int)
    }
    return by_id or {"schema": source.schema}


def columns_of(stream: pb.Stream) -> dict[str, pb.FieldType]:
    """Return the columns that the source's expressions see, the record's own among them.

    Of several schemas each gives its columns; a record whose schema lacks one has NULL there.
    """
    source = stream.source
    if source.format == pb.FORMAT_JSON:
        declared = source.columns or {field.name: field.type for field in stream.fields}
        return {**dict(declared), **RECORD}
    found: dict[str, pb.FieldType] = {}
    for schema in schemas(source).values():
        for name, column in schema_columns(source.format, schema, source.message).items():
            found[name] = merged(name, found.get(name, column.type), column.type)
    return {**found, **RECORD}


def merged(name: str, one: pb.FieldType, other: pb.FieldType) -> pb.FieldType:
    """Return the type of a column that two schemas give; SchemaError if there is none."""
    if one == other:
        return one
    if {one, other} == {pb.FIELD_TYPE_INT64, pb.FIELD_TYPE_FLOAT64}:
        return pb.FIELD_TYPE_FLOAT64
    kinds = [pb.FieldType.Name(each).removeprefix("FIELD_TYPE_").lower() for each in (one, other)]
    raise SchemaError(f"{name!r} is a {kinds[0]} in one schema and a {kinds[1]} in another")


def quoted(name: str) -> str:
    """Return an expression that reads one column."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def fill(stream: pb.Stream) -> None:
    """Write the defaults of a source out."""
    source = stream.source
    if source.format == pb.FORMAT_JSON and not source.columns:
        for field in stream.fields:
            source.columns[field.name] = field.type
    known = columns_of(stream)
    for field in stream.fields:
        if field.name not in source.fields and field.name in known:
            source.fields[field.name] = quoted(field.name)
    if source.descriptors:
        source.descriptors = descriptors.needed(source.descriptors, source.message)
    if not source.time and not stream.event_time_field:
        source.time = TIMESTAMP
    source.start = source.start or pb.START_EARLIEST
