"""Protobuf schemas: the text of a .proto file, the messages in it, and the columns of one."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor

from tidemill.project.problems import did_you_mean
from tidemill.project.schemas.columns import (
    MAX_SCHEMA_CHARACTERS,
    Column,
    SchemaError,
    Stored,
    by_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google._upb._message import Descriptor as CDescriptor
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

FILE: Final = "schema.proto"
INSTANT: Final = "google.protobuf.Timestamp"
NO_COLUMN: Final = frozenset({FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_GROUP})
STORED: Final = {
    FieldDescriptor.CPPTYPE_BOOL: Stored.BOOL,
    FieldDescriptor.CPPTYPE_INT32: Stored.INT64,
    FieldDescriptor.CPPTYPE_INT64: Stored.INT64,
    FieldDescriptor.CPPTYPE_UINT32: Stored.INT64,
    FieldDescriptor.CPPTYPE_UINT64: Stored.UINT64,
    FieldDescriptor.CPPTYPE_FLOAT: Stored.FLOAT64,
    FieldDescriptor.CPPTYPE_DOUBLE: Stored.FLOAT64,
    FieldDescriptor.CPPTYPE_ENUM: Stored.SYMBOL,
    FieldDescriptor.CPPTYPE_STRING: Stored.STRING,
}


@lru_cache(maxsize=64)
def descriptor(text: str, name: str) -> Descriptor:
    """Return a message's descriptor, in a pool of its own; SchemaError says what is wrong."""
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(_compiled(text))
    for file in files.file:
        pool.Add(file)
    own = next(file for file in files.file if file.name == FILE)
    known = list(_messages(own.message_type, own.package))
    if name not in known:
        raise SchemaError(f"no message {name!r}; {did_you_mean(name, known) or 'there is none'}")
    return pool.FindMessageTypeByName(name)


def message_class(text: str, name: str) -> type[Message]:
    """Return the class of a message, made when it is first wanted."""
    return message_factory.GetMessageClass(descriptor(text, name))


@lru_cache(maxsize=64)
def columns(text: str, name: str) -> dict[str, Column]:
    """Return the columns of a message; repeated fields, maps, bytes and groups hold none.

    A message inside itself is not looked into: expressions see the first.
    """
    return by_name(list(_columns(descriptor(text, name), (), ())))


def _columns(
    message: Descriptor | CDescriptor, path: tuple[str, ...], inside: tuple[str, ...]
) -> Iterator[Column]:
    for field in message.fields:
        where = (*path, field.name)
        if field.is_repeated or field.type in {
            FieldDescriptor.TYPE_BYTES,
            FieldDescriptor.TYPE_GROUP,
        }:
            continue
        inner = field.message_type
        if inner is None:
            yield Column(where, STORED[field.cpp_type])
        elif inner.full_name == INSTANT:
            yield Column(where, Stored.TIMESTAMP)
        elif inner.full_name not in (*inside, message.full_name):
            yield from _columns(inner, where, (*inside, message.full_name))


def _messages(found: object, package: str) -> Iterator[str]:
    for message in found:  # type: ignore[attr-defined]
        name = f"{package}.{message.name}" if package else message.name
        yield name
        yield from _messages(message.nested_type, name)


@lru_cache(maxsize=64)
def _compiled(text: str) -> bytes:
    """Return the file and what it imports as a serialised FileDescriptorSet.

    Only the files that come with Protobuf can be imported: nothing else is in reach.
    """
    from grpc_tools import _protoc_compiler as protoc

    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise SchemaError(f"{len(text)} characters, at most {MAX_SCHEMA_CHARACTERS}")
    with tempfile.TemporaryDirectory(prefix="tidemill-proto-") as folder:
        (Path(folder) / FILE).write_text(text, "utf-8")
        known = Path(protoc.__file__).parent / "_proto"
        try:
            # Only this call says what is wrong and where; the next one prints it.
            protoc.get_protos(FILE.encode(), [folder.encode(), str(known).encode()])
        except protoc.ProtocErrors as error:
            first = error.errors()[0]
            where = f"line {first.line + 1} of " if first.line >= 0 else ""
            said = first.message.decode("utf-8", "replace")
            raise SchemaError(f"{where}the .proto: {said}") from error
        out = Path(folder) / "out"
        arguments = ["protoc", f"-I{folder}", f"-I{known}", "--include_imports"]
        arguments += [f"--descriptor_set_out={out}", FILE]
        if protoc.run_main([each.encode() for each in arguments]):
            raise SchemaError("the .proto cannot be compiled")
        return out.read_bytes()
