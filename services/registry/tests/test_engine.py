"""What the engine cannot run is refused when a project is applied, not when events come."""

from __future__ import annotations

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import load, normalise
from tidemill_registry.engine import violations


def flights() -> pb.Project:
    return load("examples/flights/tidemill.yaml")


def fields(project: pb.Project) -> set[str]:
    return {violation.field for violation in violations(normalise(project))}


def test_the_flights_project_can_run() -> None:
    assert violations(normalise(flights())) == []


def test_expressions_that_the_engine_refuses_are_named_by_their_path() -> None:
    project = flights()
    next(view for view in project.views if view.name == "weather").filter = "RANDOM() > 0.5"
    project.on_demand[0].expression = "uuid()"
    project.models[0].label.expression = "SUM(arr_delay)"
    project.models[0].retrain.fire = "labelled_rows"
    assert fields(project) == {
        "views.weather",
        "models.late_arrival.inputs",
        "models.late_arrival.label.expression",
        "models.late_arrival.retrain.fire",
    }


def test_an_expression_of_a_source_that_the_engine_refuses_is_named_by_its_path() -> None:
    rider = pb.Field(name="rider", type=pb.FIELD_TYPE_STRING, required=True)
    stream = pb.Stream(name="ride", key=["rider"], fields=[rider])
    stream.source.CopyFrom(pb.Source(topic="t", format=pb.FORMAT_JSON))
    stream.source.fields["rider"] = "SPLIT_PART(rider, '-', 1)"
    project = normalise(pb.Project(name="p", streams=[stream]))
    (only,) = violations(project)
    assert only.field == "streams.ride.source.fields.rider"
    assert "scalar functions" in only.description


def test_a_mapping_of_a_view_that_the_engine_refuses_is_named_by_its_stream() -> None:
    project = flights()
    view = next(view for view in project.views if view.name == "weather")
    for name in (view.stream, project.models[0].spine.stream):
        view.sources.add(stream=name)
    view.sources[0].columns["origin"] = "SPLIT_PART(origin, '-', 1)"
    view.sources[1].filter = "RANDOM() > 0.5"
    view.stream = ""
    assert {one for one in fields(project) if one.startswith("views.weather")} == {
        "views.weather.sources.weather_observed.columns.origin",
        "views.weather.sources.flight_scheduled.filter",
    }


def test_a_view_that_is_too_large_for_the_engine_is_refused() -> None:
    project = flights()
    view = project.views[0]
    for bound in (4000, 4001, 4002, 4003, 4004):
        one = view.aggregations.add(
            function=pb.FUNCTION_DISTINCT, field="carrier", distinct_bound=bound, name=f"d{bound}"
        )
        one.windows.add().length.FromSeconds(3600)
        one.filter = f"dep_delay > {bound}"
    assert f"views.{view.name}.aggregations" in fields(project)


def test_what_only_the_engine_knows_about_an_aggregation_is_named_by_its_feature() -> None:
    project = flights()
    view = next(view for view in project.views if view.name == "route_arrivals")
    finer = view.aggregations.add(
        function=pb.FUNCTION_HISTOGRAM, field="arr_delay", edges=[2.0**-30, 2.0**-29], name="finer"
    )
    finer.windows.add().length.FromSeconds(3600)
    view.columns.add(name="odd", type=pb.FIELD_TYPE_FLOAT64, expression="RANDOM()")
    view.filter = "odd > 0"
    assert fields(project) == {"views.route_arrivals"}
    view.filter = ""
    assert fields(project) == {
        f"views.route_arrivals.aggregations.finer_{n}_1h.edges" for n in range(3)
    }
