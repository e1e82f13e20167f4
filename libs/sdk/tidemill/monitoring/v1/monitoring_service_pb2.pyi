import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AlertState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_STATE_UNSPECIFIED: _ClassVar[AlertState]
    ALERT_STATE_OK: _ClassVar[AlertState]
    ALERT_STATE_SUSPECT: _ClassVar[AlertState]
    ALERT_STATE_FIRING: _ClassVar[AlertState]
    ALERT_STATE_RECOVERING: _ClassVar[AlertState]

class AlertKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_KIND_UNSPECIFIED: _ClassVar[AlertKind]
    ALERT_KIND_QUALITY: _ClassVar[AlertKind]
    ALERT_KIND_PREDICTION_DRIFT: _ClassVar[AlertKind]
    ALERT_KIND_FEATURE_DRIFT: _ClassVar[AlertKind]
    ALERT_KIND_DATA: _ClassVar[AlertKind]
ALERT_STATE_UNSPECIFIED: AlertState
ALERT_STATE_OK: AlertState
ALERT_STATE_SUSPECT: AlertState
ALERT_STATE_FIRING: AlertState
ALERT_STATE_RECOVERING: AlertState
ALERT_KIND_UNSPECIFIED: AlertKind
ALERT_KIND_QUALITY: AlertKind
ALERT_KIND_PREDICTION_DRIFT: AlertKind
ALERT_KIND_FEATURE_DRIFT: AlertKind
ALERT_KIND_DATA: AlertKind

class Alert(_message.Message):
    __slots__ = ("alert_id", "kind", "model", "version", "subject", "state", "severity", "effect", "p_value", "causes", "first_bad", "opened_stream_time", "changed_stream_time", "resolved_stream_time", "changed_time", "report_path", "acknowledged_by", "traceparent", "summary", "bad_from", "bad_to")
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    FIRST_BAD_FIELD_NUMBER: _ClassVar[int]
    OPENED_STREAM_TIME_FIELD_NUMBER: _ClassVar[int]
    CHANGED_STREAM_TIME_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_STREAM_TIME_FIELD_NUMBER: _ClassVar[int]
    CHANGED_TIME_FIELD_NUMBER: _ClassVar[int]
    REPORT_PATH_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BY_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    BAD_FROM_FIELD_NUMBER: _ClassVar[int]
    BAD_TO_FIELD_NUMBER: _ClassVar[int]
    alert_id: str
    kind: AlertKind
    model: str
    version: int
    subject: str
    state: AlertState
    severity: int
    effect: float
    p_value: float
    causes: _containers.RepeatedCompositeFieldContainer[Cause]
    first_bad: FirstBad
    opened_stream_time: _timestamp_pb2.Timestamp
    changed_stream_time: _timestamp_pb2.Timestamp
    resolved_stream_time: _timestamp_pb2.Timestamp
    changed_time: _timestamp_pb2.Timestamp
    report_path: str
    acknowledged_by: str
    traceparent: str
    summary: str
    bad_from: _timestamp_pb2.Timestamp
    bad_to: _timestamp_pb2.Timestamp
    def __init__(self, alert_id: _Optional[str] = ..., kind: _Optional[_Union[AlertKind, str]] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., subject: _Optional[str] = ..., state: _Optional[_Union[AlertState, str]] = ..., severity: _Optional[int] = ..., effect: _Optional[float] = ..., p_value: _Optional[float] = ..., causes: _Optional[_Iterable[_Union[Cause, _Mapping]]] = ..., first_bad: _Optional[_Union[FirstBad, _Mapping]] = ..., opened_stream_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changed_stream_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolved_stream_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changed_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., report_path: _Optional[str] = ..., acknowledged_by: _Optional[str] = ..., traceparent: _Optional[str] = ..., summary: _Optional[str] = ..., bad_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., bad_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Cause(_message.Message):
    __slots__ = ("subject", "shape", "weight", "segment", "text")
    class SegmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    shape: str
    weight: float
    segment: _containers.ScalarMap[str, str]
    text: str
    def __init__(self, subject: _Optional[str] = ..., shape: _Optional[str] = ..., weight: _Optional[float] = ..., segment: _Optional[_Mapping[str, str]] = ..., text: _Optional[str] = ...) -> None: ...

class FirstBad(_message.Message):
    __slots__ = ("topic", "partition", "offset", "row", "event_time", "value")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    offset: int
    row: int
    event_time: _timestamp_pb2.Timestamp
    value: str
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., row: _Optional[int] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., value: _Optional[str] = ...) -> None: ...

class AlertChanged(_message.Message):
    __slots__ = ("alert", "previous")
    ALERT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    alert: Alert
    previous: AlertState
    def __init__(self, alert: _Optional[_Union[Alert, _Mapping]] = ..., previous: _Optional[_Union[AlertState, str]] = ...) -> None: ...

class ListAlertsRequest(_message.Message):
    __slots__ = ("model", "open_only", "limit")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OPEN_ONLY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    model: str
    open_only: bool
    limit: int
    def __init__(self, model: _Optional[str] = ..., open_only: _Optional[bool] = ..., limit: _Optional[int] = ...) -> None: ...

class ListAlertsResponse(_message.Message):
    __slots__ = ("alerts",)
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    def __init__(self, alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ...) -> None: ...

class AcknowledgeRequest(_message.Message):
    __slots__ = ("alert_id", "author")
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    alert_id: str
    author: str
    def __init__(self, alert_id: _Optional[str] = ..., author: _Optional[str] = ...) -> None: ...

class AcknowledgeResponse(_message.Message):
    __slots__ = ("alert",)
    ALERT_FIELD_NUMBER: _ClassVar[int]
    alert: Alert
    def __init__(self, alert: _Optional[_Union[Alert, _Mapping]] = ...) -> None: ...

class GetDriftRequest(_message.Message):
    __slots__ = ("model", "to")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    model: str
    to: _timestamp_pb2.Timestamp
    def __init__(self, model: _Optional[str] = ..., to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., **kwargs) -> None: ...

class GetDriftResponse(_message.Message):
    __slots__ = ("windows",)
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    windows: _containers.RepeatedCompositeFieldContainer[DriftWindow]
    def __init__(self, windows: _Optional[_Iterable[_Union[DriftWindow, _Mapping]]] = ...) -> None: ...

class DriftWindow(_message.Message):
    __slots__ = ("subject", "version", "to", "rows", "effect", "p_value", "drifted")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    DRIFTED_FIELD_NUMBER: _ClassVar[int]
    subject: str
    version: int
    to: _timestamp_pb2.Timestamp
    rows: int
    effect: float
    p_value: float
    drifted: bool
    def __init__(self, subject: _Optional[str] = ..., version: _Optional[int] = ..., to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rows: _Optional[int] = ..., effect: _Optional[float] = ..., p_value: _Optional[float] = ..., drifted: _Optional[bool] = ..., **kwargs) -> None: ...

class GetQualityRequest(_message.Message):
    __slots__ = ("model", "to")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    model: str
    to: _timestamp_pb2.Timestamp
    def __init__(self, model: _Optional[str] = ..., to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., **kwargs) -> None: ...

class GetQualityResponse(_message.Message):
    __slots__ = ("cohorts",)
    COHORTS_FIELD_NUMBER: _ClassVar[int]
    cohorts: _containers.RepeatedCompositeFieldContainer[Cohort]
    def __init__(self, cohorts: _Optional[_Iterable[_Union[Cohort, _Mapping]]] = ...) -> None: ...

class Cohort(_message.Message):
    __slots__ = ("version", "to", "predictions", "labelled", "coverage", "metrics", "mature")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    LABELLED_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    MATURE_FIELD_NUMBER: _ClassVar[int]
    version: int
    to: _timestamp_pb2.Timestamp
    predictions: int
    labelled: int
    coverage: float
    metrics: _containers.ScalarMap[str, float]
    mature: bool
    def __init__(self, version: _Optional[int] = ..., to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., predictions: _Optional[int] = ..., labelled: _Optional[int] = ..., coverage: _Optional[float] = ..., metrics: _Optional[_Mapping[str, float]] = ..., mature: _Optional[bool] = ..., **kwargs) -> None: ...

class GetReportRequest(_message.Message):
    __slots__ = ("alert_id", "model", "to")
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    alert_id: str
    model: str
    to: _timestamp_pb2.Timestamp
    def __init__(self, alert_id: _Optional[str] = ..., model: _Optional[str] = ..., to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., **kwargs) -> None: ...

class GetReportResponse(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...
