"""Pure: what applying a project would change, what it would cost, and what it may not change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Violation
from tidemill.project import durations
from tidemill_common import feature_views
from tidemill_common.entity_names import names_of, new_names
from tidemill_tiles.definitions import view_version
from tidemill_tiles.plan import cost

SECTIONS: Final = (
    ("stream", "streams"),
    ("view", "views"),
    ("on_demand", "on_demand"),
    ("model", "models"),
)
SPAN: Final = re.compile(r"\d+(\.\d{1,9})?s")
MAX_DETAILS: Final = 50
DIGEST_DIGITS: Final = 12
NEW_STREAM: Final = "its log holds events of the old form; declare a new stream"


class Kind(StrEnum):
    """How a change touches one definition."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one definition."""

    kind: Kind
    type: str
    name: str
    details: tuple[str, ...] = ()
    rows_per_entity: int = 0
    bytes_per_entity: int = 0


def plan(before: pb.Project, after: pb.Project) -> list[Change]:
    """Compare two normalised projects, definition by definition."""
    changes = []
    for kind, section in SECTIONS:
        old = {each.name: each for each in getattr(before, section)}
        new = {each.name: each for each in getattr(after, section)}
        for name in sorted(old.keys() | new.keys()):
            change = _change(kind, name, old.get(name), new.get(name))
            if change is not None:
                changes.append(change)
    return [_costed(change, before, after) for change in changes]


def _change(kind: str, name: str, old: Any, new: Any) -> Change | None:
    if old is None:
        return Change(Kind.ADDED, kind, name, tuple(_introduced(new)))
    if new is None:
        return Change(Kind.REMOVED, kind, name)
    details = tuple(differences(_plain(old), _plain(new)))[:MAX_DETAILS]
    return Change(Kind.CHANGED, kind, name, details) if details else None


def _introduced(new: Any) -> Iterator[str]:
    """Say of a new stream from where its events come and what they are made of."""
    if not isinstance(new, pb.Stream) or not new.HasField("source"):
        return
    source = new.source
    encoding = pb.Format.Name(source.format).removeprefix("FORMAT_").lower()
    schemas = f", schemas {', '.join(sorted(source.schemas, key=int))}" if source.schemas else ""
    if source.descriptors:
        schemas = f", message {source.message} of descriptors {_digest(source.descriptors)}"
    yield f"source: {encoding} records of topic {source.topic}{schemas}"
    attributes = {
        "filter": source.filter,
        "id": source.id or new.event_id_field or "the record's place",
        "time": source.time or new.event_time_field,
        "available": source.available,
    }
    yield from (f"source.{name}: {text}" for name, text in attributes.items() if text)
    yield from (f"source.fields.{name}: {sql}" for name, sql in sorted(source.fields.items()))


def _costed(change: Change, before: pb.Project, after: pb.Project) -> Change:
    """Add what a view costs, and say when it is built anew and whom it names anew."""
    if change.type != "view" or change.kind is Kind.REMOVED:
        return change
    view = next(view for view in after.views if view.name == change.name)
    definition = feature_views.view_definition(after, view)
    price = cost(definition)
    details = change.details
    if change.kind is Kind.CHANGED:
        old = next(view for view in before.views if view.name == change.name)
        old_version = view_version(feature_views.view_definition(before, old))
        if old_version != view_version(definition):
            details = (*details, "a new version of the view: its state is built anew")
    details = (*details, *_named_anew(before, after, view))
    return Change(
        change.kind,
        change.type,
        change.name,
        details,
        price.rows_per_entity,
        price.bytes_per_entity,
    )


def _named_anew(before: pb.Project, after: pb.Project, view: pb.FeatureView) -> Iterator[str]:
    """Say what a view's names of key fields mean for entities that are erased."""
    alone = pb.Project(streams=after.streams, views=[view])
    for stream, field, name in new_names(names_of(before), names_of(alone)):
        yield (
            f"{field} is {name} in {stream}: who is erased is refused there too,"
            " and searched for in what is stored"
        )


def declares_more(before: pb.Project, after: pb.Project) -> bool:
    """Tell whether a project has a stream, or a field of one, that its predecessor has not."""
    known = {(stream.name, field.name) for stream in before.streams for field in stream.fields}
    wanted = {(stream.name, field.name) for stream in after.streams for field in stream.fields}
    return not wanted <= known


def incompatible(history: Sequence[pb.Project], after: pb.Project) -> list[Violation]:
    """Name the changes that the events already in the log forbid; `history` is oldest first.

    A stream or a field that was taken away and comes back finds the events that it left behind.
    """
    last = {stream.name: stream for project in history for stream in project.streams}
    types = {
        (stream.name, field.name): field.type
        for project in history
        for stream in project.streams
        for field in stream.fields
    }
    return [
        violation
        for stream in after.streams
        if stream.name in last
        for violation in _stream(last[stream.name], stream, types)
    ]


def _stream(
    old: pb.Stream, new: pb.Stream, types: Mapping[tuple[str, str], pb.FieldType]
) -> Iterator[Violation]:
    path = f"streams.{new.name}"
    if old.partitions != new.partitions:
        text = f"{old.partitions} partitions cannot become {new.partitions}"
        yield Violation(f"{path}.partitions", f"{text}: {NEW_STREAM}")
    if list(old.key) != list(new.key):
        text = f"the key [{', '.join(old.key)}] cannot become [{', '.join(new.key)}]"
        yield Violation(f"{path}.key", f"{text}: {NEW_STREAM}")
    known = {field.name for field in old.fields}
    for field in new.fields:
        where = f"{path}.fields.{field.name}"
        before = types.get((new.name, field.name), field.type)
        if before != field.type:
            text = f"{_type(before)} cannot become {_type(field.type)}"
            yield Violation(where, f"{text}: {NEW_STREAM}")
        elif field.name not in known and field.required:
            yield Violation(where, "a new field cannot be required: older events do not have it")


def _type(kind: pb.FieldType) -> str:
    return pb.FieldType.Name(kind).removeprefix("FIELD_TYPE_").lower()


def _plain(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    if isinstance(message, pb.Stream) and message.source.descriptors:
        found["source"]["descriptors"] = _digest(message.source.descriptors)
    return found


def _digest(content: bytes) -> str:
    """Name a content that nobody can read."""
    return f"sha256:{hashlib.sha256(content).hexdigest()[:DIGEST_DIGITS]}"


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield one line for each leaf that differs."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{path}.{key}" if path else str(key)
            yield from differences(old.get(key), new.get(key), inner)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_differences(old, new, path)
    elif old != new:
        yield _line(old, new, path)


def _list_differences(old: Sequence[Any], new: Sequence[Any], path: str) -> Iterator[str]:
    before, after = _named(old), _named(new)
    if before is not None and after is not None:
        yield from differences(before, after, path)
        kept = [name for name in before if name in after]
        if kept != [name for name in after if name in before]:
            yield f"{path}: another order"
        return
    for index in range(max(len(old), len(new))):
        was, is_now = (items[index] if index < len(items) else None for items in (old, new))
        yield from differences(was, is_now, f"{path}[{index}]")


def _named(items: Sequence[Any]) -> dict[str, Any] | None:
    """Return the items by their names, if each has one of its own."""
    if not all(isinstance(each, Mapping) and "name" in each for each in items):
        return None
    named = {str(each["name"]): each for each in items}
    return named if len(named) == len(items) else None


def _line(old: Any, new: Any, path: str) -> str:
    if old is None:
        return f"{path}: + {_shown(new)}"
    if new is None:
        return f"{path}: - {_shown(old)}"
    return f"{path}: {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    """Show a leaf as it is written in a project file."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(each)}" for key, each in value.items())
    if isinstance(value, list):
        return f"[{', '.join(_shown(each) for each in value)}]"
    if isinstance(value, str) and SPAN.fullmatch(value):
        return durations.text_of(round(float(value[:-1]) * durations.UNITS_US["s"]))
    return str(value).lower() if isinstance(value, bool) else str(value)
