import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tidemill.registry.v1 import registry_service_pb2 as _registry_service_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegistryEvent(_message.Message):
    __slots__ = ("event_id", "time", "traceparent", "project_applied", "version_registered", "version_validated", "version_rejected", "rollout_moved", "alias_moved", "project_held", "project_aborted")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    PROJECT_APPLIED_FIELD_NUMBER: _ClassVar[int]
    VERSION_REGISTERED_FIELD_NUMBER: _ClassVar[int]
    VERSION_VALIDATED_FIELD_NUMBER: _ClassVar[int]
    VERSION_REJECTED_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_MOVED_FIELD_NUMBER: _ClassVar[int]
    ALIAS_MOVED_FIELD_NUMBER: _ClassVar[int]
    PROJECT_HELD_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ABORTED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    time: _timestamp_pb2.Timestamp
    traceparent: str
    project_applied: ProjectApplied
    version_registered: VersionRegistered
    version_validated: VersionValidated
    version_rejected: VersionRejected
    rollout_moved: RolloutMoved
    alias_moved: AliasMoved
    project_held: ProjectHeld
    project_aborted: ProjectAborted
    def __init__(self, event_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ..., project_applied: _Optional[_Union[ProjectApplied, _Mapping]] = ..., version_registered: _Optional[_Union[VersionRegistered, _Mapping]] = ..., version_validated: _Optional[_Union[VersionValidated, _Mapping]] = ..., version_rejected: _Optional[_Union[VersionRejected, _Mapping]] = ..., rollout_moved: _Optional[_Union[RolloutMoved, _Mapping]] = ..., alias_moved: _Optional[_Union[AliasMoved, _Mapping]] = ..., project_held: _Optional[_Union[ProjectHeld, _Mapping]] = ..., project_aborted: _Optional[_Union[ProjectAborted, _Mapping]] = ...) -> None: ...

class ProjectApplied(_message.Message):
    __slots__ = ("generation", "number")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    generation: str
    number: int
    def __init__(self, generation: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class ProjectHeld(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: str
    def __init__(self, generation: _Optional[str] = ...) -> None: ...

class ProjectAborted(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: str
    def __init__(self, generation: _Optional[str] = ...) -> None: ...

class VersionRegistered(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: _registry_service_pb2.Version
    def __init__(self, version: _Optional[_Union[_registry_service_pb2.Version, _Mapping]] = ...) -> None: ...

class VersionValidated(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: _registry_service_pb2.Version
    def __init__(self, version: _Optional[_Union[_registry_service_pb2.Version, _Mapping]] = ...) -> None: ...

class VersionRejected(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: _registry_service_pb2.Version
    def __init__(self, version: _Optional[_Union[_registry_service_pb2.Version, _Mapping]] = ...) -> None: ...

class RolloutMoved(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: _registry_service_pb2.RolloutRow
    def __init__(self, rollout: _Optional[_Union[_registry_service_pb2.RolloutRow, _Mapping]] = ...) -> None: ...

class AliasMoved(_message.Message):
    __slots__ = ("model", "alias", "number", "previous", "generation")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    number: int
    previous: int
    generation: int
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ..., number: _Optional[int] = ..., previous: _Optional[int] = ..., generation: _Optional[int] = ...) -> None: ...
