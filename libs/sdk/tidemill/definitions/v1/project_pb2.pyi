import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FieldType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FIELD_TYPE_UNSPECIFIED: _ClassVar[FieldType]
    FIELD_TYPE_BOOL: _ClassVar[FieldType]
    FIELD_TYPE_INT64: _ClassVar[FieldType]
    FIELD_TYPE_FLOAT64: _ClassVar[FieldType]
    FIELD_TYPE_STRING: _ClassVar[FieldType]
    FIELD_TYPE_TIMESTAMP: _ClassVar[FieldType]

class Format(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FORMAT_UNSPECIFIED: _ClassVar[Format]
    FORMAT_JSON: _ClassVar[Format]
    FORMAT_AVRO: _ClassVar[Format]
    FORMAT_PROTOBUF: _ClassVar[Format]

class Start(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    START_UNSPECIFIED: _ClassVar[Start]
    START_EARLIEST: _ClassVar[Start]
    START_LATEST: _ClassVar[Start]

class Function(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FUNCTION_UNSPECIFIED: _ClassVar[Function]
    FUNCTION_COUNT: _ClassVar[Function]
    FUNCTION_SUM: _ClassVar[Function]
    FUNCTION_MEAN: _ClassVar[Function]
    FUNCTION_VAR: _ClassVar[Function]
    FUNCTION_STD: _ClassVar[Function]
    FUNCTION_MIN: _ClassVar[Function]
    FUNCTION_MAX: _ClassVar[Function]
    FUNCTION_FIRST: _ClassVar[Function]
    FUNCTION_LAST: _ClassVar[Function]
    FUNCTION_DISTINCT: _ClassVar[Function]
    FUNCTION_RATE: _ClassVar[Function]
    FUNCTION_TIME_SINCE_LAST: _ClassVar[Function]
    FUNCTION_RATIO: _ClassVar[Function]
    FUNCTION_DIFFERENCE: _ClassVar[Function]
    FUNCTION_EWMA: _ClassVar[Function]
    FUNCTION_HISTOGRAM: _ClassVar[Function]
    FUNCTION_QUANTILE: _ClassVar[Function]
    FUNCTION_LAST_K: _ClassVar[Function]
    FUNCTION_TOP_K: _ClassVar[Function]

class Gives(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GIVES_UNSPECIFIED: _ClassVar[Gives]
    GIVES_VALUE: _ClassVar[Gives]
    GIVES_COUNT: _ClassVar[Gives]
    GIVES_SHARE: _ClassVar[Gives]

class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_UNSPECIFIED: _ClassVar[Task]
    TASK_BINARY: _ClassVar[Task]
    TASK_REGRESSION: _ClassVar[Task]
FIELD_TYPE_UNSPECIFIED: FieldType
FIELD_TYPE_BOOL: FieldType
FIELD_TYPE_INT64: FieldType
FIELD_TYPE_FLOAT64: FieldType
FIELD_TYPE_STRING: FieldType
FIELD_TYPE_TIMESTAMP: FieldType
FORMAT_UNSPECIFIED: Format
FORMAT_JSON: Format
FORMAT_AVRO: Format
FORMAT_PROTOBUF: Format
START_UNSPECIFIED: Start
START_EARLIEST: Start
START_LATEST: Start
FUNCTION_UNSPECIFIED: Function
FUNCTION_COUNT: Function
FUNCTION_SUM: Function
FUNCTION_MEAN: Function
FUNCTION_VAR: Function
FUNCTION_STD: Function
FUNCTION_MIN: Function
FUNCTION_MAX: Function
FUNCTION_FIRST: Function
FUNCTION_LAST: Function
FUNCTION_DISTINCT: Function
FUNCTION_RATE: Function
FUNCTION_TIME_SINCE_LAST: Function
FUNCTION_RATIO: Function
FUNCTION_DIFFERENCE: Function
FUNCTION_EWMA: Function
FUNCTION_HISTOGRAM: Function
FUNCTION_QUANTILE: Function
FUNCTION_LAST_K: Function
FUNCTION_TOP_K: Function
GIVES_UNSPECIFIED: Gives
GIVES_VALUE: Gives
GIVES_COUNT: Gives
GIVES_SHARE: Gives
TASK_UNSPECIFIED: Task
TASK_BINARY: Task
TASK_REGRESSION: Task

class Project(_message.Message):
    __slots__ = ("name", "streams", "views", "on_demand", "models")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    ON_DEMAND_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    streams: _containers.RepeatedCompositeFieldContainer[Stream]
    views: _containers.RepeatedCompositeFieldContainer[FeatureView]
    on_demand: _containers.RepeatedCompositeFieldContainer[OnDemandFeature]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, name: _Optional[str] = ..., streams: _Optional[_Iterable[_Union[Stream, _Mapping]]] = ..., views: _Optional[_Iterable[_Union[FeatureView, _Mapping]]] = ..., on_demand: _Optional[_Iterable[_Union[OnDemandFeature, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class Field(_message.Message):
    __slots__ = ("name", "type", "required", "resolution", "minimum", "maximum", "unit", "pii", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PII_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: FieldType
    required: bool
    resolution: float
    minimum: float
    maximum: float
    unit: str
    pii: bool
    description: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[FieldType, str]] = ..., required: _Optional[bool] = ..., resolution: _Optional[float] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., unit: _Optional[str] = ..., pii: _Optional[bool] = ..., description: _Optional[str] = ...) -> None: ...

class Stream(_message.Message):
    __slots__ = ("name", "fields", "key", "event_time_field", "event_id_field", "lateness", "dedupe", "retention", "partitions", "replay", "owner", "description", "source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_FIELD_NUMBER: _ClassVar[int]
    LATENESS_FIELD_NUMBER: _ClassVar[int]
    DEDUPE_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    fields: _containers.RepeatedCompositeFieldContainer[Field]
    key: _containers.RepeatedScalarFieldContainer[str]
    event_time_field: str
    event_id_field: str
    lateness: _duration_pb2.Duration
    dedupe: _duration_pb2.Duration
    retention: _duration_pb2.Duration
    partitions: int
    replay: bool
    owner: str
    description: str
    source: Source
    def __init__(self, name: _Optional[str] = ..., fields: _Optional[_Iterable[_Union[Field, _Mapping]]] = ..., key: _Optional[_Iterable[str]] = ..., event_time_field: _Optional[str] = ..., event_id_field: _Optional[str] = ..., lateness: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., dedupe: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retention: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., partitions: _Optional[int] = ..., replay: _Optional[bool] = ..., owner: _Optional[str] = ..., description: _Optional[str] = ..., source: _Optional[_Union[Source, _Mapping]] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("topic", "format", "schema", "schemas", "framed", "message", "columns", "filter", "id", "time", "available", "fields", "start", "descriptors")
    class SchemasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FieldType
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FieldType, str]] = ...) -> None: ...
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SCHEMAS_FIELD_NUMBER: _ClassVar[int]
    FRAMED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTORS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    format: Format
    schema: str
    schemas: _containers.ScalarMap[str, str]
    framed: bool
    message: str
    columns: _containers.ScalarMap[str, FieldType]
    filter: str
    id: str
    time: str
    available: str
    fields: _containers.ScalarMap[str, str]
    start: Start
    descriptors: bytes
    def __init__(self, topic: _Optional[str] = ..., format: _Optional[_Union[Format, str]] = ..., schema: _Optional[str] = ..., schemas: _Optional[_Mapping[str, str]] = ..., framed: _Optional[bool] = ..., message: _Optional[str] = ..., columns: _Optional[_Mapping[str, FieldType]] = ..., filter: _Optional[str] = ..., id: _Optional[str] = ..., time: _Optional[str] = ..., available: _Optional[str] = ..., fields: _Optional[_Mapping[str, str]] = ..., start: _Optional[_Union[Start, str]] = ..., descriptors: _Optional[bytes] = ...) -> None: ...

class Aggregation(_message.Message):
    __slots__ = ("function", "field", "windows", "filter", "name", "distinct_bound", "of", "half_life", "edges", "quantiles", "error", "k", "gives", "default")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_BOUND_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    QUANTILES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    GIVES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    function: Function
    field: str
    windows: _containers.RepeatedCompositeFieldContainer[Window]
    filter: str
    name: str
    distinct_bound: int
    of: _containers.RepeatedScalarFieldContainer[str]
    half_life: _duration_pb2.Duration
    edges: _containers.RepeatedScalarFieldContainer[float]
    quantiles: _containers.RepeatedScalarFieldContainer[float]
    error: float
    k: int
    gives: _containers.RepeatedScalarFieldContainer[Gives]
    default: float
    def __init__(self, function: _Optional[_Union[Function, str]] = ..., field: _Optional[str] = ..., windows: _Optional[_Iterable[_Union[Window, _Mapping]]] = ..., filter: _Optional[str] = ..., name: _Optional[str] = ..., distinct_bound: _Optional[int] = ..., of: _Optional[_Iterable[str]] = ..., half_life: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., edges: _Optional[_Iterable[float]] = ..., quantiles: _Optional[_Iterable[float]] = ..., error: _Optional[float] = ..., k: _Optional[int] = ..., gives: _Optional[_Iterable[_Union[Gives, str]]] = ..., default: _Optional[float] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "type", "expression", "resolution", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: FieldType
    expression: str
    resolution: float
    description: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[FieldType, str]] = ..., expression: _Optional[str] = ..., resolution: _Optional[float] = ..., description: _Optional[str] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("length", "hop")
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    length: _duration_pb2.Duration
    hop: _duration_pb2.Duration
    def __init__(self, length: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., hop: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ViewSource(_message.Message):
    __slots__ = ("stream", "columns", "filter")
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STREAM_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    stream: str
    columns: _containers.ScalarMap[str, str]
    filter: str
    def __init__(self, stream: _Optional[str] = ..., columns: _Optional[_Mapping[str, str]] = ..., filter: _Optional[str] = ...) -> None: ...

class FeatureView(_message.Message):
    __slots__ = ("name", "stream", "entity", "aggregations", "filter", "ttl", "description", "columns", "sources")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    AGGREGATIONS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    name: str
    stream: str
    entity: _containers.RepeatedScalarFieldContainer[str]
    aggregations: _containers.RepeatedCompositeFieldContainer[Aggregation]
    filter: str
    ttl: _duration_pb2.Duration
    description: str
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    sources: _containers.RepeatedCompositeFieldContainer[ViewSource]
    def __init__(self, name: _Optional[str] = ..., stream: _Optional[str] = ..., entity: _Optional[_Iterable[str]] = ..., aggregations: _Optional[_Iterable[_Union[Aggregation, _Mapping]]] = ..., filter: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., description: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., sources: _Optional[_Iterable[_Union[ViewSource, _Mapping]]] = ...) -> None: ...

class OnDemandFeature(_message.Message):
    __slots__ = ("name", "expression", "type", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    expression: str
    type: FieldType
    description: str
    def __init__(self, name: _Optional[str] = ..., expression: _Optional[str] = ..., type: _Optional[_Union[FieldType, str]] = ..., description: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "spine", "inputs", "label", "trainer", "retrain", "gates", "rollout", "monitors", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPINE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TRAINER_FIELD_NUMBER: _ClassVar[int]
    RETRAIN_FIELD_NUMBER: _ClassVar[int]
    GATES_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    MONITORS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    spine: Spine
    inputs: _containers.RepeatedCompositeFieldContainer[Input]
    label: Label
    trainer: Trainer
    retrain: RetrainPolicy
    gates: _containers.RepeatedCompositeFieldContainer[Gate]
    rollout: Rollout
    monitors: Monitors
    description: str
    def __init__(self, name: _Optional[str] = ..., spine: _Optional[_Union[Spine, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ..., label: _Optional[_Union[Label, _Mapping]] = ..., trainer: _Optional[_Union[Trainer, _Mapping]] = ..., retrain: _Optional[_Union[RetrainPolicy, _Mapping]] = ..., gates: _Optional[_Iterable[_Union[Gate, _Mapping]]] = ..., rollout: _Optional[_Union[Rollout, _Mapping]] = ..., monitors: _Optional[_Union[Monitors, _Mapping]] = ..., description: _Optional[str] = ...) -> None: ...

class Spine(_message.Message):
    __slots__ = ("stream", "time", "key", "include_self")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SELF_FIELD_NUMBER: _ClassVar[int]
    stream: str
    time: str
    key: _containers.RepeatedScalarFieldContainer[str]
    include_self: bool
    def __init__(self, stream: _Optional[str] = ..., time: _Optional[str] = ..., key: _Optional[_Iterable[str]] = ..., include_self: _Optional[bool] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("feature", "on_demand", "field", "categorical")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    ON_DEMAND_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    CATEGORICAL_FIELD_NUMBER: _ClassVar[int]
    feature: FeatureRef
    on_demand: str
    field: str
    categorical: Categorical
    def __init__(self, feature: _Optional[_Union[FeatureRef, _Mapping]] = ..., on_demand: _Optional[str] = ..., field: _Optional[str] = ..., categorical: _Optional[_Union[Categorical, _Mapping]] = ...) -> None: ...

class FeatureRef(_message.Message):
    __slots__ = ("view", "name", "entity", "alias")
    class EntityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VIEW_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    view: str
    name: str
    entity: _containers.ScalarMap[str, str]
    alias: str
    def __init__(self, view: _Optional[str] = ..., name: _Optional[str] = ..., entity: _Optional[_Mapping[str, str]] = ..., alias: _Optional[str] = ...) -> None: ...

class Categorical(_message.Message):
    __slots__ = ("max_vocabulary", "min_count", "hash_buckets", "embedding")
    MAX_VOCABULARY_FIELD_NUMBER: _ClassVar[int]
    MIN_COUNT_FIELD_NUMBER: _ClassVar[int]
    HASH_BUCKETS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    max_vocabulary: int
    min_count: int
    hash_buckets: int
    embedding: int
    def __init__(self, max_vocabulary: _Optional[int] = ..., min_count: _Optional[int] = ..., hash_buckets: _Optional[int] = ..., embedding: _Optional[int] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("stream", "expression", "key", "max_delay", "task")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    MAX_DELAY_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    stream: str
    expression: str
    key: _containers.RepeatedScalarFieldContainer[str]
    max_delay: _duration_pb2.Duration
    task: Task
    def __init__(self, stream: _Optional[str] = ..., expression: _Optional[str] = ..., key: _Optional[_Iterable[str]] = ..., max_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., task: _Optional[_Union[Task, str]] = ...) -> None: ...

class Trainer(_message.Message):
    __slots__ = ("name", "parameters", "seed", "max_rows", "lookback", "validation_fraction", "test_fraction", "resources")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    LOOKBACK_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FRACTION_FIELD_NUMBER: _ClassVar[int]
    TEST_FRACTION_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    name: str
    parameters: _containers.ScalarMap[str, float]
    seed: int
    max_rows: int
    lookback: _duration_pb2.Duration
    validation_fraction: float
    test_fraction: float
    resources: Resources
    def __init__(self, name: _Optional[str] = ..., parameters: _Optional[_Mapping[str, float]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., lookback: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., validation_fraction: _Optional[float] = ..., test_fraction: _Optional[float] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ...) -> None: ...

class Resources(_message.Message):
    __slots__ = ("gpus", "memory_mb", "processes")
    GPUS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    gpus: int
    memory_mb: int
    processes: int
    def __init__(self, gpus: _Optional[int] = ..., memory_mb: _Optional[int] = ..., processes: _Optional[int] = ...) -> None: ...

class RetrainPolicy(_message.Message):
    __slots__ = ("fire", "hold", "debounce", "cooldown", "max_runs_per_day")
    FIRE_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    DEBOUNCE_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNS_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    fire: str
    hold: str
    debounce: _duration_pb2.Duration
    cooldown: _duration_pb2.Duration
    max_runs_per_day: int
    def __init__(self, fire: _Optional[str] = ..., hold: _Optional[str] = ..., debounce: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cooldown: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_runs_per_day: _Optional[int] = ...) -> None: ...

class Gate(_message.Message):
    __slots__ = ("name", "schema", "metric_floor", "non_inferiority", "server")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    METRIC_FLOOR_FIELD_NUMBER: _ClassVar[int]
    NON_INFERIORITY_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    name: str
    schema: SchemaGate
    metric_floor: MetricFloor
    non_inferiority: NonInferiority
    server: ServerGate
    def __init__(self, name: _Optional[str] = ..., schema: _Optional[_Union[SchemaGate, _Mapping]] = ..., metric_floor: _Optional[_Union[MetricFloor, _Mapping]] = ..., non_inferiority: _Optional[_Union[NonInferiority, _Mapping]] = ..., server: _Optional[_Union[ServerGate, _Mapping]] = ...) -> None: ...

class SchemaGate(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MetricFloor(_message.Message):
    __slots__ = ("metric", "bound", "min_rows")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    MIN_ROWS_FIELD_NUMBER: _ClassVar[int]
    metric: str
    bound: float
    min_rows: int
    def __init__(self, metric: _Optional[str] = ..., bound: _Optional[float] = ..., min_rows: _Optional[int] = ...) -> None: ...

class NonInferiority(_message.Message):
    __slots__ = ("metric", "margin", "confidence", "min_rows", "resamples")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    MIN_ROWS_FIELD_NUMBER: _ClassVar[int]
    RESAMPLES_FIELD_NUMBER: _ClassVar[int]
    metric: str
    margin: float
    confidence: float
    min_rows: int
    resamples: int
    def __init__(self, metric: _Optional[str] = ..., margin: _Optional[float] = ..., confidence: _Optional[float] = ..., min_rows: _Optional[int] = ..., resamples: _Optional[int] = ...) -> None: ...

class ServerGate(_message.Message):
    __slots__ = ("max_difference", "max_latency_p99_ms")
    MAX_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    MAX_LATENCY_P99_MS_FIELD_NUMBER: _ClassVar[int]
    max_difference: float
    max_latency_p99_ms: float
    def __init__(self, max_difference: _Optional[float] = ..., max_latency_p99_ms: _Optional[float] = ...) -> None: ...

class Rollout(_message.Message):
    __slots__ = ("canary", "min_requests", "max_error_increase", "latency_slo_ms", "alpha", "shadow")
    CANARY_FIELD_NUMBER: _ClassVar[int]
    MIN_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MAX_ERROR_INCREASE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_SLO_MS_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    canary: float
    min_requests: int
    max_error_increase: float
    latency_slo_ms: float
    alpha: float
    shadow: float
    def __init__(self, canary: _Optional[float] = ..., min_requests: _Optional[int] = ..., max_error_increase: _Optional[float] = ..., latency_slo_ms: _Optional[float] = ..., alpha: _Optional[float] = ..., shadow: _Optional[float] = ...) -> None: ...

class Monitors(_message.Message):
    __slots__ = ("window", "min_rows", "days_between_false_pages", "effect_floor", "quality_metric", "quality_drop", "vector_sample", "fields")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    MIN_ROWS_FIELD_NUMBER: _ClassVar[int]
    DAYS_BETWEEN_FALSE_PAGES_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FLOOR_FIELD_NUMBER: _ClassVar[int]
    QUALITY_METRIC_FIELD_NUMBER: _ClassVar[int]
    QUALITY_DROP_FIELD_NUMBER: _ClassVar[int]
    VECTOR_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    window: _duration_pb2.Duration
    min_rows: int
    days_between_false_pages: float
    effect_floor: float
    quality_metric: str
    quality_drop: float
    vector_sample: float
    fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., min_rows: _Optional[int] = ..., days_between_false_pages: _Optional[float] = ..., effect_floor: _Optional[float] = ..., quality_metric: _Optional[str] = ..., quality_drop: _Optional[float] = ..., vector_sample: _Optional[float] = ..., fields: _Optional[_Iterable[str]] = ...) -> None: ...
