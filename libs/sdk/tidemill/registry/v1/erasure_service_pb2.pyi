import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tidemill.definitions.v1 import project_pb2 as _project_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErasureState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERASURE_STATE_UNSPECIFIED: _ClassVar[ErasureState]
    ERASURE_STATE_ERASING: _ClassVar[ErasureState]
    ERASURE_STATE_COMPLETE: _ClassVar[ErasureState]
ERASURE_STATE_UNSPECIFIED: ErasureState
ERASURE_STATE_ERASING: ErasureState
ERASURE_STATE_COMPLETE: ErasureState

class ErasurePlace(_message.Message):
    __slots__ = ("kind", "name", "found", "removed", "gone", "waiting", "due_time", "oldest_time", "newest_time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    OLDEST_TIME_FIELD_NUMBER: _ClassVar[int]
    NEWEST_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    found: int
    removed: int
    gone: bool
    waiting: str
    due_time: _timestamp_pb2.Timestamp
    oldest_time: _timestamp_pb2.Timestamp
    newest_time: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., found: _Optional[int] = ..., removed: _Optional[int] = ..., gone: _Optional[bool] = ..., waiting: _Optional[str] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., oldest_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., newest_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ErasedTrainingSet(_message.Message):
    __slots__ = ("digest", "rows", "versions")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    rows: int
    versions: _containers.RepeatedCompositeFieldContainer[ErasedVersion]
    def __init__(self, digest: _Optional[str] = ..., rows: _Optional[int] = ..., versions: _Optional[_Iterable[_Union[ErasedVersion, _Mapping]]] = ...) -> None: ...

class ErasedVersion(_message.Message):
    __slots__ = ("model", "number")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    model: str
    number: int
    def __init__(self, model: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class ErasureReport(_message.Message):
    __slots__ = ("service", "places", "training_sets", "state_clean", "done", "time", "beginning")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    TRAINING_SETS_FIELD_NUMBER: _ClassVar[int]
    STATE_CLEAN_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    BEGINNING_FIELD_NUMBER: _ClassVar[int]
    service: str
    places: _containers.RepeatedCompositeFieldContainer[ErasurePlace]
    training_sets: _containers.RepeatedCompositeFieldContainer[ErasedTrainingSet]
    state_clean: bool
    done: bool
    time: _timestamp_pb2.Timestamp
    beginning: int
    def __init__(self, service: _Optional[str] = ..., places: _Optional[_Iterable[_Union[ErasurePlace, _Mapping]]] = ..., training_sets: _Optional[_Iterable[_Union[ErasedTrainingSet, _Mapping]]] = ..., state_clean: _Optional[bool] = ..., done: _Optional[bool] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., beginning: _Optional[int] = ...) -> None: ...

class Erasure(_message.Message):
    __slots__ = ("erasure_id", "fields", "state", "author", "reason", "requested_time", "completed_time", "reports", "reopened_time")
    ERASURE_ID_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_TIME_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    REOPENED_TIME_FIELD_NUMBER: _ClassVar[int]
    erasure_id: str
    fields: _containers.RepeatedScalarFieldContainer[str]
    state: ErasureState
    author: str
    reason: str
    requested_time: _timestamp_pb2.Timestamp
    completed_time: _timestamp_pb2.Timestamp
    reports: _containers.RepeatedCompositeFieldContainer[ErasureReport]
    reopened_time: _timestamp_pb2.Timestamp
    def __init__(self, erasure_id: _Optional[str] = ..., fields: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[ErasureState, str]] = ..., author: _Optional[str] = ..., reason: _Optional[str] = ..., requested_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reports: _Optional[_Iterable[_Union[ErasureReport, _Mapping]]] = ..., reopened_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RequestErasureRequest(_message.Message):
    __slots__ = ("entity", "author", "reason")
    class EntityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    entity: _containers.ScalarMap[str, str]
    author: str
    reason: str
    def __init__(self, entity: _Optional[_Mapping[str, str]] = ..., author: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RequestErasureResponse(_message.Message):
    __slots__ = ("erasure", "created")
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    erasure: Erasure
    created: bool
    def __init__(self, erasure: _Optional[_Union[Erasure, _Mapping]] = ..., created: _Optional[bool] = ...) -> None: ...

class GetErasureRequest(_message.Message):
    __slots__ = ("erasure_id", "entity")
    class EntityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ERASURE_ID_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    erasure_id: str
    entity: _containers.ScalarMap[str, str]
    def __init__(self, erasure_id: _Optional[str] = ..., entity: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GetErasureResponse(_message.Message):
    __slots__ = ("erasure",)
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    erasure: Erasure
    def __init__(self, erasure: _Optional[_Union[Erasure, _Mapping]] = ...) -> None: ...

class ListErasuresRequest(_message.Message):
    __slots__ = ("limit", "open_only", "before")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OPEN_ONLY_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    limit: int
    open_only: bool
    before: str
    def __init__(self, limit: _Optional[int] = ..., open_only: _Optional[bool] = ..., before: _Optional[str] = ...) -> None: ...

class ListErasuresResponse(_message.Message):
    __slots__ = ("erasures",)
    ERASURES_FIELD_NUMBER: _ClassVar[int]
    erasures: _containers.RepeatedCompositeFieldContainer[Erasure]
    def __init__(self, erasures: _Optional[_Iterable[_Union[Erasure, _Mapping]]] = ...) -> None: ...

class ErasedKey(_message.Message):
    __slots__ = ("erasure_id", "fields", "digest", "state_clean", "complete", "beginning", "true_beginning")
    ERASURE_ID_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_CLEAN_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    BEGINNING_FIELD_NUMBER: _ClassVar[int]
    TRUE_BEGINNING_FIELD_NUMBER: _ClassVar[int]
    erasure_id: str
    fields: _containers.RepeatedScalarFieldContainer[str]
    digest: bytes
    state_clean: bool
    complete: bool
    beginning: int
    true_beginning: int
    def __init__(self, erasure_id: _Optional[str] = ..., fields: _Optional[_Iterable[str]] = ..., digest: _Optional[bytes] = ..., state_clean: _Optional[bool] = ..., complete: _Optional[bool] = ..., beginning: _Optional[int] = ..., true_beginning: _Optional[int] = ...) -> None: ...

class EntityName(_message.Message):
    __slots__ = ("stream", "field", "columns", "computed")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_FIELD_NUMBER: _ClassVar[int]
    stream: str
    field: str
    columns: _containers.RepeatedScalarFieldContainer[str]
    computed: _containers.RepeatedCompositeFieldContainer[ComputedName]
    def __init__(self, stream: _Optional[str] = ..., field: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ..., computed: _Optional[_Iterable[_Union[ComputedName, _Mapping]]] = ...) -> None: ...

class ComputedName(_message.Message):
    __slots__ = ("expression", "columns")
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _project_pb2.FieldType
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_project_pb2.FieldType, str]] = ...) -> None: ...
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    expression: str
    columns: _containers.ScalarMap[str, _project_pb2.FieldType]
    def __init__(self, expression: _Optional[str] = ..., columns: _Optional[_Mapping[str, _project_pb2.FieldType]] = ...) -> None: ...

class ListErasedKeysRequest(_message.Message):
    __slots__ = ("known_revision",)
    KNOWN_REVISION_FIELD_NUMBER: _ClassVar[int]
    known_revision: int
    def __init__(self, known_revision: _Optional[int] = ...) -> None: ...

class ListErasedKeysResponse(_message.Message):
    __slots__ = ("revision", "secret", "keys", "names")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    revision: int
    secret: bytes
    keys: _containers.RepeatedCompositeFieldContainer[ErasedKey]
    names: _containers.RepeatedCompositeFieldContainer[EntityName]
    def __init__(self, revision: _Optional[int] = ..., secret: _Optional[bytes] = ..., keys: _Optional[_Iterable[_Union[ErasedKey, _Mapping]]] = ..., names: _Optional[_Iterable[_Union[EntityName, _Mapping]]] = ...) -> None: ...

class ReportErasureRequest(_message.Message):
    __slots__ = ("erasure_id", "report")
    ERASURE_ID_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    erasure_id: str
    report: ErasureReport
    def __init__(self, erasure_id: _Optional[str] = ..., report: _Optional[_Union[ErasureReport, _Mapping]] = ...) -> None: ...

class ReportErasureResponse(_message.Message):
    __slots__ = ("erasure",)
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    erasure: Erasure
    def __init__(self, erasure: _Optional[_Union[Erasure, _Mapping]] = ...) -> None: ...
