"""An entity to be erased: key fields with their values, and the keyed digest that is kept of it.

The digest is BLAKE2b, keyed with a secret of the stack, over the sorted names of the fields and
the canonical key of their values in that order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import FailedPrecondition, Invalid, Violation
from tidemill.project.expressions import inspect
from tidemill_common.computed_names import Computed
from tidemill_common.entity_names import columns_among, names_of, namings
from tidemill_tiles.canonical import canonical_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidemill_common.entity_names import Name

DIGEST_BYTES: Final = 16
NAMES_END: Final = b"\x1e"


@dataclass(frozen=True, slots=True)
class Entity:
    """Key fields, sorted by name, with the canonical key of their values. Never stored."""

    fields: tuple[str, ...]
    key: bytes

    def digest(self, secret: bytes) -> bytes:
        """Return what the entity is known by once its key is forgotten."""
        return digest_of(secret, self.fields, self.key)


def digest_of(secret: bytes, fields: Sequence[str], key: bytes) -> bytes:
    """Return the keyed digest of one entity."""
    message = ",".join(fields).encode() + NAMES_END + key
    return hashlib.blake2b(message, key=secret, digest_size=DIGEST_BYTES).digest()


_TRUTH: Final = {"true": True, "false": False}
_KINDS: Final = {
    project_pb2.FIELD_TYPE_STRING,
    project_pb2.FIELD_TYPE_INT64,
    project_pb2.FIELD_TYPE_BOOL,
}


def entity_of(project: project_pb2.Project, values: Mapping[str, str]) -> Entity:
    """Read the entity that a person named; Invalid if no stream of the project has its fields."""
    if not values:
        raise Invalid(violations=[Violation("entity", "names no field")])
    fields = tuple(sorted(values))
    names = names_of(project)
    kinds: dict[str, set[int]] = {name: set() for name in fields}
    known = False
    for stream in project.streams:
        types = {field.name: field.type for field in stream.fields}
        for choice in namings(fields, names.get(stream.name, {})):
            if columns_among(choice, types) is not None:
                known = True
                for field, name in zip(fields, choice, strict=True):
                    kinds[field].add(int(_kind(name, types)))
    if not known:
        raise Invalid(
            violations=[Violation("entity", f"no stream has the fields {', '.join(fields)}")]
        )
    return Entity(fields, canonical_key([_value(n, kinds[n], values[n]) for n in fields]))


def _kind(name: Name, types: Mapping[str, project_pb2.FieldType]) -> project_pb2.FieldType:
    """Return the type of what a name holds."""
    return inspect(str(name), types).type if isinstance(name, Computed) else types[name]


def _value(name: str, kinds: set[int], text: str) -> str | int | bool:
    if len(kinds) > 1:
        raise FailedPrecondition(f"{name} has different types in different streams")
    (kind,) = kinds
    if kind not in _KINDS:
        raise Invalid(
            violations=[Violation(f"entity.{name}", "is no text, integer or truth value")]
        )
    if kind == project_pb2.FIELD_TYPE_BOOL:
        if text not in _TRUTH:
            raise Invalid(violations=[Violation(f"entity.{name}", "is neither true nor false")])
        return _TRUTH[text]
    if kind == project_pb2.FIELD_TYPE_INT64:
        try:
            return int(text)
        except ValueError as error:
            raise Invalid(violations=[Violation(f"entity.{name}", "is no integer")]) from error
    return text
