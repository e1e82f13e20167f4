"""A source may name compiled descriptors: what protoc and buf write of a company's own .proto files."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import generation, load, normalise, read
from tidemill.project.schemas import descriptors, protobuf
from tidemill.project.schemas.columns import MAX_DEPTH, SchemaError, Stored

MONEY = """
    syntax = "proto3";
    package shop.money.v1;
    // What something costs.
    message Price { int64 cents = 1; string currency = 2; }
"""
ORDERS = """
    syntax = "proto3";
    package shop.orders.v1;
    import "google/protobuf/timestamp.proto";
    import "money.proto";
    enum State { STATE_UNSPECIFIED = 0; STATE_PAID = 1; }
    message Order {
      message Buyer { string id = 1; optional string city = 2; }
      string rider = 1;
      Buyer buyer = 2;
      shop.money.v1.Price price = 3;
      State state = 4;
      oneof how { string card = 5; bool cash = 6; }
      google.protobuf.Timestamp at = 7;
      repeated Line lines = 8;
      map<string, int32> notes = 9;
      bytes raw = 10;
      Order replaces = 11;
      double fare = 12;
    }
    message Line { string article = 1; }
"""
OTHER = 'syntax = "proto3"; package other.v1; message Unused { string a = 1; }'
PROJECT = """\
project: rides
streams:
  ride:
    key: [rider]
    fields:
      rider: {type: string, required: true}
      fare: float64
    source:
      topic: t
      format: protobuf
      message: shop.orders.v1.Order
      descriptors: orders.binpb
      time: at
"""


def compiled(folder: Path, *flags: str, orders: str = ORDERS) -> bytes:
    for name, text in {"money": MONEY, "orders": orders, "other": OTHER}.items():
        (folder / f"{name}.proto").write_text(dedent(text))
    out = folder / "orders.binpb"
    known = Path(protoc.__file__).parent / "_proto"
    names = ["orders.proto", "other.proto"]
    assert (
        protoc.main(
            ["protoc", f"-I{folder}", f"-I{known}", f"--descriptor_set_out={out}", *flags, *names]
        )
        == 0
    )
    return out.read_bytes()


def written(folder: Path, text: str = PROJECT) -> Path:
    file = folder / "tidemill.yaml"
    file.write_text(text)
    return file


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    return compiled(tmp_path, "--include_imports", "--include_source_info")


def problems(folder: Path, text: str) -> list[str]:
    return [str(each).removeprefix(f"{folder}/") for each in read(written(folder, text)).problems]


def test_what_a_message_holds_is_read_from_all_files_of_the_set(whole: bytes) -> None:
    found = protobuf.columns(whole, "shop.orders.v1.Order")
    assert {name: column.stored for name, column in found.items()} == {
        "rider": Stored.STRING,
        "buyer.id": Stored.STRING,
        "buyer.city": Stored.STRING,
        "price.cents": Stored.INT64,
        "price.currency": Stored.STRING,
        "state": Stored.SYMBOL,
        "card": Stored.STRING,
        "cash": Stored.BOOL,
        "at": Stored.TIMESTAMP,
        "fare": Stored.FLOAT64,
    }
    assert list(protobuf.columns(whole, "shop.money.v1.Price")) == ["cents", "currency"]


@pytest.mark.usefixtures("whole")
def test_the_file_is_looked_for_beside_the_project_and_its_content_travels_with_it(
    tmp_path: Path,
) -> None:
    project = load(written(tmp_path))
    (tmp_path / "orders.binpb").unlink()
    source = normalise(project).streams[0].source
    assert dict(source.fields) == {"rider": '"rider"', "fare": '"fare"'}
    kept = FileDescriptorSet.FromString(source.descriptors).file
    assert [file.name for file in kept] == [
        "google/protobuf/timestamp.proto",
        "money.proto",
        "orders.proto",
    ]


def test_a_project_is_the_same_whatever_else_the_set_holds(tmp_path: Path, whole: bytes) -> None:
    before = load(written(tmp_path))
    shuffled = FileDescriptorSet.FromString(compiled(tmp_path, "--include_imports"))
    shuffled.file.sort(key=lambda file: file.name, reverse=True)
    (tmp_path / "orders.binpb").write_bytes(shuffled.SerializeToString())
    after = load(written(tmp_path))
    assert before.streams[0].source.descriptors == whole != after.streams[0].source.descriptors
    assert generation(before) == generation(after)
    assert normalise(normalise(before)) == normalise(before)
    compiled(tmp_path, "--include_imports", orders=ORDERS.replace("fare = 12", "fare = 13"))
    assert generation(load(written(tmp_path))) != generation(before)


@pytest.mark.usefixtures("whole")
def test_yaml_and_python_mean_the_same(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(
        "from tidemill.project import Project, Source, Stream, float64, string\n"
        'source = Source("t", "protobuf", message="shop.orders.v1.Order",\n'
        '    descriptors="orders.binpb", time="at")\n'
        'fields = {"rider": string(required=True), "fare": float64()}\n'
        'project = Project("rides", streams=[Stream("ride", ["rider"], fields, source=source)])\n'
    )
    assert generation(load(file)) == generation(load(written(tmp_path)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("orders.binpb", "none.binpb"), ":12: streams.ride.source.descriptors: '{}/none.binpb' cannot be read"),
        (("orders.binpb", "orders.proto"), ":12: streams.ride.source.descriptors: '{}/orders.proto': not a set of descriptors"),
        (("orders.binpb", "[a]"), ":12: streams.ride.source.descriptors: expected the path of a file, got a list"),
        (("v1.Order", "v1.Oder"), ":12: streams.ride.source.descriptors: no message 'shop.orders.v1.Oder'; did you mean 'shop.orders.v1.Order'?"),
        (("format: protobuf", "format: json"), "streams.ride.source.descriptors: a json source has no descriptors"),
        (("time: at", "schema: x"), ":8: streams.ride.source: a source of protobuf needs a schema (only one of schema and descriptors)"),
        (("      descriptors: orders.binpb\n", ""), ":8: streams.ride.source: a source of protobuf needs a schema (descriptors, schema, or"),
        (("time: at", "id: lines"), ":13: streams.ride.source.id: the expression: 'lines' is repeated: it is no column"),
        (("time: at", "id: '\"lines.article\"'"), ":13: streams.ride.source.id: the expression: 'lines' is repeated"),
        (("time: at", "id: notes"), ":13: streams.ride.source.id: the expression: 'notes' is a map"),
        (("time: at", "id: raw"), ":13: streams.ride.source.id: the expression: 'raw' holds bytes"),
        (("time: at", "id: '\"replaces.rider\"'"), ":13: streams.ride.source.id: the expression: 'replaces' is a message inside itself"),
        (("time: at", "id: buyr"), ":13: streams.ride.source.id: the expression: unknown column 'buyr'"),
        (("fare: float64", "lines: string"), ":8: streams.ride.source.fields: 'lines' is repeated: it is no column"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("whole")
def test_a_mistake_is_named_where_it_stands(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    found = problems(tmp_path, PROJECT.replace(*change))
    assert any(said.format(tmp_path) in each for each in found), found


def test_a_set_without_its_imports_says_how_to_write_it(tmp_path: Path) -> None:
    compiled(tmp_path)
    (only,) = problems(tmp_path, PROJECT)
    assert "imports google/protobuf/timestamp.proto, which the set lacks" in only
    assert "--include_imports" in only


@pytest.mark.usefixtures("whole")
def test_frames_are_for_descriptors_and_not_for_a_schema_without_an_id(tmp_path: Path) -> None:
    framed = PROJECT.replace("time: at", "framed: true")
    assert problems(tmp_path, framed) == []
    text = framed.replace("descriptors: orders.binpb", "schema: 'syntax = \"proto3\";'")
    assert any("a protobuf source has no framed" in each for each in problems(tmp_path, text))


def test_a_file_or_a_message_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "orders.binpb").write_bytes(b"\0" * (descriptors.MAX_FILE_BYTES + 1))
    (only,) = problems(tmp_path, PROJECT)
    assert f"is larger than {descriptors.MAX_FILE_BYTES} bytes" in only
    fields = "".join(f"bytes {'f' * 200}{number} = {number};" for number in range(100, 1500))
    compiled(tmp_path, "--include_imports", orders=ORDERS.replace("double fare = 12;", fields))
    found = problems(tmp_path, PROJECT)
    assert any(f"bytes, at most {descriptors.MAX_BYTES}" in each for each in found)


def a_set(*messages: DescriptorProto) -> bytes:
    files = FileDescriptorSet()
    files.file.add(name="a.proto", syntax="proto3").message_type.extend(messages)
    return files.SerializeToString()


def a_message(name: str, inner: str, count: int) -> DescriptorProto:
    fields = [
        FieldDescriptorProto(
            name=f"f{number}",
            number=number + 1,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
            type=FieldDescriptorProto.TYPE_MESSAGE if inner else FieldDescriptorProto.TYPE_INT32,
            type_name=inner or None,
        )
        for number in range(count)
    ]
    return DescriptorProto(name=name, field=fields)


def test_messages_whose_values_multiply_or_go_down_without_end_take_no_time() -> None:
    wide = [a_message(f"M{n}", f".M{n + 1}" if n < 8 else "", 30) for n in range(9)]
    with pytest.raises(SchemaError, match="more than 10000 values"):
        protobuf.columns(a_set(*wide), "M0")
    deep = [a_message(f"M{n}", f".M{n + 1}" if n < 4_000 else "", 1) for n in range(4_001)]
    assert protobuf.columns(a_set(*deep), "M0") == {}
    (said,) = protobuf.without_column(a_set(*deep), "M0").items()
    assert said == (".".join(["f0"] * MAX_DEPTH), "lies too deep")


CIRCLE = FileDescriptorSet(
    file=[
        FileDescriptorProto(name="a", dependency=["b"]),
        FileDescriptorProto(name="b", dependency=["a"], message_type=[DescriptorProto(name="A")]),
    ]
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        a_set(a_message("A", ".Missing", 1)),
        a_set(a_message("A", "", 1), a_message("A", "", 1)),
        a_set(DescriptorProto(name="A", field=[FieldDescriptorProto(name="x")])),
        CIRCLE.SerializeToString(),
    ],
)
def test_bytes_that_are_no_good_set_are_refused(content: bytes) -> None:
    with pytest.raises(SchemaError):
        protobuf.columns(content, "A")


def test_a_definition_that_did_not_come_from_a_file_is_checked_as_well() -> None:
    source = pb.Source(format=pb.FORMAT_PROTOBUF, message="A", descriptors=b"\xff")
    with pytest.raises(SchemaError, match="not a set of descriptors"):
        descriptors.needed(source.descriptors, source.message)
