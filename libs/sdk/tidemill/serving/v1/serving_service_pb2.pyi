import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tidemill.ingestion.v1 import ingestion_service_pb2 as _ingestion_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PredictRequest(_message.Message):
    __slots__ = ("model", "rows", "at", "token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    rows: _containers.RepeatedCompositeFieldContainer[PredictRow]
    at: _timestamp_pb2.Timestamp
    token: _ingestion_service_pb2.PositionToken
    def __init__(self, model: _Optional[str] = ..., rows: _Optional[_Iterable[_Union[PredictRow, _Mapping]]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., token: _Optional[_Union[_ingestion_service_pb2.PositionToken, _Mapping]] = ...) -> None: ...

class PredictRow(_message.Message):
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

class PredictResponse(_message.Message):
    __slots__ = ("predictions",)
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    def __init__(self, predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("prediction_id", "score", "version", "variant", "freshness_ms", "at")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_MS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    score: float
    version: int
    variant: str
    freshness_ms: float
    at: _timestamp_pb2.Timestamp
    def __init__(self, prediction_id: _Optional[str] = ..., score: _Optional[float] = ..., version: _Optional[int] = ..., variant: _Optional[str] = ..., freshness_ms: _Optional[float] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EvaluateRequest(_message.Message):
    __slots__ = ("model", "number", "digest", "requests")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    number: int
    digest: str
    requests: int
    def __init__(self, model: _Optional[str] = ..., number: _Optional[int] = ..., digest: _Optional[str] = ..., requests: _Optional[int] = ...) -> None: ...

class EvaluateResponse(_message.Message):
    __slots__ = ("max_difference", "latency_p50_ms", "latency_p99_ms", "golden_rows", "requests")
    MAX_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P50_MS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P99_MS_FIELD_NUMBER: _ClassVar[int]
    GOLDEN_ROWS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    max_difference: float
    latency_p50_ms: float
    latency_p99_ms: float
    golden_rows: int
    requests: int
    def __init__(self, max_difference: _Optional[float] = ..., latency_p50_ms: _Optional[float] = ..., latency_p99_ms: _Optional[float] = ..., golden_rows: _Optional[int] = ..., requests: _Optional[int] = ...) -> None: ...

class DescribeRoutingRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class DescribeRoutingResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[RoutedModel]
    def __init__(self, models: _Optional[_Iterable[_Union[RoutedModel, _Mapping]]] = ...) -> None: ...

class RoutedModel(_message.Message):
    __slots__ = ("model", "table_version", "versions", "served", "logged", "dropped")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TABLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    model: str
    table_version: int
    versions: _containers.RepeatedCompositeFieldContainer[RoutedVersion]
    served: int
    logged: int
    dropped: int
    def __init__(self, model: _Optional[str] = ..., table_version: _Optional[int] = ..., versions: _Optional[_Iterable[_Union[RoutedVersion, _Mapping]]] = ..., served: _Optional[int] = ..., logged: _Optional[int] = ..., dropped: _Optional[int] = ...) -> None: ...

class RoutedVersion(_message.Message):
    __slots__ = ("number", "digest", "variant", "share", "state", "inflight", "requests", "errors", "tripped")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    TRIPPED_FIELD_NUMBER: _ClassVar[int]
    number: int
    digest: str
    variant: str
    share: float
    state: str
    inflight: int
    requests: int
    errors: int
    tripped: bool
    def __init__(self, number: _Optional[int] = ..., digest: _Optional[str] = ..., variant: _Optional[str] = ..., share: _Optional[float] = ..., state: _Optional[str] = ..., inflight: _Optional[int] = ..., requests: _Optional[int] = ..., errors: _Optional[int] = ..., tripped: _Optional[bool] = ...) -> None: ...
