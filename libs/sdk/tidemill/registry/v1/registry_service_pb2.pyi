import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tidemill.definitions.v1 import project_pb2 as _project_pb2
from tidemill.features.v1 import feature_service_pb2 as _feature_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_CANDIDATE: _ClassVar[Stage]
    STAGE_VALIDATED: _ClassVar[Stage]
    STAGE_REJECTED: _ClassVar[Stage]
    STAGE_ARCHIVED: _ClassVar[Stage]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_PASS: _ClassVar[Verdict]
    VERDICT_FAIL: _ClassVar[Verdict]
    VERDICT_NOT_ENOUGH_DATA: _ClassVar[Verdict]

class ChangeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_KIND_UNSPECIFIED: _ClassVar[ChangeKind]
    CHANGE_KIND_ADDED: _ClassVar[ChangeKind]
    CHANGE_KIND_CHANGED: _ClassVar[ChangeKind]
    CHANGE_KIND_REMOVED: _ClassVar[ChangeKind]

class RolloutState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLOUT_STATE_UNSPECIFIED: _ClassVar[RolloutState]
    ROLLOUT_STATE_STABLE: _ClassVar[RolloutState]
    ROLLOUT_STATE_CANARY: _ClassVar[RolloutState]

class RolloutMove(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLOUT_MOVE_UNSPECIFIED: _ClassVar[RolloutMove]
    ROLLOUT_MOVE_PROMOTE: _ClassVar[RolloutMove]
    ROLLOUT_MOVE_ABORT: _ClassVar[RolloutMove]
    ROLLOUT_MOVE_ROLL_BACK: _ClassVar[RolloutMove]
STAGE_UNSPECIFIED: Stage
STAGE_CANDIDATE: Stage
STAGE_VALIDATED: Stage
STAGE_REJECTED: Stage
STAGE_ARCHIVED: Stage
VERDICT_UNSPECIFIED: Verdict
VERDICT_PASS: Verdict
VERDICT_FAIL: Verdict
VERDICT_NOT_ENOUGH_DATA: Verdict
CHANGE_KIND_UNSPECIFIED: ChangeKind
CHANGE_KIND_ADDED: ChangeKind
CHANGE_KIND_CHANGED: ChangeKind
CHANGE_KIND_REMOVED: ChangeKind
ROLLOUT_STATE_UNSPECIFIED: RolloutState
ROLLOUT_STATE_STABLE: RolloutState
ROLLOUT_STATE_CANARY: RolloutState
ROLLOUT_MOVE_UNSPECIFIED: RolloutMove
ROLLOUT_MOVE_PROMOTE: RolloutMove
ROLLOUT_MOVE_ABORT: RolloutMove
ROLLOUT_MOVE_ROLL_BACK: RolloutMove

class ApplyRequest(_message.Message):
    __slots__ = ("project", "plan_only", "author", "expected_generation")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    PLAN_ONLY_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    project: _project_pb2.Project
    plan_only: bool
    author: str
    expected_generation: str
    def __init__(self, project: _Optional[_Union[_project_pb2.Project, _Mapping]] = ..., plan_only: _Optional[bool] = ..., author: _Optional[str] = ..., expected_generation: _Optional[str] = ...) -> None: ...

class ApplyResponse(_message.Message):
    __slots__ = ("generation", "changes", "applied", "number")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    generation: str
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    applied: bool
    number: int
    def __init__(self, generation: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., applied: _Optional[bool] = ..., number: _Optional[int] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("kind", "type", "name", "details", "rows_per_entity", "bytes_per_entity")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_ENTITY_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_ENTITY_FIELD_NUMBER: _ClassVar[int]
    kind: ChangeKind
    type: str
    name: str
    details: _containers.RepeatedScalarFieldContainer[str]
    rows_per_entity: int
    bytes_per_entity: int
    def __init__(self, kind: _Optional[_Union[ChangeKind, str]] = ..., type: _Optional[str] = ..., name: _Optional[str] = ..., details: _Optional[_Iterable[str]] = ..., rows_per_entity: _Optional[int] = ..., bytes_per_entity: _Optional[int] = ...) -> None: ...

class HoldProjectRequest(_message.Message):
    __slots__ = ("project", "author", "expected_generation")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    project: _project_pb2.Project
    author: str
    expected_generation: str
    def __init__(self, project: _Optional[_Union[_project_pb2.Project, _Mapping]] = ..., author: _Optional[str] = ..., expected_generation: _Optional[str] = ...) -> None: ...

class HoldProjectResponse(_message.Message):
    __slots__ = ("generation", "changes", "held")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    generation: str
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    held: bool
    def __init__(self, generation: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., held: _Optional[bool] = ...) -> None: ...

class SwitchProjectRequest(_message.Message):
    __slots__ = ("generation", "author")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    generation: str
    author: str
    def __init__(self, generation: _Optional[str] = ..., author: _Optional[str] = ...) -> None: ...

class SwitchProjectResponse(_message.Message):
    __slots__ = ("generation", "number")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    generation: str
    number: int
    def __init__(self, generation: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class AbortProjectRequest(_message.Message):
    __slots__ = ("generation", "author")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    generation: str
    author: str
    def __init__(self, generation: _Optional[str] = ..., author: _Optional[str] = ...) -> None: ...

class AbortProjectResponse(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: str
    def __init__(self, generation: _Optional[str] = ...) -> None: ...

class GetProjectRequest(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: str
    def __init__(self, generation: _Optional[str] = ...) -> None: ...

class GetProjectResponse(_message.Message):
    __slots__ = ("project", "generation", "number", "applied_time", "held")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    APPLIED_TIME_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    project: _project_pb2.Project
    generation: str
    number: int
    applied_time: _timestamp_pb2.Timestamp
    held: HeldProject
    def __init__(self, project: _Optional[_Union[_project_pb2.Project, _Mapping]] = ..., generation: _Optional[str] = ..., number: _Optional[int] = ..., applied_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., held: _Optional[_Union[HeldProject, _Mapping]] = ...) -> None: ...

class HeldProject(_message.Message):
    __slots__ = ("project", "generation", "author", "held_time")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    HELD_TIME_FIELD_NUMBER: _ClassVar[int]
    project: _project_pb2.Project
    generation: str
    author: str
    held_time: _timestamp_pb2.Timestamp
    def __init__(self, project: _Optional[_Union[_project_pb2.Project, _Mapping]] = ..., generation: _Optional[str] = ..., author: _Optional[str] = ..., held_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("name", "sha256", "size")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    name: str
    sha256: str
    size: int
    def __init__(self, name: _Optional[str] = ..., sha256: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class Lineage(_message.Message):
    __slots__ = ("run_id", "training_set_digest", "training_set_hash", "cut", "generation", "view_versions", "code_digest", "environment_digest", "seed", "causes", "parent_version", "delta_versions")
    class ViewVersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class DeltaVersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TRAINING_SET_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TRAINING_SET_HASH_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    VIEW_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    CODE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    PARENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    DELTA_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    training_set_digest: str
    training_set_hash: str
    cut: _feature_service_pb2.Cut
    generation: str
    view_versions: _containers.ScalarMap[str, str]
    code_digest: str
    environment_digest: str
    seed: int
    causes: _containers.RepeatedScalarFieldContainer[str]
    parent_version: int
    delta_versions: _containers.ScalarMap[str, int]
    def __init__(self, run_id: _Optional[str] = ..., training_set_digest: _Optional[str] = ..., training_set_hash: _Optional[str] = ..., cut: _Optional[_Union[_feature_service_pb2.Cut, _Mapping]] = ..., generation: _Optional[str] = ..., view_versions: _Optional[_Mapping[str, str]] = ..., code_digest: _Optional[str] = ..., environment_digest: _Optional[str] = ..., seed: _Optional[int] = ..., causes: _Optional[_Iterable[str]] = ..., parent_version: _Optional[int] = ..., delta_versions: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("model", "number", "digest", "artifacts", "stage", "lineage", "metrics", "gate_results", "created_time", "reason", "aliases", "traceparent", "data_time")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    GATE_RESULTS_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    DATA_TIME_FIELD_NUMBER: _ClassVar[int]
    model: str
    number: int
    digest: str
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    stage: Stage
    lineage: Lineage
    metrics: _containers.ScalarMap[str, float]
    gate_results: _containers.RepeatedCompositeFieldContainer[GateResult]
    created_time: _timestamp_pb2.Timestamp
    reason: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    traceparent: str
    data_time: _timestamp_pb2.Timestamp
    def __init__(self, model: _Optional[str] = ..., number: _Optional[int] = ..., digest: _Optional[str] = ..., artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., stage: _Optional[_Union[Stage, str]] = ..., lineage: _Optional[_Union[Lineage, _Mapping]] = ..., metrics: _Optional[_Mapping[str, float]] = ..., gate_results: _Optional[_Iterable[_Union[GateResult, _Mapping]]] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., traceparent: _Optional[str] = ..., data_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GateResult(_message.Message):
    __slots__ = ("gate", "verdict", "value", "ci_low", "ci_high", "threshold", "reason", "evidence", "time")
    class EvidenceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    GATE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CI_LOW_FIELD_NUMBER: _ClassVar[int]
    CI_HIGH_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    gate: str
    verdict: Verdict
    value: float
    ci_low: float
    ci_high: float
    threshold: float
    reason: str
    evidence: _containers.ScalarMap[str, float]
    time: _timestamp_pb2.Timestamp
    def __init__(self, gate: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., value: _Optional[float] = ..., ci_low: _Optional[float] = ..., ci_high: _Optional[float] = ..., threshold: _Optional[float] = ..., reason: _Optional[str] = ..., evidence: _Optional[_Mapping[str, float]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RegisterVersionRequest(_message.Message):
    __slots__ = ("model", "manifest_digest", "artifacts", "lineage", "metrics", "fence", "traceparent", "data_time")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    DATA_TIME_FIELD_NUMBER: _ClassVar[int]
    model: str
    manifest_digest: str
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    lineage: Lineage
    metrics: _containers.ScalarMap[str, float]
    fence: int
    traceparent: str
    data_time: _timestamp_pb2.Timestamp
    def __init__(self, model: _Optional[str] = ..., manifest_digest: _Optional[str] = ..., artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., lineage: _Optional[_Union[Lineage, _Mapping]] = ..., metrics: _Optional[_Mapping[str, float]] = ..., fence: _Optional[int] = ..., traceparent: _Optional[str] = ..., data_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RegisterVersionResponse(_message.Message):
    __slots__ = ("version", "created")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    version: Version
    created: bool
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., created: _Optional[bool] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ("model", "number", "alias")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    model: str
    number: int
    alias: str
    def __init__(self, model: _Optional[str] = ..., number: _Optional[int] = ..., alias: _Optional[str] = ...) -> None: ...

class GetVersionResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: Version
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("model", "limit")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    model: str
    limit: int
    def __init__(self, model: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListVersionsResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[Version]
    def __init__(self, versions: _Optional[_Iterable[_Union[Version, _Mapping]]] = ...) -> None: ...

class MoveAliasRequest(_message.Message):
    __slots__ = ("model", "alias", "number", "expected_generation", "author", "reason")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    number: int
    expected_generation: int
    author: str
    reason: str
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ..., number: _Optional[int] = ..., expected_generation: _Optional[int] = ..., author: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class MoveAliasResponse(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: int
    def __init__(self, generation: _Optional[int] = ...) -> None: ...

class RecordGateResultRequest(_message.Message):
    __slots__ = ("model", "digest", "result")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    model: str
    digest: str
    result: GateResult
    def __init__(self, model: _Optional[str] = ..., digest: _Optional[str] = ..., result: _Optional[_Union[GateResult, _Mapping]] = ...) -> None: ...

class RecordGateResultResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RolloutRow(_message.Message):
    __slots__ = ("model", "state", "table_version", "champion", "champion_digest", "challenger", "challenger_digest", "share", "salt", "previous_champion", "changed_time", "reason")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TABLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CHALLENGER_FIELD_NUMBER: _ClassVar[int]
    CHALLENGER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_CHAMPION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    model: str
    state: RolloutState
    table_version: int
    champion: int
    champion_digest: str
    challenger: int
    challenger_digest: str
    share: float
    salt: str
    previous_champion: int
    changed_time: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, model: _Optional[str] = ..., state: _Optional[_Union[RolloutState, str]] = ..., table_version: _Optional[int] = ..., champion: _Optional[int] = ..., champion_digest: _Optional[str] = ..., challenger: _Optional[int] = ..., challenger_digest: _Optional[str] = ..., share: _Optional[float] = ..., salt: _Optional[str] = ..., previous_champion: _Optional[int] = ..., changed_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class GetRolloutRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class GetRolloutResponse(_message.Message):
    __slots__ = ("rollouts",)
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    rollouts: _containers.RepeatedCompositeFieldContainer[RolloutRow]
    def __init__(self, rollouts: _Optional[_Iterable[_Union[RolloutRow, _Mapping]]] = ...) -> None: ...

class MoveRolloutRequest(_message.Message):
    __slots__ = ("model", "expected_table_version", "move", "reason", "evidence", "author")
    class EvidenceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_TABLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    model: str
    expected_table_version: int
    move: RolloutMove
    reason: str
    evidence: _containers.ScalarMap[str, float]
    author: str
    def __init__(self, model: _Optional[str] = ..., expected_table_version: _Optional[int] = ..., move: _Optional[_Union[RolloutMove, str]] = ..., reason: _Optional[str] = ..., evidence: _Optional[_Mapping[str, float]] = ..., author: _Optional[str] = ...) -> None: ...

class MoveRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: RolloutRow
    def __init__(self, rollout: _Optional[_Union[RolloutRow, _Mapping]] = ...) -> None: ...

class PromoteRequest(_message.Message):
    __slots__ = ("model", "number", "author", "reason")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    model: str
    number: int
    author: str
    reason: str
    def __init__(self, model: _Optional[str] = ..., number: _Optional[int] = ..., author: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PromoteResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: RolloutRow
    def __init__(self, rollout: _Optional[_Union[RolloutRow, _Mapping]] = ...) -> None: ...

class RollBackRequest(_message.Message):
    __slots__ = ("model", "author", "reason")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    model: str
    author: str
    reason: str
    def __init__(self, model: _Optional[str] = ..., author: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RollBackResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: RolloutRow
    def __init__(self, rollout: _Optional[_Union[RolloutRow, _Mapping]] = ...) -> None: ...

class GetLineageRequest(_message.Message):
    __slots__ = ("model", "number")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    model: str
    number: int
    def __init__(self, model: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class GetLineageResponse(_message.Message):
    __slots__ = ("version", "history")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    version: Version
    history: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., history: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("sequence", "action", "subject", "author", "details", "time", "previous_hash", "hash")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_HASH_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    action: str
    subject: str
    author: str
    details: str
    time: _timestamp_pb2.Timestamp
    previous_hash: str
    hash: str
    def __init__(self, sequence: _Optional[int] = ..., action: _Optional[str] = ..., subject: _Optional[str] = ..., author: _Optional[str] = ..., details: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., previous_hash: _Optional[str] = ..., hash: _Optional[str] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("after_sequence", "limit", "subject")
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    after_sequence: int
    limit: int
    subject: str
    def __init__(self, after_sequence: _Optional[int] = ..., limit: _Optional[int] = ..., subject: _Optional[str] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ...) -> None: ...

class VerifyAuditRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyAuditResponse(_message.Message):
    __slots__ = ("intact", "entries", "first_bad_sequence", "problem", "head")
    INTACT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    FIRST_BAD_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    intact: bool
    entries: int
    first_bad_sequence: int
    problem: str
    head: str
    def __init__(self, intact: _Optional[bool] = ..., entries: _Optional[int] = ..., first_bad_sequence: _Optional[int] = ..., problem: _Optional[str] = ..., head: _Optional[str] = ...) -> None: ...
