import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tidemill.definitions.v1 import project_pb2 as _project_pb2
from tidemill.ingestion.v1 import ingestion_service_pb2 as _ingestion_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ValueStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VALUE_STATUS_UNSPECIFIED: _ClassVar[ValueStatus]
    VALUE_STATUS_PRESENT: _ClassVar[ValueStatus]
    VALUE_STATUS_NULL: _ClassVar[ValueStatus]
    VALUE_STATUS_STALE: _ClassVar[ValueStatus]
    VALUE_STATUS_EXPIRED: _ClassVar[ValueStatus]
    VALUE_STATUS_NOT_FOUND: _ClassVar[ValueStatus]

class NextState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NEXT_STATE_UNSPECIFIED: _ClassVar[NextState]
    NEXT_STATE_BUILDING: _ClassVar[NextState]
    NEXT_STATE_HELD: _ClassVar[NextState]
    NEXT_STATE_TAKING_OVER: _ClassVar[NextState]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_APPLIED: _ClassVar[Verdict]
    VERDICT_DUPLICATE: _ClassVar[Verdict]
    VERDICT_LATE: _ClassVar[Verdict]
VALUE_STATUS_UNSPECIFIED: ValueStatus
VALUE_STATUS_PRESENT: ValueStatus
VALUE_STATUS_NULL: ValueStatus
VALUE_STATUS_STALE: ValueStatus
VALUE_STATUS_EXPIRED: ValueStatus
VALUE_STATUS_NOT_FOUND: ValueStatus
NEXT_STATE_UNSPECIFIED: NextState
NEXT_STATE_BUILDING: NextState
NEXT_STATE_HELD: NextState
NEXT_STATE_TAKING_OVER: NextState
VERDICT_UNSPECIFIED: Verdict
VERDICT_APPLIED: Verdict
VERDICT_DUPLICATE: Verdict
VERDICT_LATE: Verdict

class EntityKey(_message.Message):
    __slots__ = ("fields",)
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.ScalarMap[str, str]
    def __init__(self, fields: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GetFeaturesRequest(_message.Message):
    __slots__ = ("view", "entities", "features", "at", "token", "strict", "version")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    view: str
    entities: _containers.RepeatedCompositeFieldContainer[EntityKey]
    features: _containers.RepeatedScalarFieldContainer[str]
    at: _timestamp_pb2.Timestamp
    token: _ingestion_service_pb2.PositionToken
    strict: bool
    version: str
    def __init__(self, view: _Optional[str] = ..., entities: _Optional[_Iterable[_Union[EntityKey, _Mapping]]] = ..., features: _Optional[_Iterable[str]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., token: _Optional[_Union[_ingestion_service_pb2.PositionToken, _Mapping]] = ..., strict: _Optional[bool] = ..., version: _Optional[str] = ...) -> None: ...

class GetFeaturesResponse(_message.Message):
    __slots__ = ("features", "entities", "at", "state_newer", "newest_available", "freshness", "view_version")
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    STATE_NEWER_FIELD_NUMBER: _ClassVar[int]
    NEWEST_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    VIEW_VERSION_FIELD_NUMBER: _ClassVar[int]
    features: _containers.RepeatedScalarFieldContainer[str]
    entities: _containers.RepeatedCompositeFieldContainer[EntityValues]
    at: _timestamp_pb2.Timestamp
    state_newer: bool
    newest_available: _timestamp_pb2.Timestamp
    freshness: _duration_pb2.Duration
    view_version: str
    def __init__(self, features: _Optional[_Iterable[str]] = ..., entities: _Optional[_Iterable[_Union[EntityValues, _Mapping]]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state_newer: _Optional[bool] = ..., newest_available: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., freshness: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., view_version: _Optional[str] = ...) -> None: ...

class EntityValues(_message.Message):
    __slots__ = ("values", "statuses", "event_time")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    statuses: _containers.RepeatedScalarFieldContainer[ValueStatus]
    event_time: _timestamp_pb2.Timestamp
    def __init__(self, values: _Optional[_Iterable[float]] = ..., statuses: _Optional[_Iterable[_Union[ValueStatus, str]]] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Cut(_message.Message):
    __slots__ = ("positions",)
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedCompositeFieldContainer[CutPosition]
    def __init__(self, positions: _Optional[_Iterable[_Union[CutPosition, _Mapping]]] = ...) -> None: ...

class CutPosition(_message.Message):
    __slots__ = ("stream", "partition", "next_offset")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    stream: str
    partition: int
    next_offset: int
    def __init__(self, stream: _Optional[str] = ..., partition: _Optional[int] = ..., next_offset: _Optional[int] = ...) -> None: ...

class Exclusion(_message.Message):
    __slots__ = ("to", "reason")
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    to: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., **kwargs) -> None: ...

class BuildTrainingSetRequest(_message.Message):
    __slots__ = ("model", "generation", "cut", "to", "delay", "exclusions", "max_rows", "unlabelled")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    UNLABELLED_FIELD_NUMBER: _ClassVar[int]
    model: str
    generation: str
    cut: Cut
    to: _timestamp_pb2.Timestamp
    delay: _duration_pb2.Duration
    exclusions: _containers.RepeatedCompositeFieldContainer[Exclusion]
    max_rows: int
    unlabelled: bool
    def __init__(self, model: _Optional[str] = ..., generation: _Optional[str] = ..., cut: _Optional[_Union[Cut, _Mapping]] = ..., to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., exclusions: _Optional[_Iterable[_Union[Exclusion, _Mapping]]] = ..., max_rows: _Optional[int] = ..., unlabelled: _Optional[bool] = ..., **kwargs) -> None: ...

class BuildTrainingSetResponse(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: TrainingSet
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[TrainingSet, _Mapping]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("stage", "rows", "events")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    rows: int
    events: int
    def __init__(self, stage: _Optional[str] = ..., rows: _Optional[int] = ..., events: _Optional[int] = ...) -> None: ...

class TrainingSet(_message.Message):
    __slots__ = ("row_hash", "digest", "rows", "cut", "generation", "profile_digest", "newest_time", "delay", "events", "seconds", "delta_versions")
    class DeltaVersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ROW_HASH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PROFILE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    NEWEST_TIME_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    DELTA_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    row_hash: str
    digest: str
    rows: int
    cut: Cut
    generation: str
    profile_digest: str
    newest_time: _timestamp_pb2.Timestamp
    delay: _duration_pb2.Duration
    events: int
    seconds: float
    delta_versions: _containers.ScalarMap[str, int]
    def __init__(self, row_hash: _Optional[str] = ..., digest: _Optional[str] = ..., rows: _Optional[int] = ..., cut: _Optional[_Union[Cut, _Mapping]] = ..., generation: _Optional[str] = ..., profile_digest: _Optional[str] = ..., newest_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., events: _Optional[int] = ..., seconds: _Optional[float] = ..., delta_versions: _Optional[_Mapping[str, int]] = ...) -> None: ...

class VerifyVectorsRequest(_message.Message):
    __slots__ = ("model", "to", "max_vectors")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    MAX_VECTORS_FIELD_NUMBER: _ClassVar[int]
    model: str
    to: _timestamp_pb2.Timestamp
    max_vectors: int
    def __init__(self, model: _Optional[str] = ..., to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., max_vectors: _Optional[int] = ..., **kwargs) -> None: ...

class VerifyVectorsResponse(_message.Message):
    __slots__ = ("vectors", "values", "mismatches", "by_feature", "examples")
    class ByFeatureEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MISMATCHES_FIELD_NUMBER: _ClassVar[int]
    BY_FEATURE_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    vectors: int
    values: int
    mismatches: int
    by_feature: _containers.ScalarMap[str, int]
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, vectors: _Optional[int] = ..., values: _Optional[int] = ..., mismatches: _Optional[int] = ..., by_feature: _Optional[_Mapping[str, int]] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...

class DescribeViewsRequest(_message.Message):
    __slots__ = ("lag_times",)
    LAG_TIMES_FIELD_NUMBER: _ClassVar[int]
    lag_times: bool
    def __init__(self, lag_times: _Optional[bool] = ...) -> None: ...

class DescribeViewsResponse(_message.Message):
    __slots__ = ("views", "next")
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    views: _containers.RepeatedCompositeFieldContainer[ViewState]
    next: NextGeneration
    def __init__(self, views: _Optional[_Iterable[_Union[ViewState, _Mapping]]] = ..., next: _Optional[_Union[NextGeneration, _Mapping]] = ...) -> None: ...

class NextGeneration(_message.Message):
    __slots__ = ("generation", "state", "held", "views", "records", "records_total", "remaining")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    generation: str
    state: NextState
    held: bool
    views: _containers.RepeatedCompositeFieldContainer[ViewState]
    records: int
    records_total: int
    remaining: _duration_pb2.Duration
    def __init__(self, generation: _Optional[str] = ..., state: _Optional[_Union[NextState, str]] = ..., held: _Optional[bool] = ..., views: _Optional[_Iterable[_Union[ViewState, _Mapping]]] = ..., records: _Optional[int] = ..., records_total: _Optional[int] = ..., remaining: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ViewState(_message.Message):
    __slots__ = ("view", "version", "stream", "partition", "position", "source_end", "rows", "entities", "ready", "watermark", "newest_available", "since_last_record", "state_bytes", "last_snapshot", "snapshot_took", "snapshot_open", "lag")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_END_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    NEWEST_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    SINCE_LAST_RECORD_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_TOOK_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_OPEN_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    view: str
    version: str
    stream: str
    partition: int
    position: int
    source_end: int
    rows: int
    entities: int
    ready: bool
    watermark: _timestamp_pb2.Timestamp
    newest_available: _timestamp_pb2.Timestamp
    since_last_record: _duration_pb2.Duration
    state_bytes: int
    last_snapshot: _timestamp_pb2.Timestamp
    snapshot_took: _duration_pb2.Duration
    snapshot_open: _duration_pb2.Duration
    lag: _duration_pb2.Duration
    def __init__(self, view: _Optional[str] = ..., version: _Optional[str] = ..., stream: _Optional[str] = ..., partition: _Optional[int] = ..., position: _Optional[int] = ..., source_end: _Optional[int] = ..., rows: _Optional[int] = ..., entities: _Optional[int] = ..., ready: _Optional[bool] = ..., watermark: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., newest_available: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., since_last_record: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., state_bytes: _Optional[int] = ..., last_snapshot: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., snapshot_took: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., snapshot_open: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lag: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DescribeViewRequest(_message.Message):
    __slots__ = ("view",)
    VIEW_FIELD_NUMBER: _ClassVar[int]
    view: str
    def __init__(self, view: _Optional[str] = ...) -> None: ...

class DescribeViewResponse(_message.Message):
    __slots__ = ("view", "version", "generation", "description", "entity", "fields", "filter", "ttl", "streams", "features", "logs", "models", "rows_per_entity", "bytes_per_entity", "next", "added_features", "removed_features")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_ENTITY_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_ENTITY_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    ADDED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    view: str
    version: str
    generation: str
    description: str
    entity: _containers.RepeatedCompositeFieldContainer[ViewField]
    fields: _containers.RepeatedCompositeFieldContainer[ViewField]
    filter: str
    ttl: _duration_pb2.Duration
    streams: _containers.RepeatedCompositeFieldContainer[ViewStream]
    features: _containers.RepeatedCompositeFieldContainer[ViewFeature]
    logs: _containers.RepeatedCompositeFieldContainer[ViewState]
    models: _containers.RepeatedScalarFieldContainer[str]
    rows_per_entity: int
    bytes_per_entity: int
    next: NextGeneration
    added_features: _containers.RepeatedScalarFieldContainer[str]
    removed_features: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, view: _Optional[str] = ..., version: _Optional[str] = ..., generation: _Optional[str] = ..., description: _Optional[str] = ..., entity: _Optional[_Iterable[_Union[ViewField, _Mapping]]] = ..., fields: _Optional[_Iterable[_Union[ViewField, _Mapping]]] = ..., filter: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., streams: _Optional[_Iterable[_Union[ViewStream, _Mapping]]] = ..., features: _Optional[_Iterable[_Union[ViewFeature, _Mapping]]] = ..., logs: _Optional[_Iterable[_Union[ViewState, _Mapping]]] = ..., models: _Optional[_Iterable[str]] = ..., rows_per_entity: _Optional[int] = ..., bytes_per_entity: _Optional[int] = ..., next: _Optional[_Union[NextGeneration, _Mapping]] = ..., added_features: _Optional[_Iterable[str]] = ..., removed_features: _Optional[_Iterable[str]] = ...) -> None: ...

class ViewField(_message.Message):
    __slots__ = ("name", "type", "resolution", "expression")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: _project_pb2.FieldType
    resolution: float
    expression: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[_project_pb2.FieldType, str]] = ..., resolution: _Optional[float] = ..., expression: _Optional[str] = ...) -> None: ...

class ViewStream(_message.Message):
    __slots__ = ("stream", "key", "partitions", "lateness", "dedupe", "retention", "topic", "log")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    LATENESS_FIELD_NUMBER: _ClassVar[int]
    DEDUPE_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    stream: str
    key: _containers.RepeatedScalarFieldContainer[str]
    partitions: int
    lateness: _duration_pb2.Duration
    dedupe: _duration_pb2.Duration
    retention: _duration_pb2.Duration
    topic: str
    log: str
    def __init__(self, stream: _Optional[str] = ..., key: _Optional[_Iterable[str]] = ..., partitions: _Optional[int] = ..., lateness: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., dedupe: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retention: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., topic: _Optional[str] = ..., log: _Optional[str] = ...) -> None: ...

class ViewFeature(_message.Message):
    __slots__ = ("name", "function", "field", "window", "hop", "filter", "default", "error_bound", "operands", "part")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_BOUND_FIELD_NUMBER: _ClassVar[int]
    OPERANDS_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    name: str
    function: _project_pb2.Function
    field: str
    window: _duration_pb2.Duration
    hop: _duration_pb2.Duration
    filter: str
    default: float
    error_bound: str
    operands: _containers.RepeatedScalarFieldContainer[str]
    part: str
    def __init__(self, name: _Optional[str] = ..., function: _Optional[_Union[_project_pb2.Function, str]] = ..., field: _Optional[str] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., hop: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., filter: _Optional[str] = ..., default: _Optional[float] = ..., error_bound: _Optional[str] = ..., operands: _Optional[_Iterable[str]] = ..., part: _Optional[str] = ...) -> None: ...

class DiffFeaturesRequest(_message.Message):
    __slots__ = ("view", "entities", "sample", "worst", "at")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    WORST_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    view: str
    entities: _containers.RepeatedCompositeFieldContainer[EntityKey]
    sample: int
    worst: int
    at: _timestamp_pb2.Timestamp
    def __init__(self, view: _Optional[str] = ..., entities: _Optional[_Iterable[_Union[EntityKey, _Mapping]]] = ..., sample: _Optional[int] = ..., worst: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DiffFeaturesResponse(_message.Message):
    __slots__ = ("served_version", "next_version", "at", "entities", "entities_total", "entities_different", "features", "added_features", "removed_features", "worst", "records_apart")
    SERVED_VERSION_FIELD_NUMBER: _ClassVar[int]
    NEXT_VERSION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_DIFFERENT_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    ADDED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    WORST_FIELD_NUMBER: _ClassVar[int]
    RECORDS_APART_FIELD_NUMBER: _ClassVar[int]
    served_version: str
    next_version: str
    at: _timestamp_pb2.Timestamp
    entities: int
    entities_total: int
    entities_different: int
    features: _containers.RepeatedCompositeFieldContainer[FeatureDiff]
    added_features: _containers.RepeatedScalarFieldContainer[str]
    removed_features: _containers.RepeatedScalarFieldContainer[str]
    worst: _containers.RepeatedCompositeFieldContainer[EntityDiff]
    records_apart: int
    def __init__(self, served_version: _Optional[str] = ..., next_version: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., entities: _Optional[int] = ..., entities_total: _Optional[int] = ..., entities_different: _Optional[int] = ..., features: _Optional[_Iterable[_Union[FeatureDiff, _Mapping]]] = ..., added_features: _Optional[_Iterable[str]] = ..., removed_features: _Optional[_Iterable[str]] = ..., worst: _Optional[_Iterable[_Union[EntityDiff, _Mapping]]] = ..., records_apart: _Optional[int] = ...) -> None: ...

class FeatureDiff(_message.Message):
    __slots__ = ("feature", "equal", "changed", "appeared", "gone", "mean_difference", "max_difference", "mean_relative", "max_relative")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    EQUAL_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    APPEARED_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    MEAN_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    MAX_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    MEAN_RELATIVE_FIELD_NUMBER: _ClassVar[int]
    MAX_RELATIVE_FIELD_NUMBER: _ClassVar[int]
    feature: str
    equal: int
    changed: int
    appeared: int
    gone: int
    mean_difference: float
    max_difference: float
    mean_relative: float
    max_relative: float
    def __init__(self, feature: _Optional[str] = ..., equal: _Optional[int] = ..., changed: _Optional[int] = ..., appeared: _Optional[int] = ..., gone: _Optional[int] = ..., mean_difference: _Optional[float] = ..., max_difference: _Optional[float] = ..., mean_relative: _Optional[float] = ..., max_relative: _Optional[float] = ...) -> None: ...

class EntityDiff(_message.Message):
    __slots__ = ("entity", "values")
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    entity: EntityKey
    values: _containers.RepeatedCompositeFieldContainer[ValueDiff]
    def __init__(self, entity: _Optional[_Union[EntityKey, _Mapping]] = ..., values: _Optional[_Iterable[_Union[ValueDiff, _Mapping]]] = ...) -> None: ...

class ValueDiff(_message.Message):
    __slots__ = ("feature", "served", "next")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    feature: str
    served: float
    next: float
    def __init__(self, feature: _Optional[str] = ..., served: _Optional[float] = ..., next: _Optional[float] = ...) -> None: ...

class GetHistoryRequest(_message.Message):
    __slots__ = ("view", "entity", "features", "since", "until", "every", "limit", "max_events", "token")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MAX_EVENTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    view: str
    entity: EntityKey
    features: _containers.RepeatedScalarFieldContainer[str]
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    every: _duration_pb2.Duration
    limit: int
    max_events: int
    token: _ingestion_service_pb2.PositionToken
    def __init__(self, view: _Optional[str] = ..., entity: _Optional[_Union[EntityKey, _Mapping]] = ..., features: _Optional[_Iterable[str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., every: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., limit: _Optional[int] = ..., max_events: _Optional[int] = ..., token: _Optional[_Union[_ingestion_service_pb2.PositionToken, _Mapping]] = ...) -> None: ...

class GetHistoryResponse(_message.Message):
    __slots__ = ("features", "rows", "rows_cut", "events", "events_total", "view_version", "cut")
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ROWS_CUT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    VIEW_VERSION_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    features: _containers.RepeatedScalarFieldContainer[str]
    rows: _containers.RepeatedCompositeFieldContainer[HistoryRow]
    rows_cut: bool
    events: _containers.RepeatedCompositeFieldContainer[FeatureEvent]
    events_total: int
    view_version: str
    cut: Cut
    def __init__(self, features: _Optional[_Iterable[str]] = ..., rows: _Optional[_Iterable[_Union[HistoryRow, _Mapping]]] = ..., rows_cut: _Optional[bool] = ..., events: _Optional[_Iterable[_Union[FeatureEvent, _Mapping]]] = ..., events_total: _Optional[int] = ..., view_version: _Optional[str] = ..., cut: _Optional[_Union[Cut, _Mapping]] = ...) -> None: ...

class HistoryRow(_message.Message):
    __slots__ = ("at", "values", "statuses")
    AT_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    values: _containers.RepeatedScalarFieldContainer[float]
    statuses: _containers.RepeatedScalarFieldContainer[ValueStatus]
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., values: _Optional[_Iterable[float]] = ..., statuses: _Optional[_Iterable[_Union[ValueStatus, str]]] = ...) -> None: ...

class ExplainFeaturesRequest(_message.Message):
    __slots__ = ("view", "entity", "features", "at", "token", "max_events")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    MAX_EVENTS_FIELD_NUMBER: _ClassVar[int]
    view: str
    entity: EntityKey
    features: _containers.RepeatedScalarFieldContainer[str]
    at: _timestamp_pb2.Timestamp
    token: _ingestion_service_pb2.PositionToken
    max_events: int
    def __init__(self, view: _Optional[str] = ..., entity: _Optional[_Union[EntityKey, _Mapping]] = ..., features: _Optional[_Iterable[str]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., token: _Optional[_Union[_ingestion_service_pb2.PositionToken, _Mapping]] = ..., max_events: _Optional[int] = ...) -> None: ...

class ExplainFeaturesResponse(_message.Message):
    __slots__ = ("at", "view_version", "state_newer", "features", "cut", "agrees")
    AT_FIELD_NUMBER: _ClassVar[int]
    VIEW_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_NEWER_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    AGREES_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    view_version: str
    state_newer: bool
    features: _containers.RepeatedCompositeFieldContainer[Explanation]
    cut: Cut
    agrees: bool
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., view_version: _Optional[str] = ..., state_newer: _Optional[bool] = ..., features: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ..., cut: _Optional[_Union[Cut, _Mapping]] = ..., agrees: _Optional[bool] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("feature", "served", "served_status", "recomputed", "recomputed_status", "agrees", "operands", "tiles", "events", "tiles_total", "events_total", "left_out")
    class LeftOutEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    SERVED_STATUS_FIELD_NUMBER: _ClassVar[int]
    RECOMPUTED_FIELD_NUMBER: _ClassVar[int]
    RECOMPUTED_STATUS_FIELD_NUMBER: _ClassVar[int]
    AGREES_FIELD_NUMBER: _ClassVar[int]
    OPERANDS_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    TILES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    feature: str
    served: float
    served_status: ValueStatus
    recomputed: float
    recomputed_status: ValueStatus
    agrees: bool
    operands: _containers.RepeatedScalarFieldContainer[str]
    tiles: _containers.RepeatedCompositeFieldContainer[ExplainedTile]
    events: _containers.RepeatedCompositeFieldContainer[FeatureEvent]
    tiles_total: int
    events_total: int
    left_out: _containers.ScalarMap[str, int]
    def __init__(self, feature: _Optional[str] = ..., served: _Optional[float] = ..., served_status: _Optional[_Union[ValueStatus, str]] = ..., recomputed: _Optional[float] = ..., recomputed_status: _Optional[_Union[ValueStatus, str]] = ..., agrees: _Optional[bool] = ..., operands: _Optional[_Iterable[str]] = ..., tiles: _Optional[_Iterable[_Union[ExplainedTile, _Mapping]]] = ..., events: _Optional[_Iterable[_Union[FeatureEvent, _Mapping]]] = ..., tiles_total: _Optional[int] = ..., events_total: _Optional[int] = ..., left_out: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ExplainedTile(_message.Message):
    __slots__ = ("start", "end", "value", "events")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    start: _timestamp_pb2.Timestamp
    end: _timestamp_pb2.Timestamp
    value: float
    events: int
    def __init__(self, start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., value: _Optional[float] = ..., events: _Optional[int] = ...) -> None: ...

class FeatureEvent(_message.Message):
    __slots__ = ("stream", "partition", "offset", "row", "source", "id", "event_time", "available_time", "verdict", "value", "text")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_TIME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    stream: str
    partition: int
    offset: int
    row: int
    source: str
    id: str
    event_time: _timestamp_pb2.Timestamp
    available_time: _timestamp_pb2.Timestamp
    verdict: Verdict
    value: float
    text: str
    def __init__(self, stream: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., row: _Optional[int] = ..., source: _Optional[str] = ..., id: _Optional[str] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., available_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., value: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class PlanErasureRequest(_message.Message):
    __slots__ = ("entity",)
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    entity: EntityKey
    def __init__(self, entity: _Optional[_Union[EntityKey, _Mapping]] = ...) -> None: ...

class PlanErasureResponse(_message.Message):
    __slots__ = ("places", "kept_views", "training_sets")
    PLACES_FIELD_NUMBER: _ClassVar[int]
    KEPT_VIEWS_FIELD_NUMBER: _ClassVar[int]
    TRAINING_SETS_FIELD_NUMBER: _ClassVar[int]
    places: _containers.RepeatedCompositeFieldContainer[PlannedPlace]
    kept_views: _containers.RepeatedScalarFieldContainer[str]
    training_sets: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, places: _Optional[_Iterable[_Union[PlannedPlace, _Mapping]]] = ..., kept_views: _Optional[_Iterable[str]] = ..., training_sets: _Optional[_Iterable[str]] = ...) -> None: ...

class PlannedPlace(_message.Message):
    __slots__ = ("kind", "name", "found")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    found: int
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., found: _Optional[int] = ...) -> None: ...
