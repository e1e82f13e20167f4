"""What a normalised project says about streams and views, in the words of the feature engine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import NotFound
from tidemill.project.naming import PAIRS, Feature, features, longest_window_us
from tidemill.project.view_sources import mapped, view_fields, view_streams
from tidemill_common import topics
from tidemill_common.events import Column
from tidemill_tiles.definitions import (
    Aggregation,
    Derived,
    Field,
    Function,
    Gives,
    Source,
    ViewDefinition,
    view_version,
)
from tidemill_tiles.expressions import compile_expression
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.plan import Plan, plan_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from google.protobuf.duration_pb2 import Duration

    from tidemill_common.events import ColumnType

SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US
DEFAULT_DEDUPE_US: Final = 600 * SECOND_US
DEFAULT_RETENTION_US: Final = 7 * DAY_US
FIELD_TYPES: Final[Mapping[int, FieldType]] = {
    pb.FIELD_TYPE_BOOL: FieldType.BOOL,
    pb.FIELD_TYPE_INT64: FieldType.INT64,
    pb.FIELD_TYPE_FLOAT64: FieldType.FLOAT64,
    pb.FIELD_TYPE_STRING: FieldType.STRING,
    pb.FIELD_TYPE_TIMESTAMP: FieldType.TIMESTAMP,
}
COLUMN_TYPES: Final[Mapping[int, ColumnType]] = {
    pb.FIELD_TYPE_BOOL: "bool",
    pb.FIELD_TYPE_INT64: "int64",
    pb.FIELD_TYPE_FLOAT64: "float64",
    pb.FIELD_TYPE_STRING: "string",
    pb.FIELD_TYPE_TIMESTAMP: "timestamp",
}
FUNCTIONS: Final[Mapping[int, Function]] = {
    pb.FUNCTION_COUNT: Function.COUNT,
    pb.FUNCTION_SUM: Function.SUM,
    pb.FUNCTION_MEAN: Function.MEAN,
    pb.FUNCTION_VAR: Function.VAR,
    pb.FUNCTION_STD: Function.STD,
    pb.FUNCTION_MIN: Function.MIN,
    pb.FUNCTION_MAX: Function.MAX,
    pb.FUNCTION_FIRST: Function.FIRST,
    pb.FUNCTION_LAST: Function.LAST,
    pb.FUNCTION_DISTINCT: Function.DISTINCT,
    pb.FUNCTION_RATE: Function.RATE,
    pb.FUNCTION_TIME_SINCE_LAST: Function.TIME_SINCE_LAST,
    pb.FUNCTION_RATIO: Function.RATIO,
    pb.FUNCTION_DIFFERENCE: Function.DIFFERENCE,
    pb.FUNCTION_EWMA: Function.EWMA,
    pb.FUNCTION_HISTOGRAM: Function.HISTOGRAM,
    pb.FUNCTION_QUANTILE: Function.QUANTILE,
    pb.FUNCTION_LAST_K: Function.LAST_K,
    pb.FUNCTION_TOP_K: Function.TOP_K,
}
GIVES: Final[Mapping[int, Gives]] = {
    pb.GIVES_VALUE: Gives.VALUE,
    pb.GIVES_COUNT: Gives.COUNT,
    pb.GIVES_SHARE: Gives.SHARE,
}


@dataclass(frozen=True)  # without slots: what every read needs is derived once
class ViewSpec:
    """One version of a view: what the engine computes, and the logs that hold it.

    `partitions` are those of each of the `streams`.
    """

    name: str
    version: str
    streams: tuple[str, ...]
    partitions: tuple[int, ...]
    entity: tuple[str, ...]
    features: tuple[str, ...]
    definition: ViewDefinition

    @property
    def key(self) -> str:
        """Name this version among all versions of all views."""
        return f"{self.name}.{self.version}"

    @cached_property
    def plan(self) -> Plan:
        """The engine's plan."""
        return plan_of(self.definition)

    def partitions_of(self, stream: str) -> int:
        """Return how many partitions a stream of the view has, and so its log."""
        return self.partitions[self.streams.index(stream)]

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each feature stands."""
        return {name: place for place, name in enumerate(self.features)}

    def log(self, stream: str) -> topics.Topic:
        """Return the topic with the state that comes from `stream`."""
        partitions = self.partitions_of(stream)
        return topics.feature_log(self.name, self.version, stream, partitions=partitions)

    def logs(self) -> tuple[topics.Topic, ...]:
        """Return all logs, in the order of the streams."""
        return tuple(self.log(stream) for stream in self.streams)


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream: its topic, its columns, and the bounds that decide about an event."""

    name: str
    columns: tuple[Column, ...]
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    partitions: int
    lateness_us: int
    dedupe_us: int
    retention_us: int

    @property
    def topic(self) -> topics.Topic:
        """Return the topic of the raw events."""
        retention_ms = self.retention_us // 1_000
        return topics.events(self.name, partitions=self.partitions, retention_ms=retention_ms)


def duration_us(duration: Duration) -> int:
    """Return a protobuf duration in microseconds."""
    return duration.seconds * SECOND_US + duration.nanos // 1_000


def stream_of(project: pb.Project, name: str) -> pb.Stream:
    """Return a stream of the project; NotFound if there is none of that name."""
    for stream in project.streams:
        if stream.name == name:
            return stream
    raise NotFound(f"the project has no stream {name!r}")


def field_types(stream: pb.Stream) -> dict[str, FieldType]:
    """Return the type of every field of a stream."""
    return {field.name: FIELD_TYPES[field.type] for field in stream.fields}


def engine_field(field: pb.Field) -> Field:
    """Return a declared field as the engine knows it."""
    return Field(field.name, FIELD_TYPES[field.type], field.resolution or None)


def stream_spec(project: pb.Project, name: str) -> StreamSpec:
    """Return what the platform needs to know about a stream, every default filled in."""
    stream = stream_of(project, name)
    return StreamSpec(
        name=name,
        columns=tuple(
            Column(field.name, COLUMN_TYPES[field.type], field.required) for field in stream.fields
        ),
        fields=tuple(engine_field(field) for field in stream.fields),
        key=tuple(stream.key),
        partitions=stream.partitions or topics.DEFAULT_PARTITIONS,
        lateness_us=lateness_us(project, stream),
        dedupe_us=duration_us(stream.dedupe) or DEFAULT_DEDUPE_US,
        retention_us=duration_us(stream.retention) or DEFAULT_RETENTION_US,
    )


def lateness_us(project: pb.Project, stream: pb.Stream) -> int:
    """Return how late an event of `stream` may be: as declared, else its views' longest window."""
    if stream.HasField("lateness"):
        return duration_us(stream.lateness)
    views = [view for view in project.views if stream.name in view_streams(view)]
    return max(map(longest_window_us, views), default=0) or DAY_US


def view_spec(project: pb.Project, name: str) -> ViewSpec:
    """Return one view of the project; NotFound if there is none of that name."""
    for view in project.views:
        if view.name == name:
            return _spec(project, view)
    raise NotFound(f"the project has no feature view {name!r}")


def view_specs(project: pb.Project) -> dict[str, ViewSpec]:
    """Return every view of the project by its name."""
    return {view.name: _spec(project, view) for view in project.views}


def view_definition(project: pb.Project, view: pb.FeatureView) -> ViewDefinition:
    """Return the engine's definition of a view; it is not checked for mistakes."""
    streams = [stream_of(project, name) for name in sorted(view_streams(view))]
    fields = view_fields(view, streams)
    types = {field.name: FIELD_TYPES[field.type] for field in fields}
    aggregations = tuple(_aggregation(feature) for feature in features(view))
    used = {one.field for one in aggregations if one.field}
    scope = types | {column.name: FIELD_TYPES[column.type] for column in view.columns}
    for condition in {view.filter, *(one.filter for one in aggregations)}:
        if condition:
            used.update(compile_expression(condition, scope, FieldType.BOOL).columns)
    derived = tuple(_derived(column) for column in view.columns if column.name in used)
    for one in derived:
        used.update(compile_expression(one.expression, types, one.field.type).columns)
    read = (used & types.keys()) | set(view.entity)
    return ViewDefinition(
        name=view.name,
        streams=tuple(stream.name for stream in streams),
        entity=tuple(Field(name, types[name]) for name in view.entity),
        fields=tuple(engine_field(field) for field in fields if field.name in used),
        aggregations=aggregations,
        lateness_us=max(lateness_us(project, stream) for stream in streams),
        filter=view.filter or None,
        ttl_us=duration_us(view.ttl) or None,
        derived=derived,
        sources=tuple(_source(one, stream_of(project, one.stream), read) for one in view.sources),
    )


def _source(source: pb.ViewSource, stream: pb.Stream, columns: Collection[str]) -> Source:
    types = field_types(stream)
    mapping = tuple((name, mapped(source, name)) for name in sorted(columns))
    used = {text for _, text in mapping if text in types}
    for text in (source.filter, *(text for _, text in mapping if text not in types)):
        if text:
            used.update(compile_expression(text, types).columns)
    fields = tuple(Field(name, types[name]) for name in sorted(used))
    return Source(stream.name, fields, mapping, source.filter or None)


def _derived(column: pb.Column) -> Derived:
    field = Field(column.name, FIELD_TYPES[column.type], column.resolution or None)
    return Derived(field, column.expression)


def _spec(project: pb.Project, view: pb.FeatureView) -> ViewSpec:
    definition = view_definition(project, view)
    streams = [stream_of(project, name) for name in definition.streams]
    return ViewSpec(
        name=view.name,
        version=view_version(definition),
        streams=definition.streams,
        partitions=tuple(one.partitions or topics.DEFAULT_PARTITIONS for one in streams),
        entity=tuple(view.entity),
        features=tuple(one.name for one in definition.aggregations),
        definition=definition,
    )


def _aggregation(feature: Feature) -> Aggregation:
    """Return a feature as the engine takes it."""
    one, window = feature.aggregation, feature.window
    own = window is not None and one.function not in PAIRS
    return Aggregation(
        name=feature.name,
        function=FUNCTIONS[one.function],
        field=one.field or None,
        window_us=duration_us(window.length) or None if window is not None and own else None,
        hop_us=duration_us(window.hop) or None if window is not None and own else None,
        filter=one.filter or None,
        bound=one.distinct_bound or 256,
        operands=feature.operands,
        half_life_us=duration_us(one.half_life) or None,
        edges=tuple(one.edges),
        quantile=feature.quantile,
        error=one.error or None,
        place=feature.place,
        gives=GIVES.get(feature.gives),
        default=one.default if one.HasField("default") else None,
    )
