"""Protobuf schemas: a .proto file's text or compiled descriptors, and the columns of a message."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor

from tidemill.project.problems import did_you_mean
from tidemill.project.schemas import descriptors
from tidemill.project.schemas.columns import (
    MAX_COLUMNS,
    MAX_DEPTH,
    MAX_SCHEMA_CHARACTERS,
    Column,
    SchemaError,
    Stored,
    by_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google._upb._message import Descriptor as CDescriptor
    from google._upb._message import FieldDescriptor as CField
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

    Schema = str | bytes
    """The text of a .proto file, or a FileDescriptorSet."""

FILE: Final = "schema.proto"
INSTANT: Final = "google.protobuf.Timestamp"
MAX_VALUES: Final = 10 * MAX_COLUMNS
NO_COLUMN: Final = {
    FieldDescriptor.TYPE_BYTES: "holds bytes",
    FieldDescriptor.TYPE_GROUP: "is a group",
}
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
def descriptor(schema: Schema, name: str) -> Descriptor:
    """Return a message's descriptor, in a pool of its own; SchemaError says what is wrong."""
    files = descriptors.files_of(_compiled(schema) if isinstance(schema, str) else schema)
    own = [file for file in files if file.name == FILE or isinstance(schema, bytes)]
    known = [message for file in own for message in descriptors.messages(file)]
    if name not in known:
        raise SchemaError(f"no message {name!r}; {did_you_mean(name, known) or 'there is none'}")
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        try:
            pool.Add(file)
        except TypeError as error:
            raise SchemaError(f"{file.name} is not valid: {error}") from error
    return pool.FindMessageTypeByName(name)


def message_class(schema: Schema, name: str) -> type[Message]:
    """Return the class of a message, made when it is first wanted."""
    return message_factory.GetMessageClass(descriptor(schema, name))


@lru_cache(maxsize=64)
def columns(schema: Schema, name: str) -> dict[str, Column]:
    """Return the columns of a message."""
    found = _values(schema, name)
    return by_name([Column(path, how) for path, how in found if isinstance(how, Stored)])


@lru_cache(maxsize=64)
def without_column(schema: Schema, name: str) -> dict[str, str]:
    """Return the values of a message that hold no column, and why."""
    return {".".join(path): how for path, how in _values(schema, name) if isinstance(how, str)}


def _values(schema: Schema, name: str) -> list[tuple[tuple[str, ...], Stored | str]]:
    found = list(islice(_walked(descriptor(schema, name), (), ()), MAX_VALUES + 1))
    if len(found) > MAX_VALUES:
        raise SchemaError(f"{name} has more than {MAX_VALUES} values")
    return found


def _walked(
    message: Descriptor | CDescriptor, path: tuple[str, ...], inside: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Stored | str]]:
    """Give each value's path with how it is stored, or why it has no column."""
    inside = (*inside, message.full_name)
    for field in message.fields:
        where, inner = (*path, field.name), field.message_type
        if why := _no_column(field):
            yield where, why
        elif inner is None:
            yield where, STORED[field.cpp_type]
        elif inner.full_name == INSTANT:
            yield where, Stored.TIMESTAMP
        elif inner.full_name in inside:
            yield where, "is a message inside itself"
        elif len(where) == MAX_DEPTH:
            yield where, "lies too deep"
        else:
            yield from _walked(inner, where, inside)


def _no_column(field: FieldDescriptor | CField) -> str:
    if field.is_repeated:
        entries = field.message_type is not None and field.message_type.GetOptions().map_entry
        return "is a map" if entries else "is repeated"
    return NO_COLUMN.get(field.type, "")


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
