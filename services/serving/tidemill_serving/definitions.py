"""What serving needs to know of one model of the current project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill.project.inputs import model_inputs
from tidemill_common.feature_views import stream_of
from tidemill_common.on_demand import OnDemand, feature_array, field_array
from tidemill_serving.fields import RequestFields
from tidemill_serving.rollout import Rules

if TYPE_CHECKING:
    from tidemill.definitions.v1 import project_pb2 as pb
    from tidemill.project.inputs import ModelInputs, ResolvedInput

DEFAULT_SAMPLE: Final = 0.01
DEFAULT_SLO_MS: Final = 100.0
DEFAULT_REQUESTS: Final = 200
DEFAULT_INCREASE: Final = 0.02
DEFAULT_ALPHA: Final = 0.01


@dataclass(frozen=True, slots=True)
class EntityRead:
    """One read of a view: which row values make the entity, which features go to which columns."""

    view: str
    places: tuple[int, ...]
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model's requests, reads and rules, compiled once per generation of the project."""

    name: str
    generation: str
    fields: RequestFields
    inputs: ModelInputs
    reads: tuple[EntityRead, ...]
    on_demand: OnDemand
    rules: Rules
    latency_slo_us: int
    vector_sample: float
    shadow: float

    @property
    def views(self) -> frozenset[str]:
        """The views that a prediction reads."""
        return frozenset(read.view for read in self.reads)


def model_specs(project: pb.Project, generation: str) -> dict[str, ModelSpec]:
    """Compile every model of a normalised project."""
    return {model.name: model_spec(project, model, generation) for model in project.models}


def model_spec(project: pb.Project, model: pb.Model, generation: str) -> ModelSpec:
    """Compile one model; Invalid, NotFound or Misconfigured if the project does not hold."""
    inputs = model_inputs(project, model)
    on_demand = OnDemand.of(inputs)
    spine = stream_of(project, model.spine.stream)
    time = model.spine.time or spine.event_time_field
    fields = RequestFields.of(
        _declared(spine, time, inputs),
        list(model.spine.key),
        _needed(inputs, on_demand),
        time,
        [field.name for field in spine.fields],
    )
    rollout, monitors = model.rollout, model.monitors
    sampled = monitors.vector_sample if model.HasField("monitors") else DEFAULT_SAMPLE
    return ModelSpec(
        name=model.name,
        generation=generation,
        fields=fields,
        inputs=inputs,
        reads=tuple(_reads(inputs, fields)),
        on_demand=on_demand,
        rules=Rules(
            min_requests=rollout.min_requests or DEFAULT_REQUESTS,
            max_increase=rollout.max_error_increase or DEFAULT_INCREASE,
            alpha=rollout.alpha or DEFAULT_ALPHA,
        ),
        latency_slo_us=round((rollout.latency_slo_ms or DEFAULT_SLO_MS) * 1000),
        vector_sample=sampled,
        shadow=rollout.shadow,
    )


def warm_up(spec: ModelSpec) -> None:
    """Evaluate the expressions once: the first time costs seconds that no request shall wait."""
    known = {one.name: feature_array(np.array([np.nan])) for one in spec.inputs.features}
    known.update({one.name: field_array(one, [None]) for one in spec.inputs.fields})
    spec.on_demand.compute(known)


def _declared(spine: pb.Stream, time: str, inputs: ModelInputs) -> list[pb.Field]:
    """Return the fields of a request, and the spine's time field if it has one."""
    declared = list(inputs.fields)
    if all(field.name != time for field in declared):
        declared += [field for field in spine.fields if field.name == time]
    return declared


def _needed(inputs: ModelInputs, on_demand: OnDemand) -> set[str]:
    """Names of the fields that change the answer; others only join it with its label."""
    used = {one.name for one in inputs.inputs if one.kind == "field"}
    used.update(source for one in inputs.features for _, source in one.entity)
    return used | on_demand.columns


def _reads(inputs: ModelInputs, fields: RequestFields) -> list[EntityRead]:
    columns: dict[tuple[str, tuple[tuple[str, str], ...]], list[ResolvedInput]] = {}
    for one in inputs.features:
        columns.setdefault((one.view, one.entity), []).append(one)
    return [
        EntityRead(
            view,
            tuple(fields.places[source] for _, source in entity),
            tuple((one.name, one.feature) for one in ones),
        )
        for (view, entity), ones in columns.items()
    ]
