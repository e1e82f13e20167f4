"""What one view is, as the reply of DescribeView: every default filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.project import model_inputs
from tidemill_common.feature_views import stream_spec
from tidemill_tiles.bounds import error_bound
from tidemill_tiles.definitions import Function, normalised
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.plan import cost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.duration_pb2 import Duration

    from tidemill.definitions.v1 import project_pb2
    from tidemill_common.feature_views import ViewSpec
    from tidemill_tiles.definitions import Aggregation, Field


def describe(
    project: project_pb2.Project, view: ViewSpec, generation: str, logs: Sequence[pb.ViewState]
) -> pb.DescribeViewResponse:
    """Write what a view of this project is, and the state of its logs."""
    declared = next(one for one in project.views if one.name == view.name)
    whole, costs = normalised(view.definition), cost(view.definition)
    response = pb.DescribeViewResponse(
        view=view.name,
        version=view.version,
        generation=generation,
        description=declared.description,
        entity=[_field(one, resolution=False) for one in view.definition.entity],
        fields=[_field(one) for one in whole.fields],
        filter=whole.filter or "",
        streams=[_stream(project, view, name) for name in view.streams],
        features=[_feature(one) for one in whole.aggregations],
        logs=logs,
        models=_models(project, view.name),
        rows_per_entity=costs.rows_per_entity,
        bytes_per_entity=costs.bytes_per_entity,
    )
    for one in whole.derived:
        column = _field(one.field)
        column.expression = one.expression
        response.fields.append(column)
    _set(response.ttl, whole.ttl_us)
    return response


def add_next(response: pb.DescribeViewResponse, view: ViewSpec, coming: pb.NextGeneration) -> None:
    """Add how far a view's next version is, and which features it adds and removes."""
    response.next.CopyFrom(coming)
    del response.next.views[:]
    response.next.views.extend(one for one in coming.views if one.view == view.name)
    names = [one.name for one in response.features]
    response.added_features.extend(name for name in view.features if name not in names)
    response.removed_features.extend(name for name in names if name not in view.features)


def _field(field: Field, *, resolution: bool = True) -> pb.ViewField:
    kept = resolution and field.type is not FieldType.STRING
    return pb.ViewField(
        name=field.name,
        type=f"FIELD_TYPE_{field.type.upper()}",
        resolution=field.step if kept else 0.0,
    )


def _stream(project: project_pb2.Project, view: ViewSpec, name: str) -> pb.ViewStream:
    spec = stream_spec(project, name)
    message = pb.ViewStream(
        stream=name,
        key=spec.key,
        partitions=spec.partitions,
        topic=spec.topic.name,
        log=view.log(name).name,
    )
    _set(message.lateness, spec.lateness_us)
    _set(message.dedupe, spec.dedupe_us)
    _set(message.retention, spec.retention_us)
    return message


def _feature(one: Aggregation) -> pb.ViewFeature:
    message = pb.ViewFeature(
        name=one.name,
        function=f"FUNCTION_{one.function.upper()}",
        field=one.field or "",
        filter=one.filter or "",
        error_bound=error_bound(one),
        operands=one.operands,
        part=", ".join(_part(one)),
        default=one.default,
    )
    _set(message.window, one.window_us)
    _set(message.hop, one.hop_us)
    return message


def _part(one: Aggregation) -> Iterator[str]:
    """Say what tells a feature from the others of its aggregation."""
    if one.half_life_us is not None:
        yield f"half-life {one.half_life_us / 1e6:g} s"
    if one.quantile is not None:
        yield f"quantile {one.quantile:g}"
    if one.function is Function.HISTOGRAM and one.place is not None:
        low = f"{one.edges[one.place - 1]:g}" if one.place else "-inf"
        high = f"{one.edges[one.place]:g}" if one.place < len(one.edges) else "inf"
        yield f"bin {one.place}: {low} to {high}"
    elif one.place is not None:
        yield f"place {one.place}"
    if one.gives is not None:
        yield str(one.gives)


def _models(project: project_pb2.Project, view: str) -> list[str]:
    """Name the models that read a view, also by an on-demand feature."""
    return [
        model.name
        for model in project.models
        if any(name == view for name, _ in model_inputs(project, model).entities)
    ]


def _set(target: Duration, us: int | None) -> None:
    if us is not None:
        target.FromMicroseconds(us)
