"""Feature values and states between the engine's words and the protocol's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill.errors import Invalid, Violation
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.project.problems import did_you_mean
from tidemill_tiles.fieldtypes import NO_TIME, FieldType
from tidemill_tiles.reads import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from tidemill_common.feature_reads import LogState, ReadResult
    from tidemill_common.feature_views import ViewSpec

MAX_ENTITIES: Final = 1_000
STATUS: Final = {
    Status.PRESENT: pb.VALUE_STATUS_PRESENT,
    Status.NULL: pb.VALUE_STATUS_NULL,
    Status.STALE: pb.VALUE_STATUS_STALE,
    Status.EXPIRED: pb.VALUE_STATUS_EXPIRED,
    Status.NOT_FOUND: pb.VALUE_STATUS_NOT_FOUND,
}
_STATUS_CODES: Final = np.array([STATUS[Status(code)] for code in sorted(STATUS)])
_SECOND_US: Final = 1_000_000
_NANOS: Final = 1_000
"""Nanoseconds of a microsecond."""
_TRUTH: Final = {"true": True, "false": False}


def to_entities(view: ViewSpec, keys: Sequence[pb.EntityKey]) -> list[tuple[str | int | bool, ...]]:
    """Return the key values of each entity in the view's order; Invalid names every bad one."""
    if len(keys) > MAX_ENTITIES:
        raise Invalid(f"{len(keys)} entities: a read has at most {MAX_ENTITIES}")
    types = {field.name: field.type for field in view.definition.entity}
    kinds = [types[name] for name in view.entity]
    mistakes = []
    entities = []
    for index, key in enumerate(keys):
        fields = key.fields
        texts = [fields[name] for name in view.entity if name in fields]
        if not len(texts) == len(fields) == len(kinds):
            wanted = ", ".join(view.entity)
            mistakes.append(Violation(f"entities[{index}]", f"must have the fields {wanted}"))
            continue
        try:
            entities.append(tuple(map(_key, kinds, texts)))
        except ValueError as error:
            mistakes.append(Violation(f"entities[{index}]", str(error)))
    if mistakes:
        raise Invalid(violations=mistakes)
    return entities


def _key(kind: FieldType, text: str) -> str | int | bool:
    if kind is FieldType.INT64:
        return int(text)
    if kind is not FieldType.BOOL:
        return text
    if text not in _TRUTH:
        raise ValueError(f"{text!r} is neither true nor false")
    return _TRUTH[text]


def to_columns(view: ViewSpec, names: Sequence[str]) -> list[int]:
    """Return the places of the wanted features (none named: all); Invalid names unknown ones."""
    if not names:
        return list(range(len(view.features)))
    try:
        return [view.places[name] for name in names]
    except KeyError as error:
        unknown = [name for name in names if name not in view.places]
        raise Invalid(
            violations=[Violation("features", f"{view.name} has no {name!r}") for name in unknown],
            hint=did_you_mean(unknown[0], view.features),
        ) from error


def from_reading(result: ReadResult, columns: Sequence[int]) -> pb.GetFeaturesResponse:
    """Write a reading of one time as the reply."""
    response = pb.GetFeaturesResponse(
        features=[result.features[place] for place in columns],
        state_newer=bool(result.state_newer.any()),
        view_version=result.version,
    )
    if len(result.at_us):
        response.at.FromMicroseconds(int(result.at_us[0]))
    set_time(response.newest_available, result.newest_available_us)
    response.freshness.FromMicroseconds(result.freshness_us)
    values = result.values[:, columns].tolist()
    status = _STATUS_CODES[result.status[:, columns]].tolist()
    add = response.entities.add
    for row, codes, event_us in zip(values, status, result.event_time.tolist(), strict=True):
        set_time(add(values=row, statuses=codes).event_time, event_us)
    return response


def from_log(state: LogState, source_end: int) -> pb.ViewState:
    """Write the state of one partition of a log."""
    message = pb.ViewState(
        view=state.view,
        version=state.version,
        stream=state.stream,
        partition=state.partition,
        position=state.position,
        source_end=source_end,
        rows=state.tiles,
        entities=state.entities,
        ready=state.ready,
        state_bytes=state.state_bytes,
    )
    set_time(message.last_snapshot, state.snapshot_us)
    if state.snapshot_took_us >= 0:
        message.snapshot_took.FromMicroseconds(state.snapshot_took_us)
    if state.snapshot_open_us >= 0:
        message.snapshot_open.FromMicroseconds(state.snapshot_open_us)
    set_time(message.watermark, state.watermark_us)
    set_time(message.newest_available, state.newest_available_us)
    if state.since_last_record_us >= 0:
        message.since_last_record.FromMicroseconds(state.since_last_record_us)
    return message


def set_time(target: Timestamp, us: int) -> None:
    """Set a timestamp, or leave it unset when there is no time."""
    if us != NO_TIME:
        target.seconds, rest = divmod(us, _SECOND_US)
        target.nanos = rest * _NANOS
