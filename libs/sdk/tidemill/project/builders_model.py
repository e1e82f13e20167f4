"""The Python form of models and of the project as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tidemill.project.builders import OnDemand, Span, Stream, _Made, _Named
from tidemill.project.builders_view import FeatureView

Metric = Literal["auc", "log_loss", "brier", "ece", "rmse", "mae"]


@dataclass(frozen=True)
class Categorical(_Made):
    """How a categorical value becomes an index."""

    max_vocabulary: int | None = None
    min_count: int | None = None
    hash_buckets: int | None = None
    embedding: int | None = None


@dataclass(frozen=True, kw_only=True)
class Input(_Made):
    """One input of a model; made by feature(), computed() and request()."""

    view: str | FeatureView | None = None
    name: str | None = None
    entity: Mapping[str, str] | None = None
    alias: str | None = None
    on_demand: str | None = None
    field: str | None = None
    categorical: Categorical | None = None


def feature(
    view: str | FeatureView,
    name: str | None = None,
    *,
    entity: Mapping[str, str] | None = None,
    alias: str | None = None,
) -> Input:
    """Use one feature of a view, or all of them."""
    return Input(view=view, name=name, entity=entity, alias=alias)


def computed(name: str | OnDemand, *, categorical: Categorical | None = None) -> Input:
    """Use an on-demand feature."""
    return Input(on_demand=name if isinstance(name, str) else name.name, categorical=categorical)


def request(field: str, *, categorical: Categorical | None = None) -> Input:
    """Use a field that the client sends."""
    return Input(field=field, categorical=categorical)


@dataclass(frozen=True)
class Spine(_Made):
    """The stream whose events say when a prediction is wanted."""

    stream: str | Stream
    key: Sequence[str]
    time: str | None = None
    include_self: bool | None = None


@dataclass(frozen=True)
class Label(_Made):
    """What really happened."""

    stream: str | Stream
    expression: str
    task: Literal["binary", "regression"]
    max_delay: Span | None = None
    key: Sequence[str] | None = None


@dataclass(frozen=True)
class Resources(_Made):
    """What a run needs."""

    gpus: int | None = None
    memory_mb: int | None = None
    processes: int | None = None


@dataclass(frozen=True)
class Trainer(_Made):
    """How a version is trained."""

    name: str | None = None
    parameters: Mapping[str, float] | None = None
    seed: int | None = None
    max_rows: int | None = None
    lookback: Span | None = None
    validation_fraction: float | None = None
    test_fraction: float | None = None
    resources: Resources | None = None


@dataclass(frozen=True)
class RetrainPolicy(_Made):
    """When a model is trained again."""

    fire: str
    hold: str | None = None
    debounce: Span | None = None
    cooldown: Span | None = None
    max_runs_per_day: int | None = None


@dataclass(frozen=True)
class SchemaGate(_Made):
    """Inputs, order and digests agree with the definition."""


@dataclass(frozen=True)
class MetricFloor(_Made):
    """A metric on the test rows reaches a bound."""

    metric: Metric
    bound: float
    min_rows: int | None = None


@dataclass(frozen=True)
class NonInferiority(_Made):
    """Not worse than the champion."""

    metric: Metric
    margin: float
    confidence: float | None = None
    min_rows: int | None = None
    resamples: int | None = None


@dataclass(frozen=True)
class ServerGate(_Made):
    """Parity and latency in the real server."""

    max_difference: float | None = None
    max_latency_p99_ms: float | None = None


@dataclass(frozen=True)
class Gate(_Made):
    """A named test; give exactly one."""

    name: str
    schema: SchemaGate | None = None
    metric_floor: MetricFloor | None = None
    non_inferiority: NonInferiority | None = None
    server: ServerGate | None = None


@dataclass(frozen=True)
class Rollout(_Made):
    """How a version that passed its gates takes over."""

    canary: float | None = None
    min_requests: int | None = None
    max_error_increase: float | None = None
    latency_slo_ms: float | None = None
    alpha: float | None = None
    shadow: float | None = None


@dataclass(frozen=True)
class Monitors(_Made):
    """What is watched."""

    window: Span | None = None
    min_rows: int | None = None
    days_between_false_pages: float | None = None
    effect_floor: float | None = None
    quality_metric: Metric | None = None
    quality_drop: float | None = None
    vector_sample: float | None = None
    fields: Sequence[str] | None = None


@dataclass(frozen=True)
class Model(_Named):
    """What a model predicts from what, and what decides about it."""

    spine: Spine
    inputs: Sequence[Input]
    label: Label
    trainer: Trainer | None = None
    retrain: RetrainPolicy | None = None
    gates: Sequence[Gate] | None = None
    rollout: Rollout | None = None
    monitors: Monitors | None = None
    description: str | None = None


@dataclass(frozen=True)
class Project(_Made):
    """A whole project; a project file names it `project`."""

    project: str
    streams: Sequence[Stream]
    views: Sequence[FeatureView] = ()
    on_demand: Sequence[OnDemand] = ()
    models: Sequence[Model] = ()
