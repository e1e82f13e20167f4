"""One form for equal projects: defaults written out, inputs expanded, sections in name order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import durations, sources
from tidemill.project.naming import PAIRS, feature_names, longest_window_us, prefix_of
from tidemill.project.view_sources import view_streams

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

HOUR_US: Final = durations.UNITS_US["h"]
DAY_US: Final = durations.UNITS_US["d"]
HOPS_US: Final = tuple(durations.parse_us(hop) for hop in ("1s", "10s", "1m", "5m", "1h", "1d"))
MAX_TILES: Final = 512
BOUNDED: Final = frozenset({pb.FUNCTION_DISTINCT, pb.FUNCTION_TOP_K})

DEFAULT_DEDUPE_US: Final = 10 * durations.UNITS_US["m"]
DEFAULT_RETENTION_US: Final = 7 * DAY_US
DEFAULT_LATENESS_US: Final = HOUR_US
DEFAULT_PARTITIONS: Final = 2
DEFAULT_RESOLUTION: Final = {pb.FIELD_TYPE_FLOAT64: 2.0**-20, pb.FIELD_TYPE_INT64: 1.0}
LARGEST_FIXED: Final = 2**48
"""Values are kept as integers of their field's resolution, below this magnitude."""
DEFAULT_DISTINCT: Final = 256
DEFAULT_ERROR: Final = 0.02
DEFAULT_VOCABULARY: Final = 1000
DEFAULT_MAX_DELAY_US: Final = 7 * DAY_US
DEFAULT_FRACTION: Final = 0.15
DEFAULT_MEMORY_MB: Final = 1024
DEFAULT_RUNS_PER_DAY: Final = 24
DEFAULT_MIN_ROWS: Final = 200
DEFAULT_CONFIDENCE: Final = 0.95
DEFAULT_RESAMPLES: Final = 1000
DEFAULT_DIFFERENCE: Final = 1e-5
DEFAULT_LATENCY_MS: Final = 100.0
DEFAULT_REQUESTS: Final = 100
DEFAULT_ERROR_INCREASE: Final = 0.02
DEFAULT_ALPHA: Final = 0.01
DEFAULT_MONITOR_ROWS: Final = 500
DEFAULT_QUIET_DAYS: Final = 30.0
DEFAULT_EFFECT: Final = 0.1
DEFAULT_QUALITY_DROP: Final = 0.05
DEFAULT_SAMPLE: Final = 0.01


def normalise(project: pb.Project) -> pb.Project:
    """Return the project with every default written out; doing it again changes nothing."""
    result = pb.Project()
    result.CopyFrom(project)
    for view in result.views:
        _view(view)
    for stream in result.streams:
        _stream(stream, result)
    for model in result.models:
        _model(model, result)
    for section in (result.streams, result.views, result.on_demand, result.models):
        section.sort(key=lambda definition: definition.name)
    return result


def generation(project: pb.Project) -> str:
    """Return the sha256 of the normalised project: equal for equal meaning."""
    return hashlib.sha256(normalise(project).SerializeToString(deterministic=True)).hexdigest()


def default_hop(window_us: int) -> int | None:
    """Return the smallest standard hop with at most 512 tiles in the window, if there is one."""
    fits = (hop for hop in HOPS_US if window_us % hop == 0 and window_us // hop <= MAX_TILES)
    return next(fits, None)


def lateness_us(stream: pb.Stream, project: pb.Project) -> int:
    """Return how late an event may be: as declared, else the longest window that it can be in."""
    if stream.HasField("lateness"):
        return stream.lateness.ToMicroseconds()
    windows = [longest_window_us(v) for v in project.views if stream.name in view_streams(v)]
    return max(windows, default=0) or DEFAULT_LATENESS_US


def _fill(message: object, name: str, value: object) -> None:
    if not getattr(message, name):
        setattr(message, name, value)


def _span(duration: Duration, us: int) -> None:
    if not duration.ToMicroseconds():
        duration.FromMicroseconds(us)


def _view(view: pb.FeatureView) -> None:
    for aggregation in view.aggregations:
        _fill(aggregation, "name", prefix_of(aggregation))
        if aggregation.function in BOUNDED:
            _fill(aggregation, "distinct_bound", DEFAULT_DISTINCT)
        if aggregation.function == pb.FUNCTION_QUANTILE:
            _fill(aggregation, "error", DEFAULT_ERROR)
        if aggregation.function == pb.FUNCTION_TOP_K and not aggregation.gives:
            aggregation.gives.append(pb.GIVES_VALUE)
        for window in aggregation.windows:
            length = window.length.ToMicroseconds()
            own = aggregation.function not in PAIRS
            if own and length and not window.hop.ToMicroseconds():
                window.hop.FromMicroseconds(default_hop(length) or 0)
    view.sources.sort(key=lambda source: source.stream)
    for column in view.columns:
        if column.type in DEFAULT_RESOLUTION:
            _fill(column, "resolution", DEFAULT_RESOLUTION[column.type])
    if not view.HasField("ttl") and longest_window_us(view):
        view.ttl.FromMicroseconds(longest_window_us(view))


def _stream(stream: pb.Stream, project: pb.Project) -> None:
    lateness = lateness_us(stream, project)
    stream.lateness.FromMicroseconds(lateness)
    _span(stream.dedupe, DEFAULT_DEDUPE_US)
    _span(stream.retention, max(DEFAULT_RETENTION_US, lateness))
    _fill(stream, "partitions", DEFAULT_PARTITIONS)
    for field in stream.fields:
        if field.type in DEFAULT_RESOLUTION:
            _fill(field, "resolution", DEFAULT_RESOLUTION[field.type])
    if stream.HasField("source"):
        sources.fill(stream)


def _model(model: pb.Model, project: pb.Project) -> None:
    expanded = [each for item in model.inputs for each in _expanded(item, project)]
    del model.inputs[:]
    model.inputs.extend(expanded)
    if not model.label.key:
        model.label.key.extend(model.spine.key)
    _span(model.label.max_delay, DEFAULT_MAX_DELAY_US)
    _trainer(model.trainer)
    _fill(model.retrain, "max_runs_per_day", DEFAULT_RUNS_PER_DAY)
    for gate in model.gates:
        _gate(gate)
    _rollout(model.rollout)
    _monitors(model.monitors, model, project)


def _expanded(item: pb.Input, project: pb.Project) -> Iterator[pb.Input]:
    view = next((v for v in project.views if v.name == item.feature.view), None)
    names = feature_names(view) if view and not item.feature.name else [item.feature.name]
    for name in names if item.HasField("feature") else [""]:
        copy = pb.Input()
        copy.CopyFrom(item)
        if copy.HasField("categorical") and not copy.categorical.hash_buckets:
            _fill(copy.categorical, "max_vocabulary", DEFAULT_VOCABULARY)
            _fill(copy.categorical, "min_count", 1)
        if item.HasField("feature"):
            copy.feature.name = name
            _fill(copy.feature, "alias", item.feature.view)
            for field in view.entity if view else ():
                if field not in copy.feature.entity:
                    copy.feature.entity[field] = field
        yield copy


def _trainer(trainer: pb.Trainer) -> None:
    _fill(trainer, "name", "tabular")
    _fill(trainer, "validation_fraction", DEFAULT_FRACTION)
    _fill(trainer, "test_fraction", DEFAULT_FRACTION)
    _fill(trainer.resources, "memory_mb", DEFAULT_MEMORY_MB)
    _fill(trainer.resources, "processes", 1)


def _gate(gate: pb.Gate) -> None:
    kind = gate.WhichOneof("test")
    if kind == "metric_floor":
        _fill(gate.metric_floor, "min_rows", DEFAULT_MIN_ROWS)
    elif kind == "non_inferiority":
        _fill(gate.non_inferiority, "min_rows", DEFAULT_MIN_ROWS)
        _fill(gate.non_inferiority, "confidence", DEFAULT_CONFIDENCE)
        _fill(gate.non_inferiority, "resamples", DEFAULT_RESAMPLES)
    elif kind == "server":
        _fill(gate.server, "max_difference", DEFAULT_DIFFERENCE)
        _fill(gate.server, "max_latency_p99_ms", DEFAULT_LATENCY_MS)


def _rollout(rollout: pb.Rollout) -> None:
    _fill(rollout, "min_requests", DEFAULT_REQUESTS)
    _fill(rollout, "max_error_increase", DEFAULT_ERROR_INCREASE)
    _fill(rollout, "latency_slo_ms", DEFAULT_LATENCY_MS)
    _fill(rollout, "alpha", DEFAULT_ALPHA)


def _monitors(monitors: pb.Monitors, model: pb.Model, project: pb.Project) -> None:
    _span(monitors.window, DAY_US)
    _fill(monitors, "min_rows", DEFAULT_MONITOR_ROWS)
    _fill(monitors, "days_between_false_pages", DEFAULT_QUIET_DAYS)
    _fill(monitors, "effect_floor", DEFAULT_EFFECT)
    regression = model.label.task == pb.TASK_REGRESSION
    _fill(monitors, "quality_metric", "rmse" if regression else "log_loss")
    _fill(monitors, "quality_drop", DEFAULT_QUALITY_DROP)
    _fill(monitors, "vector_sample", DEFAULT_SAMPLE)
    if not monitors.fields:
        monitors.fields.extend(_watched(model, project))


def _watched(model: pb.Model, project: pb.Project) -> Iterator[str]:
    """Yield the numeric fields of every stream that the model uses."""
    views = {item.feature.view for item in model.inputs}
    used = {name for v in project.views if v.name in views for name in view_streams(v)}
    used |= {model.spine.stream, model.label.stream}
    for stream in sorted(project.streams, key=lambda stream: stream.name):
        for field in stream.fields:
            if stream.name in used and field.type in DEFAULT_RESOLUTION:
                yield f"{stream.name}.{field.name}"
