"""What the current project asks to be watched, compiled once per generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project.inputs import model_inputs
from tidemill_common import topics
from tidemill_common.events import Column
from tidemill_monitoring.fieldstate import Watched
from tidemill_monitoring.quality import Task
from tidemill_tiles.expressions import Expression, compile_expression
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from tidemill_common.events import ColumnType

TYPES: Final[dict[int, ColumnType]] = {
    pb.FIELD_TYPE_BOOL: "bool",
    pb.FIELD_TYPE_INT64: "int64",
    pb.FIELD_TYPE_FLOAT64: "float64",
    pb.FIELD_TYPE_STRING: "string",
    pb.FIELD_TYPE_TIMESTAMP: "timestamp",
}
NUMERIC = frozenset({"int64", "float64"})
DEFAULT_PARTITIONS = 2
RAW_RETENTION_MS = 7 * topics.DAY_MS


@dataclass(frozen=True, slots=True)
class StreamDefinition:
    """A stream: its columns, and which of its fields are judged."""

    name: str
    columns: tuple[Column, ...]
    partitions: int
    retention_ms: int
    watched: Watched

    @property
    def topic(self) -> topics.Topic:
        """The topic of its raw events."""
        return topics.events(self.name, partitions=self.partitions, retention_ms=self.retention_ms)


@dataclass(frozen=True, slots=True)
class ModelDefinition:
    """A model: how its labels join, what it reads, when a person is to be told."""

    name: str
    spine_stream: str
    spine_time: str
    spine_key: tuple[str, ...]
    label_stream: str
    label_key: tuple[str, ...]
    label: Expression
    max_delay_us: int
    task: Task
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    window_us: int
    min_rows: int
    quiet_days: float
    effect_floor: float
    quality_metric: str
    quality_drop: float
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class Watch:
    """Everything of one generation of the project."""

    generation: str
    streams: dict[str, StreamDefinition]
    models: dict[str, ModelDefinition]

    def topics(self) -> list[topics.Topic]:
        """Give the topics that are read or written, so that they can be made."""
        raw = [stream.topic for stream in self.streams.values()]
        of_models = [
            make(name) for name in self.models for make in (topics.predictions, topics.labels)
        ]
        return [*raw, *of_models, topics.ALERTS]


def watch_of(project: pb.Project, generation: str) -> Watch:
    """Compile a normalised project; Misconfigured when an expression cannot work."""
    models = {model.name: _model(project, model) for model in project.models}
    fields = frozenset[str]().union(*(model.fields for model in models.values()))
    streams = {stream.name: _stream(stream, fields) for stream in project.streams}
    return Watch(generation, streams, models)


def _stream(stream: pb.Stream, fields: frozenset[str]) -> StreamDefinition:
    columns = tuple(Column(f.name, TYPES[f.type], required=f.required) for f in stream.fields)
    identity = {stream.event_id_field}
    return StreamDefinition(
        name=stream.name,
        columns=columns,
        partitions=stream.partitions or DEFAULT_PARTITIONS,
        retention_ms=stream.retention.ToMilliseconds() or RAW_RETENTION_MS,
        watched=Watched(
            stream=stream.name,
            numeric=tuple(
                c.name for c in columns if c.type in NUMERIC and f"{stream.name}.{c.name}" in fields
            ),
            strings=tuple(c.name for c in columns if c.type == "string" and c.name not in identity),
        ),
    )


def _model(project: pb.Project, model: pb.Model) -> ModelDefinition:
    label_stream = next(s for s in project.streams if s.name == model.label.stream)
    kinds = {f.name: FieldType(TYPES[f.type]) for f in label_stream.fields}
    inputs = model_inputs(project, model)
    monitors = model.monitors
    binary = model.label.task != pb.TASK_REGRESSION
    return ModelDefinition(
        name=model.name,
        spine_stream=model.spine.stream,
        spine_time=model.spine.time,
        spine_key=tuple(model.spine.key),
        label_stream=model.label.stream,
        label_key=tuple(model.label.key) or tuple(model.spine.key),
        label=compile_expression(model.label.expression, kinds),
        max_delay_us=model.label.max_delay.ToMicroseconds(),
        task=Task.BINARY if binary else Task.REGRESSION,
        numeric=tuple(one.name for one in inputs.numeric),
        categorical=tuple(one.name for one in inputs.categorical if one.kind == "field"),
        window_us=monitors.window.ToMicroseconds(),
        min_rows=monitors.min_rows,
        quiet_days=monitors.days_between_false_pages,
        effect_floor=monitors.effect_floor,
        quality_metric=monitors.quality_metric,
        quality_drop=monitors.quality_drop,
        fields=frozenset(monitors.fields),
    )
