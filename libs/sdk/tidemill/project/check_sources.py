"""Checks the sources of streams: topics that others write, their schemas and the mapping."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import durations, expressions, sources
from tidemill.project.problems import did_you_mean
from tidemill.project.rules import type_name
from tidemill.project.schemas.columns import RECORD, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill.project.rules import Context

TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
OWN: Final = re.compile(
    r"(events|features|predictions|labels)\..*|alerts|registry\.events|training\.requests"
)
MAX_ID: Final = 2**32 - 1
SHORTEST_DEDUPE_US: Final = 10 * durations.UNITS_US["m"]
"""A copy that a bridge sends late must be recognised: after ten minutes brokers close idle
connections, and with them what waits in one.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Readable:
    """What expressions may read, and what else a record has, with why that holds no column."""

    columns: Mapping[str, pb.FieldType]
    without: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def refused(self, name: str) -> str:
        """Say why a value, or what it lies in, cannot be read; empty if nothing is known of it."""
        parts = name.split(".")
        outer = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
        found = next((each for each in outer if each in self.without), None)
        return "" if found is None else f"{found!r} {self.without[found]}: it is no column"


def check_source(context: Context, stream: pb.Stream) -> None:
    """Check one stream's source; its expressions only if its columns are known."""
    source, path = stream.source, f"streams.{stream.name}.source"
    report = context.report
    _topic(context, f"{path}.topic", source.topic)
    if stream.HasField("dedupe") and stream.dedupe.ToMicroseconds() < SHORTEST_DEDUPE_US:
        where = f"streams.{stream.name}.dedupe"
        report.add(where, "a stream with a source needs a dedupe of at least 10m")
    if source.format == pb.FORMAT_UNSPECIFIED:
        report.add(f"{path}.format", "a source needs a format", "json, avro or protobuf")
        return
    if _shape(context, path, source) and (columns := _columns(context, path, stream)):
        readable = Readable(columns, sources.without_column(source))
        _mapping(context, path, stream, readable)


def _topic(context: Context, path: str, topic: str) -> None:
    if not TOPIC.fullmatch(topic) or topic in {".", ".."}:
        text = f"{topic!r} is no topic name" if topic else "a source needs a topic"
        context.report.add(path, text, "letters, digits, dots, dashes and underscores")
    elif OWN.fullmatch(topic):
        context.report.add(path, f"{topic!r} is a topic that the platform writes itself")


def _shape(context: Context, path: str, source: pb.Source) -> bool:
    """Check which of the keys belong to the format; return whether its columns can be told."""
    name = pb.Format.Name(source.format).removeprefix("FORMAT_").lower()
    allowed = {
        pb.FORMAT_JSON: {"columns", "framed"},
        pb.FORMAT_AVRO: {"schema", "schemas"},
        pb.FORMAT_PROTOBUF: {"schema", "schemas", "message", "descriptors"},
    }[source.format]
    if source.descriptors:
        allowed.add("framed")
    for key in ("schema", "schemas", "framed", "message", "descriptors", "columns"):
        if key not in allowed and getattr(source, key):
            context.report.add(f"{path}.{key}", f"a {name} source has no {key}")
    if source.format == pb.FORMAT_JSON:
        return True
    given = [key for key in ("schema", "schemas", "descriptors") if getattr(source, key)]
    if len(given) != 1:
        ways = "schema, or schemas by id"
        ways = f"descriptors, {ways}" if source.format == pb.FORMAT_PROTOBUF else ways
        hint = f"only one of {' and '.join(given)}" if given else ways
        context.report.add(path, f"a source of {name} needs a schema", hint)
        return False
    if source.format == pb.FORMAT_PROTOBUF and not source.message:
        hint = "message: package.v1.Name"
        context.report.add(f"{path}.message", "a protobuf source needs a message", hint)
        return False
    wrong = [key for key in source.schemas if not _is_id(key)]
    for key in wrong:
        hint = f"a number up to {MAX_ID}"
        context.report.add(f"{path}.schemas.{key}", f"{key!r} is no id of a schema", hint)
    return not wrong


def _is_id(key: str) -> bool:
    return key.isascii() and key.isdigit() and str(int(key)) == key and int(key) <= MAX_ID


def _columns(context: Context, path: str, stream: pb.Stream) -> Mapping[str, pb.FieldType] | None:
    source, report = stream.source, context.report
    if source.format == pb.FORMAT_JSON:
        return _json_columns(context, f"{path}.columns", stream)
    found: dict[str, pb.FieldType] = {}
    good = True
    try:
        schemas = sources.schemas(source)
    except SchemaError as error:
        report.add(f"{path}.descriptors", str(error))
        return None
    for key, schema in schemas.items():
        try:
            known = sources.schema_columns(source.format, schema, source.message)
            for name, column in known.items():
                found[name] = sources.merged(name, found.get(name, column.type), column.type)
        except SchemaError as error:
            report.add(f"{path}.{key}", str(error))
            good = False
    return {**found, **RECORD} if good else None


def _json_columns(
    context: Context, path: str, stream: pb.Stream
) -> Mapping[str, pb.FieldType] | None:
    columns = stream.source.columns
    for name, kind in columns.items():
        if kind == pb.FIELD_TYPE_UNSPECIFIED or name in RECORD or not all(name.split(".")):
            message = f"{name!r} cannot be a column" if kind else f"{name!r} needs a type"
            context.report.add(f"{path}.{name}", message)
            return None
    try:
        sources.json_columns(columns)
    except SchemaError as error:
        context.report.add(path, str(error))
        return None
    if any(field.type == pb.FIELD_TYPE_UNSPECIFIED for field in stream.fields):
        return None
    return sources.columns_of(stream)


def _mapping(context: Context, path: str, stream: pb.Stream, readable: Readable) -> None:
    source, report = stream.source, context.report
    _attributes(context, path, stream, readable)
    known = {field.name: field for field in stream.fields}
    for name, sql in source.fields.items():
        where = f"{path}.fields.{name}"
        if name not in known:
            message = f"stream {stream.name!r} has no field {name!r}"
            report.add(where, message, did_you_mean(name, known))
        elif known[name].type:
            _expression(context, where, sql, readable, type_name(known[name].type))
    for field in stream.fields:
        if field.name not in source.fields and field.type:
            _same_name(context, f"{path}.fields", field, readable)


def _attributes(context: Context, path: str, stream: pb.Stream, readable: Readable) -> None:
    """Check what is no field: id, time, available time and the filter."""
    source, report = stream.source, context.report
    for key, owner in (("id", "event_id_field"), ("time", "event_time_field")):
        if getattr(source, key) and (field := getattr(stream, owner)):
            hint = f"map it: fields: {{{field}: ...}}"
            report.add(f"{path}.{key}", f"the stream has an {owner}, {field!r}", hint)
    if source.available and not stream.replay:
        report.add(f"{path}.available", "only a stream marked replay may state it", "replay: true")
    gives = {"id": "string", "time": "timestamp", "available": "timestamp", "filter": "bool"}
    for key, kind in gives.items():
        if sql := getattr(source, key):
            _expression(context, f"{path}.{key}", sql, readable, kind)


def _expression(context: Context, path: str, sql: str, readable: Readable, gives: str) -> None:
    for name in expressions.columns_of(sql):
        if name not in readable.columns and (why := readable.refused(name)):
            context.report.add(path, f"the expression: {why}")
            return
    context.expression(path, sql, readable.columns, what="the expression", gives=gives)


def _same_name(context: Context, path: str, field: pb.Field, readable: Readable) -> None:
    """Check what a field gets that is not mapped: the column of its name, or NULL."""
    kind = readable.columns.get(field.name)
    if kind is None and (why := readable.refused(field.name)):
        context.report.add(path, why, f"map it: {field.name}: <expression>")
    elif kind is None:
        if field.required:
            message = f"{field.name!r} is required, and no column has that name"
            context.report.add(path, message, f"map it: {field.name}: <expression>")
    elif kind != field.type and (kind, field.type) != (pb.FIELD_TYPE_INT64, pb.FIELD_TYPE_FLOAT64):
        message = f"the column {field.name!r} is a {type_name(kind)}, not a {type_name(field.type)}"
        context.report.add(path, message, f"map it: {field.name}: CAST(... AS ...)")
