"""Checks models: spine, inputs, label, trainer, policy, gates, rollout, monitors."""

from __future__ import annotations

import re
from typing import Final

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Rejected
from tidemill.project import expressions
from tidemill.project.check_views import feature_columns
from tidemill.project.inputs import model_inputs
from tidemill.project.naming import SEPARATOR, feature_names
from tidemill.project.problems import did_you_mean
from tidemill.project.rules import Context, check_name, columns_of, in_range, positive
from tidemill.project.view_sources import view_fields

KEY_TYPES: Final = frozenset({pb.FIELD_TYPE_STRING, pb.FIELD_TYPE_INT64, pb.FIELD_TYPE_BOOL})
SIGNALS: Final = {
    "labelled_rows": pb.FIELD_TYPE_FLOAT64,
    "labelled_rows_total": pb.FIELD_TYPE_FLOAT64,
    "age_s": pb.FIELD_TYPE_FLOAT64,
    "quality_drop": pb.FIELD_TYPE_FLOAT64,
    "quality_labels": pb.FIELD_TYPE_FLOAT64,
    "drift_alerts": pb.FIELD_TYPE_FLOAT64,
    "data_alerts": pb.FIELD_TYPE_FLOAT64,
    "has_champion": pb.FIELD_TYPE_BOOL,
    "failed_runs": pb.FIELD_TYPE_FLOAT64,
}
METRICS: Final = {
    pb.TASK_BINARY: ("auc", "log_loss", "brier", "ece"),
    pb.TASK_REGRESSION: ("rmse", "mae"),
}
MAX_HASH: Final = 1 << 20
MAX_PROCESSES: Final = 64
RESAMPLES: Final = (100, 100_000)
UNRESOLVED: Final = re.compile(r"(on_demand|views)\.|streams\.[^.]*\.source")
"""Mistakes with which the inputs of a model cannot be told."""


def check_model(context: Context, model: pb.Model) -> None:
    """Check one model against the project."""
    path = f"models.{model.name}"
    check_name(context.report, path, model.name)
    spine = _spine(context, f"{path}.spine", model)
    _label(context, f"{path}.label", model, spine)
    before = len(context.report.problems)
    _inputs(context, f"{path}.inputs", model, spine)
    if spine is not None and len(context.report.problems) == before:
        _resolves(context, f"{path}.inputs", model)
    _trainer(context, f"{path}.trainer", model.trainer)
    _retrain(context, f"{path}.retrain", model.retrain)
    _gates(context, f"{path}.gates", model)
    _rollout(context, f"{path}.rollout", model.rollout)
    _monitors(context, f"{path}.monitors", model)


def _spine(context: Context, path: str, model: pb.Model) -> pb.Stream | None:
    spine = model.spine
    stream = context.stream(f"{path}.stream", spine.stream)
    if not spine.key:
        hint = "key: [<field>] joins a prediction with its label"
        context.report.add(f"{path}.key", "a spine needs a key", hint)
    if stream is None:
        return None
    for index, name in enumerate(spine.key):
        where = f"{path}.key[{index}]"
        found = context.field(where, stream, name)
        if found is not None and found.type not in KEY_TYPES:
            context.report.add(where, f"a {context.typed(found)} cannot be a key")
    time = context.field(f"{path}.time", stream, spine.time) if spine.time else None
    if time is not None and time.type != pb.FIELD_TYPE_TIMESTAMP:
        message = f"{time.name!r} is a {context.typed(time)}, expected a timestamp"
        context.report.add(f"{path}.time", message)
    return stream


def _label(context: Context, path: str, model: pb.Model, spine: pb.Stream | None) -> None:
    label, report = model.label, context.report
    if label.task == pb.TASK_UNSPECIFIED:
        report.add(f"{path}.task", "a label needs a task", "task: binary or task: regression")
    if label.HasField("max_delay"):
        positive(report, f"{path}.max_delay", label.max_delay.ToMicroseconds())
    stream = context.stream(f"{path}.stream", label.stream)
    if not label.expression:
        report.add(
            f"{path}.expression", "a label needs an expression", "for example CAST(x AS DOUBLE)"
        )
    elif stream is not None:
        where = f"{path}.expression"
        context.expression(
            where, label.expression, columns_of(stream), what="the label", gives="number"
        )
    if spine is None or stream is None:
        return
    if label.key and len(label.key) != len(model.spine.key):
        message = f"{len(label.key)} fields, but the spine's key has {len(model.spine.key)}"
        report.add(f"{path}.key", message, f"spine key: {', '.join(model.spine.key)}")
        return
    _label_key(context, path, model, spine, stream)


def _label_key(
    context: Context, path: str, model: pb.Model, spine: pb.Stream, stream: pb.Stream
) -> None:
    spine_types = columns_of(spine)
    for index, (ours, theirs) in enumerate(
        zip(model.spine.key, model.label.key or model.spine.key, strict=True)
    ):
        where = f"{path}.key[{index}]" if model.label.key else f"{path}.key"
        found = context.field(where, stream, theirs)
        if found is not None and ours in spine_types and found.type != spine_types[ours]:
            kind = pb.FieldType.Name(spine_types[ours]).removeprefix("FIELD_TYPE_").lower()
            message = f"{theirs!r} is a {context.typed(found)}, the spine's {ours!r} a {kind}"
            context.report.add(where, message)


def _inputs(context: Context, path: str, model: pb.Model, spine: pb.Stream | None) -> None:
    if not model.inputs:
        context.report.add(path, "a model needs at least one input")
    names: dict[str, int] = {}
    for index, item in enumerate(model.inputs):
        where = f"{path}[{index}]"
        if item.HasField("feature"):
            given = _feature(context, where, item.feature, spine)
        elif item.HasField("on_demand"):
            given = _on_demand(context, where, item)
        elif item.HasField("field"):
            given = _field(context, where, item, spine)
        else:
            context.report.add(
                where, "an input is a view's feature, an on-demand feature or a field"
            )
            continue
        _categorical(context, f"{where}.categorical", item)
        for name in given:
            first = names.setdefault(name, index)
            if first != index:
                hint = "an alias makes two uses of a view different"
                context.report.add(where, f"input {name!r} is also inputs[{first}]", hint)


def _feature(context: Context, path: str, ref: pb.FeatureRef, spine: pb.Stream | None) -> list[str]:
    report = context.report
    view = context.views.get(ref.view)
    if view is None:
        report.add(f"{path}.view", f"no view {ref.view!r}", did_you_mean(ref.view, context.views))
        return []
    if ref.alias:
        check_name(report, f"{path}.alias", ref.alias)
        if ref.alias in context.views and ref.alias != ref.view:
            report.add(f"{path}.alias", f"{ref.alias!r} is the name of another view")
    known = feature_names(view)
    if ref.name and ref.name not in known:
        message = f"view {view.name!r} has no feature {ref.name!r}"
        report.add(f"{path}.name", message, did_you_mean(ref.name, known))
    for key in ref.entity:
        if key not in view.entity:
            message = f"{key!r} is no entity field of view {view.name!r}"
            report.add(f"{path}.entity.{key}", message, did_you_mean(key, view.entity))
    if spine is not None:
        _entity(context, path, ref, view, spine)
    return [
        f"{ref.alias or ref.view}{SEPARATOR}{name}" for name in ([ref.name] if ref.name else known)
    ]


def _entity(
    context: Context, path: str, ref: pb.FeatureRef, view: pb.FeatureView, spine: pb.Stream
) -> None:
    types = {field.name: field.type for field in view_fields(view, context.streams.values())}
    for key in view.entity:
        name = ref.entity.get(key, key)
        where = f"{path}.entity.{key}"
        if key not in ref.entity and name not in columns_of(spine):
            message = f"spine {spine.name!r} has no field {key!r} for the entity of {view.name!r}"
            context.report.add(where, message, f"entity: {{{key}: <field of {spine.name}>}}")
            continue
        found = context.field(where, spine, name)
        if found is not None and key in types and found.type != types[key]:
            kind = pb.FieldType.Name(types[key]).removeprefix("FIELD_TYPE_").lower()
            message = f"{name!r} is a {context.typed(found)}, the entity's {key!r} a {kind}"
            context.report.add(where, message)


def _on_demand(context: Context, path: str, item: pb.Input) -> list[str]:
    one = context.on_demand.get(item.on_demand)
    if one is None:
        hint = did_you_mean(item.on_demand, context.on_demand)
        context.report.add(f"{path}.on_demand", f"no on-demand feature {item.on_demand!r}", hint)
        return []
    _needs_encoding(context, path, item, one.type)
    return [item.on_demand]


def _field(context: Context, path: str, item: pb.Input, spine: pb.Stream | None) -> list[str]:
    found = context.field(f"{path}.field", spine, item.field) if spine is not None else None
    if found is not None:
        _needs_encoding(context, path, item, found.type)
    return [item.field]


def _needs_encoding(context: Context, path: str, item: pb.Input, kind: pb.FieldType) -> None:
    encoded = item.HasField("categorical")
    if kind == pb.FIELD_TYPE_TIMESTAMP:
        hint = "make a number of it in an on-demand feature"
        context.report.add(path, "a timestamp cannot be an input", hint)
    elif kind == pb.FIELD_TYPE_STRING and not encoded:
        hint = "categorical: {max_vocabulary: 1000} or {hash_buckets: 64}"
        context.report.add(path, "a string input needs categorical", hint)
    elif kind == pb.FIELD_TYPE_FLOAT64 and encoded:
        context.report.add(f"{path}.categorical", "a float64 cannot be categorical")


def _categorical(context: Context, path: str, item: pb.Input) -> None:
    if not item.HasField("categorical"):
        return
    encoding, report = item.categorical, context.report
    if item.HasField("feature"):
        report.add(path, "a view's features are numbers and cannot be categorical")
    if encoding.hash_buckets and encoding.max_vocabulary:
        hint = "remove one of them"
        report.add(path, "hash_buckets and max_vocabulary exclude each other", hint)
    for name, high in (
        ("max_vocabulary", MAX_HASH),
        ("hash_buckets", MAX_HASH),
        ("embedding", 1024),
    ):
        in_range(report, f"{path}.{name}", getattr(encoding, name), 0, high)
    in_range(report, f"{path}.min_count", encoding.min_count, 0, 2**31)
    if encoding.hash_buckets == 1:
        report.add(f"{path}.hash_buckets", "one bucket holds every value", "use 2 or more")


def _resolves(context: Context, path: str, model: pb.Model) -> None:
    """Every column of the model's expressions must exist for this model's spine and aliases."""
    if any(UNRESOLVED.match(problem.path) for problem in context.report.problems):
        return
    try:
        resolved = model_inputs(context.project, model)
    except Rejected as error:
        context.report.add(path, error.message)
        return
    spine = context.streams[model.spine.stream]
    columns = columns_of(spine)
    for one in resolved.features:
        columns |= feature_columns(one.alias, context.views[one.view])
    columns |= {one.name: one.type for one in resolved.on_demand}
    for one in resolved.on_demand:
        checked = expressions.inspect(one.expression, columns)
        if checked.message:
            where = f"on_demand.{one.name}.expression"
            context.report.add(where, f"for model {model.name!r}: {checked.message}", checked.hint)
    for one in resolved.features:
        ref = pb.FeatureRef(view=one.view, entity=dict(one.entity))
        _entity(context, path, ref, context.views[one.view], spine)


def _trainer(context: Context, path: str, trainer: pb.Trainer) -> None:
    report = context.report
    if trainer.name:
        check_name(report, f"{path}.name", trainer.name)
    for name in ("validation_fraction", "test_fraction"):
        in_range(report, f"{path}.{name}", getattr(trainer, name), 0, 0.5)
    if trainer.HasField("lookback"):
        positive(report, f"{path}.lookback", trainer.lookback.ToMicroseconds())
    in_range(report, f"{path}.max_rows", trainer.max_rows, 0, 2**62)
    in_range(report, f"{path}.resources.gpus", trainer.resources.gpus, 0, MAX_PROCESSES)
    in_range(report, f"{path}.resources.processes", trainer.resources.processes, 0, MAX_PROCESSES)
    in_range(report, f"{path}.resources.memory_mb", trainer.resources.memory_mb, 0, 2**40)


def _retrain(context: Context, path: str, policy: pb.RetrainPolicy) -> None:
    for name in ("fire", "hold"):
        sql = getattr(policy, name)
        if sql:
            context.expression(f"{path}.{name}", sql, SIGNALS, what=f"{name}", gives="bool")
    in_range(context.report, f"{path}.max_runs_per_day", policy.max_runs_per_day, 0, 10_000)


def _gates(context: Context, path: str, model: pb.Model) -> None:
    report = context.report
    names: dict[str, int] = {}
    for index, gate in enumerate(model.gates):
        where = f"{path}[{index}]"
        check_name(report, f"{where}.name", gate.name)
        first = names.setdefault(gate.name, index)
        if first != index and gate.name:
            report.add(f"{where}.name", f"gate {gate.name!r} is also gates[{first}]")
        kind = gate.WhichOneof("test")
        if kind is None:
            hint = "one of schema, metric_floor, non_inferiority, server"
            report.add(f"{where}", "a gate needs a test", hint)
        elif kind == "metric_floor":
            _metric(context, f"{where}.metric_floor.metric", gate.metric_floor.metric, model)
            in_range(report, f"{where}.metric_floor.min_rows", gate.metric_floor.min_rows, 0, 2**31)
        elif kind == "non_inferiority":
            _non_inferiority(context, f"{where}.non_inferiority", gate.non_inferiority, model)
        elif kind == "server":
            high = 1e9
            in_range(report, f"{where}.server.max_difference", gate.server.max_difference, 0, high)
            latency = gate.server.max_latency_p99_ms
            in_range(report, f"{where}.server.max_latency_p99_ms", latency, 0, high)


def _non_inferiority(context: Context, path: str, gate: pb.NonInferiority, model: pb.Model) -> None:
    report = context.report
    _metric(context, f"{path}.metric", gate.metric, model)
    if gate.margin < 0:
        hint = "how much worse is still accepted"
        report.add(f"{path}.margin", f"{gate.margin:g} is negative", hint)
    if gate.confidence and not 0.5 <= gate.confidence < 1:
        message = f"{gate.confidence:g} is out of range: from 0.5 to below 1"
        report.add(f"{path}.confidence", message, "for example 0.95")
    if gate.resamples:
        in_range(report, f"{path}.resamples", gate.resamples, *RESAMPLES)
    in_range(report, f"{path}.min_rows", gate.min_rows, 0, 2**31)


def _metric(context: Context, path: str, metric: str, model: pb.Model) -> None:
    known = METRICS.get(model.label.task, ())
    if known and metric not in known:
        task = pb.Task.Name(model.label.task).removeprefix("TASK_").lower()
        message = f"{metric!r} is no metric of a {task} model" if metric else "a metric is missing"
        context.report.add(path, message, f"known: {', '.join(known)}")


def _rollout(context: Context, path: str, rollout: pb.Rollout) -> None:
    report = context.report
    in_range(report, f"{path}.canary", rollout.canary, 0, 1)
    in_range(report, f"{path}.shadow", rollout.shadow, 0, 1)
    in_range(report, f"{path}.max_error_increase", rollout.max_error_increase, 0, 1)
    in_range(report, f"{path}.alpha", rollout.alpha, 0, 0.5)
    in_range(report, f"{path}.min_requests", rollout.min_requests, 0, 2**31)
    in_range(report, f"{path}.latency_slo_ms", rollout.latency_slo_ms, 0, 600_000)


def _monitors(context: Context, path: str, model: pb.Model) -> None:
    monitors, report = model.monitors, context.report
    if monitors.HasField("window"):
        positive(report, f"{path}.window", monitors.window.ToMicroseconds())
    if monitors.quality_metric:
        _metric(context, f"{path}.quality_metric", monitors.quality_metric, model)
    in_range(report, f"{path}.min_rows", monitors.min_rows, 0, 2**31)
    in_range(
        report, f"{path}.days_between_false_pages", monitors.days_between_false_pages, 0, 36_500
    )
    in_range(report, f"{path}.effect_floor", monitors.effect_floor, 0, 1)
    in_range(report, f"{path}.quality_drop", monitors.quality_drop, 0, 1e9)
    in_range(report, f"{path}.vector_sample", monitors.vector_sample, 0, 1)
    for index, watched in enumerate(monitors.fields):
        where = f"{path}.fields[{index}]"
        name, dot, field = watched.partition(".")
        if not dot:
            report.add(where, f"{watched!r} is not of the form stream.field")
            continue
        stream = context.stream(where, name)
        if stream is not None:
            context.field(where, stream, field)
