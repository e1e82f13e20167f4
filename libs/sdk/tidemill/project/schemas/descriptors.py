"""Sets of compiled descriptors: what `protoc --include_imports --descriptor_set_out` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from tidemill.project.problems import did_you_mean
from tidemill.project.schemas.columns import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

MAX_FILE_BYTES: Final = 4 << 20
MAX_BYTES: Final = 256 << 10
"""What a message needs of a set travels with the project."""


def read_set(path: Path) -> bytes:
    """Return the set that a file holds; SchemaError if there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SchemaError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise SchemaError(f"{str(path)!r} is larger than {MAX_FILE_BYTES} bytes")
    try:
        files_of(content)
    except SchemaError as error:
        raise SchemaError(f"{str(path)!r}: {error}") from error
    return content


def files_of(descriptors: bytes) -> list[FileDescriptorProto]:
    """Return the files of a set, each after those that it imports; SchemaError if it is none."""
    try:
        found = FileDescriptorSet.FromString(descriptors).file
    except DecodeError as error:
        raise SchemaError("not a set of descriptors") from error
    files = {file.name: file for file in found}
    if not files or "" in files:
        raise SchemaError("not a set of descriptors")
    return _ordered(files, list(files))


def needed(descriptors: bytes, message: str) -> bytes:
    """Return the part of a set that a message needs, the same however the set was written.

    The file that defines the message and what it imports, in one order, without comments and
    without options that are not Protobuf's own. A part of a part is that part.
    """
    files = {file.name: file for file in files_of(descriptors)}
    known = {name: file.name for file in files.values() for name in messages(file)}
    if message not in known:
        hint = did_you_mean(message, known) or "there is none"
        raise SchemaError(f"no message {message!r}; {hint}")
    kept = FileDescriptorSet()
    for file in _ordered(files, [known[message]]):
        copy = kept.file.add()
        copy.CopyFrom(file)
        copy.ClearField("source_code_info")
        copy.DiscardUnknownFields()
    return kept.SerializeToString(deterministic=True)


def messages(file: FileDescriptorProto) -> list[str]:
    """Return the full names of the messages that a file defines."""
    prefix = f"{file.package}." if file.package else ""
    return list(_names(prefix, file.message_type))


def _names(prefix: str, found: Iterable[DescriptorProto]) -> Iterator[str]:
    for message in found:
        yield f"{prefix}{message.name}"
        yield from _names(f"{prefix}{message.name}.", message.nested_type)


def _ordered(
    files: Mapping[str, FileDescriptorProto], wanted: list[str]
) -> list[FileDescriptorProto]:
    """Return the wanted files and all that they import, imports first."""
    done: dict[str, FileDescriptorProto] = {}
    begun: set[str] = set()
    waiting = sorted(wanted, reverse=True)
    while waiting:
        name = waiting[-1]
        imports = [each for each in files[name].dependency if each not in done]
        if lacking := [each for each in imports if each not in files]:
            raise SchemaError(
                f"{name} imports {lacking[0]}, which the set lacks: write it with --include_imports"
            )
        if name in done or not imports:
            done[waiting.pop()] = files[name]
        elif name in begun:
            raise SchemaError(f"{name} imports itself")
        else:
            begun.add(name)
            waiting += sorted(imports, reverse=True)
    return list(done.values())
