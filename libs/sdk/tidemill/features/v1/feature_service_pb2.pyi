import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
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
VALUE_STATUS_UNSPECIFIED: ValueStatus
VALUE_STATUS_PRESENT: ValueStatus
VALUE_STATUS_NULL: ValueStatus
VALUE_STATUS_STALE: ValueStatus
VALUE_STATUS_EXPIRED: ValueStatus
VALUE_STATUS_NOT_FOUND: ValueStatus

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
    __slots__ = ("view", "entities", "features", "at", "token", "strict")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    view: str
    entities: _containers.RepeatedCompositeFieldContainer[EntityKey]
    features: _containers.RepeatedScalarFieldContainer[str]
    at: _timestamp_pb2.Timestamp
    token: _ingestion_service_pb2.PositionToken
    strict: bool
    def __init__(self, view: _Optional[str] = ..., entities: _Optional[_Iterable[_Union[EntityKey, _Mapping]]] = ..., features: _Optional[_Iterable[str]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., token: _Optional[_Union[_ingestion_service_pb2.PositionToken, _Mapping]] = ..., strict: _Optional[bool] = ...) -> None: ...

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
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeViewsResponse(_message.Message):
    __slots__ = ("views",)
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    views: _containers.RepeatedCompositeFieldContainer[ViewState]
    def __init__(self, views: _Optional[_Iterable[_Union[ViewState, _Mapping]]] = ...) -> None: ...

class ViewState(_message.Message):
    __slots__ = ("view", "version", "stream", "partition", "position", "source_end", "rows", "entities", "ready", "watermark", "newest_available", "since_last_record")
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
    def __init__(self, view: _Optional[str] = ..., version: _Optional[str] = ..., stream: _Optional[str] = ..., partition: _Optional[int] = ..., position: _Optional[int] = ..., source_end: _Optional[int] = ..., rows: _Optional[int] = ..., entities: _Optional[int] = ..., ready: _Optional[bool] = ..., watermark: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., newest_available: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., since_last_record: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

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
