"""Pure: whether the feature engine and its expressions can really run a project.

The rules of a project file are the SDK's; this asks the code that will do the work, so that no
service meets a definition that it cannot run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Misconfigured, Violation
from tidemill.project import model_inputs, sources
from tidemill.project.check_models import SIGNALS
from tidemill_common import feature_views
from tidemill_common.on_demand import OnDemand
from tidemill_tiles.expressions import compile_expression
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.validation import validate


def violations(project: pb.Project) -> list[Violation]:
    """Name what cannot run in a normalised project that has no mistakes otherwise."""
    found = [violation for view in project.views for violation in _view(project, view)]
    for stream in project.streams:
        if stream.HasField("source"):
            found.extend(_source(stream))
    for model in project.models:
        found.extend(_model(project, model))
    return found


def _source(stream: pb.Stream) -> Iterator[Violation]:
    path, source = f"streams.{stream.name}.source", stream.source
    known = {
        name: feature_views.FIELD_TYPES[kind] for name, kind in sources.columns_of(stream).items()
    }
    types = feature_views.field_types(stream)
    for name, sql in source.fields.items():
        yield from _sql(f"{path}.fields.{name}", sql, known, types[name])
    yield from _sql(f"{path}.filter", source.filter, known, FieldType.BOOL)
    yield from _sql(f"{path}.id", source.id, known, FieldType.STRING)
    for name in ("time", "available"):
        yield from _sql(f"{path}.{name}", getattr(source, name), known, FieldType.TIMESTAMP)


def _view(project: pb.Project, view: pb.FeatureView) -> Iterator[Violation]:
    path = f"views.{view.name}"
    mapping = [
        violation for source in view.sources for violation in _mapping(project, path, source)
    ]
    if mapping:
        yield from mapping
        return
    try:
        definition = feature_views.view_definition(project, view)
    except Misconfigured as error:
        yield Violation(path, error.message)
        return
    for violation in validate(definition):
        yield Violation(f"{path}.{violation.field}", violation.description)


def _mapping(project: pb.Project, path: str, source: pb.ViewSource) -> Iterator[Violation]:
    types = feature_views.field_types(feature_views.stream_of(project, source.stream))
    where = f"{path}.sources.{source.stream}"
    for name, text in source.columns.items():
        if text not in types:
            yield from _sql(f"{where}.columns.{name}", text, types, None)
    yield from _sql(f"{where}.filter", source.filter, types, FieldType.BOOL)


def _model(project: pb.Project, model: pb.Model) -> Iterator[Violation]:
    path = f"models.{model.name}"
    try:
        OnDemand.of(model_inputs(project, model))
    except Misconfigured as error:
        yield Violation(f"{path}.inputs", error.message)
    stream = feature_views.stream_of(project, model.label.stream)
    columns = feature_views.field_types(stream)
    yield from _sql(f"{path}.label.expression", model.label.expression, columns, None)
    signals = {name: feature_views.FIELD_TYPES[kind] for name, kind in SIGNALS.items()}
    for name in ("fire", "hold"):
        sql = getattr(model.retrain, name)
        yield from _sql(f"{path}.retrain.{name}", sql, signals, FieldType.BOOL)


def _sql(
    path: str, sql: str, columns: Mapping[str, FieldType], result: FieldType | None
) -> Iterator[Violation]:
    try:
        if sql:
            compile_expression(sql, columns, result)
    except Misconfigured as error:
        yield Violation(path, error.message)
