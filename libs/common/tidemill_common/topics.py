"""Every topic: its name, what a record and its key are, how long it stays, who writes and reads it.

A topic's number of partitions is fixed for life: more partitions are a new topic. The partition of
an event is xxh3_64 of its stream's canonical key modulo the number of partitions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import xxhash

from tidemill.errors import Invalid, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEY_SEPARATOR: Final = "\x1f"
MAX_RECORD_BYTES: Final = 1_048_576
MAX_NAME: Final = 200
DEFAULT_PARTITIONS: Final = 2
DAY_MS: Final = 86_400_000
FOREVER: Final = -1

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_ARROW = "Arrow IPC stream, one record batch"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it must be on the broker, and what its readers may rely on."""

    name: str
    family: str
    message: str
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    retention_ms: int
    partitions: int = DEFAULT_PARTITIONS
    transactional: bool = False
    example: str = ""
    more_config: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > MAX_NAME:
            rule = f"{self.name!r} is no topic name: [a-z0-9._-], at most {MAX_NAME} characters"
            raise Invalid(violations=[Violation("topic", rule)])
        if self.partitions < 1:
            rule = f"{self.partitions} partitions: at least 1"
            raise Invalid(violations=[Violation("partitions", rule)])

    @property
    def config(self) -> Mapping[str, str]:
        """Return the settings of the topic on the broker.

        Records are stamped by the broker: a writer whose clock is an hour ahead would be refused,
        and one that is behind would have its records forgotten early.
        """
        return {
            "message.timestamp.type": "LogAppendTime",
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "segment.ms": str(DAY_MS),  # what is trimmed leaves the disk with its whole segment
            "max.message.bytes": str(2 * MAX_RECORD_BYTES),
            **self.more_config,
        }


def events(
    stream: str, *, partitions: int = DEFAULT_PARTITIONS, retention_ms: int = 30 * DAY_MS
) -> Topic:
    """Return the raw events of `stream`: never transactional, so that offsets have no gaps."""
    return Topic(
        name=f"events.{stream}",
        family="events.<stream>",
        message=f"{_ARROW} of events: the envelope columns, then the stream's fields",
        key="none; the partition is chosen by the stream's canonical key",
        producers=("ingestion",),
        consumers=("features", "training", "monitoring"),
        retention_ms=retention_ms,
        partitions=partitions,
        example="events.departures",
    )


def feature_log(
    view: str, version: str, stream: str, *, partitions: int = DEFAULT_PARTITIONS
) -> Topic:
    """Return the state of a view's version over `stream`, partition for partition of its events.

    Kept for ever as a topic; its owner trims it behind complete snapshots.
    """
    return Topic(
        name=f"features.{view}.{version}.{stream}",
        family="features.<view>.<version>.<stream>",
        message="a record of the feature log (tidemill_tiles' log codec)",
        key="none; the partition is that of the source",
        producers=("features",),
        consumers=("features", "serving"),
        retention_ms=FOREVER,
        partitions=partitions,
        transactional=True,
        example="features.by_origin.3f2a9c01.departures",
        more_config={"compression.type": "producer"},
    )


def predictions(model: str, *, partitions: int = DEFAULT_PARTITIONS) -> Topic:
    """Return the log of what was answered for `model`, one row a prediction."""
    return Topic(
        name=f"predictions.{model}",
        family="predictions.<model>",
        message=f"{_ARROW} of predictions",
        key="none; any partition",
        producers=("serving",),
        consumers=("monitoring", "serving", "features"),
        retention_ms=30 * DAY_MS,
        partitions=partitions,
        example="predictions.delay",
    )


def labels(model: str, *, partitions: int = DEFAULT_PARTITIONS) -> Topic:
    """Return the spine rows of `model` whose label is known."""
    return Topic(
        name=f"labels.{model}",
        family="labels.<model>",
        message=f"{_ARROW} of labelled spine rows",
        key="none; any partition",
        producers=("monitoring",),
        consumers=("training",),
        retention_ms=FOREVER,
        partitions=partitions,
        example="labels.delay",
    )


def dead_letters(topic: str) -> Topic:
    """Return where the records go that a consumer of `topic` cannot process."""
    return Topic(
        name=f"{topic}.dlq",
        family="<topic>.dlq",
        message="the original bytes, or a one-row record; why and whence in the headers",
        key="as it was",
        producers=("every consumer of the topic",),
        consumers=("tidemill dlq",),
        retention_ms=30 * DAY_MS,
        partitions=1,
        example="events.departures.dlq",
        more_config={"max.message.bytes": str(4 * MAX_RECORD_BYTES)},
    )


def late(topic: str) -> Topic:
    """Return where events go that came after the lateness bound of every window they fall in."""
    return Topic(
        name=f"{topic}.late",
        family="<topic>.late",
        message=f"{_ARROW} with one row; why and whence in the headers",
        key="none",
        producers=("features",),
        consumers=("people",),
        retention_ms=30 * DAY_MS,
        partitions=1,
        transactional=True,
        example="events.departures.late",
    )


ALERTS: Final = Topic(
    name="alerts",
    family="alerts",
    message="tidemill.monitoring.v1.AlertChanged",
    key="the alert's id",
    producers=("monitoring",),
    consumers=("training", "serving"),
    retention_ms=FOREVER,
    partitions=1,
    example="alerts",
)
REGISTRY_EVENTS: Final = Topic(
    name="registry.events",
    family="registry.events",
    message="tidemill.registry.v1.RegistryEvent",
    key="the project's, model's or rollout's name",
    producers=("registry",),
    consumers=("ingestion", "features", "training", "serving", "monitoring"),
    retention_ms=FOREVER,
    partitions=1,
    example="registry.events",
)
TRAINING_REQUESTS: Final = Topic(
    name="training.requests",
    family="training.requests",
    message="tidemill.training.v1.RunAnnounced",
    key="the model's name",
    producers=("training",),
    consumers=("training", "monitoring"),
    retention_ms=30 * DAY_MS,
    partitions=1,
    example="training.requests",
)

CATALOGUE: Final = (
    events("departures"),
    dead_letters("events.departures"),
    late("events.departures"),
    feature_log("by_origin", "3f2a9c01", "departures"),
    predictions("delay"),
    labels("delay"),
    ALERTS,
    REGISTRY_EVENTS,
    TRAINING_REQUESTS,
)


def key_bytes(values: Sequence[str | int | bool]) -> bytes:
    """Return the canonical key of `values`: their texts joined by 0x1F, so that no two keys meet.

    Integers are decimal, truth values `true` and `false`. Invalid if a text holds the separator.
    """
    return KEY_SEPARATOR.join(_key_text(value) for value in values).encode()


def _key_text(value: str | int | bool) -> str:  # noqa: FBT001 (a value, not a switch)
    """Return one part of a key."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str() if KEY_SEPARATOR not in value:
            return value
        case _:
            rule = f"{value!r} cannot be part of a key: text without 0x1F, integer or truth value"
            raise Invalid(violations=[Violation("key", rule)])


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of the event whose canonical key is `key`."""
    return xxhash.xxh3_64_intdigest(key) % partitions
