"""A stream's source: every mistake is named where it stands, defaults are written out."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent, indent

import pytest

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import generation, load, loads, normalise
from tidemill.project.schemas import avro, protobuf
from tidemill.project.schemas.columns import SchemaError

AVRO = json.dumps(
    {
        "type": "record",
        "name": "Ride",
        "fields": [
            {"name": "rider", "type": "string"},
            {
                "name": "user",
                "type": {
                    "type": "record",
                    "name": "User",
                    "fields": [{"name": "tier", "type": ["null", "string"]}],
                },
            },
            {"name": "fare", "type": "int"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        ],
    }
)
PROTO = 'syntax = "proto3"; package r.v1; message Ride { string rider = 1; int64 fare = 2; }'
STREAM = """\
project: rides
streams:
  ride:
    key: [rider]
    fields:
      rider: {type: string, required: true}
      fare: float64
      paid: bool
"""


def a_project(source: str, more: str = "") -> str:
    """Line 9 is the source; its keys begin on line 10."""
    keys = indent(dedent(source).strip("\n"), "      ")
    return f"{STREAM}    source:\n{keys}\n{indent(more, '    ')}"


def problems(source: str, more: str = "") -> list[str]:
    return [str(each) for each in loads(a_project(source, more)).problems]


def normalised(source: str, more: str = "") -> pb.Source:
    loaded = loads(a_project(source, more))
    assert loaded.problems == []
    return normalise(loaded.project).streams[0].source


def test_a_source_of_json_needs_no_more_than_its_topic() -> None:
    source = normalised("topic: rides.raw\nformat: json")
    assert dict(source.columns) == {
        "rider": pb.FIELD_TYPE_STRING,
        "fare": pb.FIELD_TYPE_FLOAT64,
        "paid": pb.FIELD_TYPE_BOOL,
    }
    assert dict(source.fields) == {"rider": '"rider"', "fare": '"fare"', "paid": '"paid"'}
    assert (source.time, source.start) == ("_timestamp", pb.START_EARLIEST)


def test_fields_come_from_the_schema_and_those_it_lacks_are_not_mapped() -> None:
    source = normalised(f"topic: t\nformat: avro\nschema: '{AVRO}'\ntime: at")
    assert dict(source.fields) == {"rider": '"rider"', "fare": '"fare"'}
    source = normalised(f"topic: t\nformat: protobuf\nmessage: r.v1.Ride\nschema: '{PROTO}'")
    assert dict(source.fields) == {"rider": '"rider"', "fare": '"fare"'}


def test_a_project_with_its_defaults_written_out_is_the_same_project() -> None:
    text = a_project(f"topic: t\nformat: avro\nschemas: {{7: '{AVRO}'}}")
    whole = normalise(loads(text).project)
    assert normalise(whole) == whole
    assert generation(whole) == generation(loads(text).project)


def test_yaml_and_python_mean_the_same(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(
        "from tidemill.project import Project, Source, Stream, boolean, float64, string\n"
        'ride = Stream("ride", key=["rider"],\n'
        '    fields={"rider": string(required=True), "fare": float64(), "paid": boolean()},\n'
        '    source=Source("t", "json", columns={"user.id": "string", "fare": "int64"},\n'
        '        fields={"rider": \'"user.id"\'}, start="latest"))\n'
        'project = Project("rides", streams=[ride])\n'
    )
    text = a_project(
        """
        topic: t
        format: json
        columns: {user.id: string, fare: int64}
        fields: {rider: '"user.id"'}
        start: latest
        """
    )
    assert generation(load(file)) == generation(loads(text).project)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("format: json", ":9: streams.ride.source.topic: a source needs a topic"),
        ("topic: a b\nformat: json", ":10: streams.ride.source.topic: 'a b' is no topic name"),
        (
            "topic: events.ride\nformat: json",
            ":10: streams.ride.source.topic: 'events.ride' is a topic that the platform writes",
        ),
        ("topic: t", ":9: streams.ride.source.format: a source needs a format"),
        ("topic: t\nformat: xml", ":11: streams.ride.source.format: expected one of json"),
        (
            "topic: t\nformat: json\nschema: x",
            ":12: streams.ride.source.schema: a json source has no schema",
        ),
        ("topic: t\nformat: avro", ":9: streams.ride.source: a source of avro needs a schema"),
        (
            "topic: t\nformat: avro\nschema: '{'",
            ":12: streams.ride.source.schema: not JSON in line 1",
        ),
        (
            "topic: t\nformat: avro\nschemas:\n  x: '{}'",
            ":13: streams.ride.source.schemas.x: 'x' is no id of a schema",
        ),
        (
            f"topic: t\nformat: protobuf\nschema: '{PROTO}'",
            ":9: streams.ride.source.message: a protobuf source needs a message",
        ),
        (
            f"topic: t\nformat: protobuf\nmessage: r.v1.Rid\nschema: '{PROTO}'",
            ":13: streams.ride.source.schema: no message 'r.v1.Rid'; did you mean 'r.v1.Ride'?",
        ),
        (
            'topic: t\nformat: protobuf\nmessage: X\nschema: |\n  syntax = "proto3";\n  mesage X {}',
            ":13: streams.ride.source.schema: line 2 of the .proto: ",
        ),
        (
            "topic: t\nformat: json\ncolumns: {rider: string, rider.id: string}",
            ":12: streams.ride.source.columns: 'rider' cannot be a value and hold 'rider.id'",
        ),
        (
            "topic: t\nformat: json\ncolumns: {_key: string}",
            ":12: streams.ride.source.columns._key: '_key' cannot be a column",
        ),
        (
            "topic: t\nformat: json\ncolumns: {fare: int64}",
            ":9: streams.ride.source.fields: 'rider' is required, and no column has that name",
        ),
        (
            "topic: t\nformat: json\ncolumns: {rider: int64}",
            ":9: streams.ride.source.fields: the column 'rider' is a int64, not a string",
        ),
        (
            "topic: t\nformat: json\nfields:\n  fare: user.id",
            ":13: streams.ride.source.fields.fare: the expression: a name with a dot stands in",
        ),
        (
            "topic: t\nformat: json\nfields:\n  fares: fare",
            ":13: streams.ride.source.fields.fares: stream 'ride' has no field 'fares'",
        ),
        (
            "topic: t\nformat: json\nfilter: fare",
            ":12: streams.ride.source.filter: the expression gives a float64, expected a bool",
        ),
        (
            "topic: t\nformat: json\navailable: _timestamp",
            ":12: streams.ride.source.available: only a stream marked replay may state it",
        ),
        ("topic: t\nformat: json\nid: NOW()", ":12: streams.ride.source.id: the expression: 'NOW'"),
    ],
)
def test_a_mistake_is_named_with_its_line(source: str, said: str) -> None:
    (only,) = problems(source)
    assert only.startswith(f"tidemill.yaml{said}")


def test_an_attribute_of_the_stream_and_of_the_source_do_not_go_together() -> None:
    (only,) = problems("topic: t\nformat: json\nid: rider", "event_id_field: rider\n")
    assert "the stream has an event_id_field, 'rider'" in only


def test_a_copy_that_comes_late_must_be_recognised() -> None:
    (only,) = problems("topic: t\nformat: json", "dedupe: 9m\n")
    assert "streams.ride.dedupe: a stream with a source needs a dedupe of at least 10m" in only


def test_schemas_of_several_ids_must_agree_on_types() -> None:
    other = AVRO.replace('"int"', '"double"').replace('"at"', '"moment"')
    text = f"topic: t\nformat: avro\nschemas:\n  1: '{AVRO}'\n  2: '{other}'\n"
    assert problems(text) == []
    other = AVRO.replace('"int"', '"string"')
    (only,) = problems(f"topic: t\nformat: avro\nschemas:\n  1: '{AVRO}'\n  2: '{other}'\n")
    assert only.endswith("'fare' is a int64 in one schema and a string in another")


def test_columns_of_avro_lie_in_records_and_unions_with_null_only() -> None:
    def field(kind: object) -> str:
        return json.dumps({"type": "record", "name": "A", "fields": [{"name": "x", "type": kind}]})

    inner = {"type": "record", "name": "B", "fields": [{"name": "y", "type": "float"}]}
    assert list(avro.columns(field(["null", inner]))) == ["x.y"]
    for kind in (
        "bytes",
        ["int", "string"],
        {"type": "array", "items": inner},
        {"type": "map", "values": "int"},
        {"type": "fixed", "name": "F", "size": 4},
    ):
        assert avro.columns(field(kind)) == {}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ('"string"', "not of a record"),
        ("[" * 5_000, "nested too deeply"),
        (
            '{"type": "record", "name": "A", "fields": [{"name": "a", "type": ["null", "A"]}]}',
            "A holds itself",
        ),
        (
            '{"type": "record", "name": "A", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]}',
            "items without a size",
        ),
        ('{"type": "record", "name": "A", "fields": 5}', "not an Avro schema"),
        (
            '{"type": "record", "name": "A", "fields": [{"name": "a", "type": "B"}]}',
            "not an Avro schema: B",
        ),
    ],
)
def test_an_avro_schema_whose_data_could_have_no_end_is_refused(schema: str, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        avro.columns(schema)


def test_a_proto_imports_what_comes_with_protobuf_and_nothing_else() -> None:
    text = 'syntax = "proto3"; import "google/protobuf/timestamp.proto"; message A { google.protobuf.Timestamp at = 1; A more = 2; repeated int32 many = 3; bytes raw = 4; }'
    assert list(protobuf.columns(text, "A")) == ["at"]
    for file in ("/etc/hostname", "../secret.proto", "other.proto"):
        with pytest.raises(SchemaError, match="proto: "):
            protobuf.columns(f'syntax = "proto3"; import "{file}"; message A {{}}', "A")
