"""Finds every mistake of a project at once: names, references, types, expressions, numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.project import check_models, check_sources, check_views
from tidemill.project.durations import text_of
from tidemill.project.normalise import DEFAULT_RESOLUTION, LARGEST_FIXED, lateness_us
from tidemill.project.problems import Location, Problem, Report
from tidemill.project.rules import Context, check_name, in_range, is_resolution, positive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

from tidemill.definitions.v1 import project_pb2 as pb

KEY_TYPES = frozenset({pb.FIELD_TYPE_STRING, pb.FIELD_TYPE_INT64, pb.FIELD_TYPE_BOOL})
NUMBERS = frozenset({pb.FIELD_TYPE_INT64, pb.FIELD_TYPE_FLOAT64})
MAX_PARTITIONS = 256
MAX_UNIT = 24


def check(project: pb.Project, locations: Mapping[str, Location] | None = None) -> list[Problem]:
    """Return every mistake; an empty list means that the project can be applied.

    `locations` are those of `read`: with them each problem has its file and line.
    """
    report = Report(locations or {})
    context = Context(project, report)
    check_name(report, "project", project.name, dashes=True)
    if not project.streams:
        report.add("streams", "a project needs at least one stream")
    _unique(context)
    for stream in project.streams:
        _stream(context, stream)
    for view in project.views:
        check_views.check_view(context, view)
    check_views.check_on_demand(context)
    for model in project.models:
        check_models.check_model(context, model)
    return report.sorted()


def _unique(context: Context) -> None:
    """Names are mapping keys in files, but a message made otherwise may repeat one."""
    for section, names in context.names():
        for name in sorted({name for name in names if names.count(name) > 1}):
            context.report.add(f"{section}.{name}", f"{name!r} is declared twice")
    views = {view.name for view in context.project.views}
    for feature in context.project.on_demand:
        if feature.name in views:
            path = f"on_demand.{feature.name}"
            context.report.add(path, f"{feature.name!r} is also the name of a view")


def _stream(context: Context, stream: pb.Stream) -> None:
    report, path = context.report, f"streams.{stream.name}"
    check_name(report, path, stream.name)
    if not stream.fields:
        report.add(f"{path}.fields", "a stream needs at least one field")
    for field in stream.fields:
        _field(report, f"{path}.fields.{field.name}", field)
    if not stream.key:
        hint = "key: [<field>] chooses the partition of an event"
        report.add(f"{path}.key", "a stream needs a key", hint)
    for index, name in enumerate(stream.key):
        where = f"{path}.key[{index}]"
        found = context.field(where, stream, name)
        if found is None:
            continue
        if found.type not in KEY_TYPES:
            report.add(where, f"{name!r} is a {context.typed(found)}, which cannot be a key")
        elif not found.required:
            report.add(where, f"{name!r} is a key and must be required", "add required: true")
        if name in stream.key[:index]:
            report.add(where, f"{name!r} stands here twice")
    _attribute(context, f"{path}.event_time_field", stream, stream.event_time_field, "timestamp")
    _attribute(context, f"{path}.event_id_field", stream, stream.event_id_field, "string")
    _spans(context, path, stream)
    if stream.HasField("source"):
        check_sources.check_source(context, stream)


def _attribute(context: Context, path: str, stream: pb.Stream, name: str, type_name: str) -> None:
    found = context.field(path, stream, name) if name else None
    if found is None:
        return
    if context.typed(found) != type_name:
        context.report.add(path, f"{name!r} is a {context.typed(found)}, expected a {type_name}")
    elif not found.required:
        context.report.add(path, f"{name!r} must be required", "add required: true")


def _spans(context: Context, path: str, stream: pb.Stream) -> None:
    report = context.report
    for name in ("dedupe", "retention"):
        if stream.HasField(name):
            positive(report, f"{path}.{name}", getattr(stream, name).ToMicroseconds())
    lateness, retention = lateness_us(stream, context.project), stream.retention.ToMicroseconds()
    if lateness < 0:
        report.add(f"{path}.lateness", "a lateness cannot be negative")
    if stream.HasField("retention") and lateness > retention:
        bound = f"the lateness {text_of(lateness)}"
        if not stream.HasField("lateness"):
            bound += ", which is the longest window unless it is declared"
        hint = "late events could no longer be read again"
        report.add(f"{path}.retention", f"{text_of(retention)} is shorter than {bound}", hint)
    in_range(report, f"{path}.partitions", stream.partitions, 0, MAX_PARTITIONS)


def _reachable(report: Report, path: str, field: pb.Field, bounded: Sequence[str]) -> None:
    """Check that what may be a value can be held in steps of the field's resolution."""
    step = field.resolution or DEFAULT_RESOLUTION[field.type]
    largest = LARGEST_FIXED * step
    for name in bounded:
        bound = getattr(field, name)
        if abs(bound) >= largest:
            held = f"{bound:g} is never reached: values lie within ±{largest:g}"
            report.add(f"{path}.{name}", held, "2^48 times the resolution; declare a coarser one")


def _field(report: Report, path: str, field: pb.Field) -> None:
    check_name(report, path, field.name)
    if field.type == pb.FIELD_TYPE_UNSPECIFIED:
        report.add(f"{path}.type", "a field needs a type", "for example type: float64")
        return
    bounded = [name for name in ("minimum", "maximum") if field.HasField(name)]
    for name in bounded:
        if field.type not in NUMBERS:
            report.add(f"{path}.{name}", "only int64 and float64 fields have bounds")
    if len(bounded) == 2 and field.minimum > field.maximum:
        report.add(f"{path}.minimum", f"{field.minimum:g} is above the maximum {field.maximum:g}")
    if field.resolution and field.type in {pb.FIELD_TYPE_STRING, pb.FIELD_TYPE_BOOL}:
        report.add(f"{path}.resolution", "only numbers and timestamps have a resolution")
    elif is_resolution(report, path, field.resolution) and field.type in NUMBERS:
        _reachable(report, path, field, bounded)
    if field.unit and field.type not in NUMBERS:
        report.add(f"{path}.unit", "only int64 and float64 fields have a unit")
    elif len(field.unit) > MAX_UNIT or field.unit.strip() != field.unit:
        report.add(f"{path}.unit", f"{field.unit!r} is not a unit", "for example min, USD or km/h")
