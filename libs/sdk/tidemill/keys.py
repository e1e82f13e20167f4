"""Keys of entities as users write them."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.errors import Invalid
from tidemill.features.v1 import feature_service_pb2 as pb


def to_key(entity: Mapping[str, object] | str) -> pb.EntityKey:
    """Encode; Invalid names the field that is no text, which protobuf would not name."""
    if isinstance(entity, str):
        raise Invalid(f"{entity!r} is no entity", hint='an entity is its fields: {"user": "u1"}')
    key = pb.EntityKey()
    for name, value in entity.items():
        if not isinstance(value, str):
            text = f"entity field {name!r}: {value!r} is a {type(value).__name__}, expected a str"
            raise Invalid(text, hint="numbers and booleans are written as text: '7', 'true'")
        key.fields[name] = value
    return key
