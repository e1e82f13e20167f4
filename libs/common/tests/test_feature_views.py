"""A project says the same to the engine, to the SDK and to Kafka."""

from __future__ import annotations

import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import NotFound
from tidemill.project import feature_names, load, loads, normalise
from tidemill_common.feature_views import (
    FUNCTIONS,
    stream_of,
    stream_spec,
    view_spec,
    view_specs,
)
from tidemill_tiles.definitions import Function
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.validation import validate

PROJECT = """
project: shop
streams:
  visits:
    key: [user]
    partitions: 3
    fields:
      user: {type: string, required: true}
      seconds: {type: int64}
      amount: {type: float64, resolution: 0.01}
  quick:
    key: [user]
    lateness: 90s
    dedupe: 5m
    fields:
      user: {type: string, required: true}
views:
  users:
    stream: visits
    entity: [user]
    filter: seconds > 3
    aggregations:
      - {function: count, windows: [90m, 24h, lifetime]}
      - {function: mean, field: amount, name: spent, windows: [7d, 30s]}
      - {function: sum, field: amount, filter: seconds < 60, name: short, windows: [1h]}
"""
MORE = """
  minutes:
    stream: visits
    entity: [user]
    columns:
      rate: {type: float64, expression: amount / seconds, resolution: 0.5}
      unused: {type: float64, expression: amount * 2}
    aggregations:
      - {function: count, filter: rate > 1, windows: [1h]}
      - {function: ewma, field: rate, half_life: 1m, windows: [1h], default: -1}
      - {function: quantile, field: amount, quantiles: [0.5, 0.9], windows: [1h, lifetime]}
      - {function: top_k, field: seconds, k: 2, gives: [value, share], windows: [1h]}
      - {function: histogram, field: seconds, edges: [1, 60], windows: [1h]}
      - {function: last_k, field: seconds, k: 2, windows: [1h]}
      - {function: rate, windows: [1h]}
      - {function: time_since_last, windows: [1h]}
      - {function: ratio, of: [rate, time_since_last], windows: [1h], name: busy}
      - {function: difference, of: [rate_1h, busy_1h], name: odd}
"""
BOTH = """
  both:
    entity: [user]
    sources:
      - stream: visits
        columns: {from: "'far'"}
        filter: seconds > 3
      - stream: quick
        columns: {amount: CAST(NULL AS DOUBLE), from: "'near'"}
    filter: amount IS NOT NULL OR near
    columns:
      near: {type: bool, expression: '"from" = ''near'''}
    aggregations:
      - {function: sum, field: amount, windows: [2h]}
      - {function: distinct, field: from, windows: [2h]}
"""


@pytest.fixture(scope="module")
def project() -> project_pb2.Project:
    loaded = loads(PROJECT)
    assert not loaded.problems
    return normalise(loaded.project)


def test_the_engine_names_features_as_the_sdk_does(project: project_pb2.Project) -> None:
    assert list(view_spec(project, "users").features) == list(feature_names(project.views[0]))


def test_every_function_of_a_project_file_becomes_one_of_the_engine() -> None:
    text = (PROJECT + MORE).replace("busy_1h", "time_since_last_1h")
    loaded = loads(text)
    assert loaded.problems == []
    project = normalise(loaded.project)
    spec = view_spec(project, "minutes")
    view = next(view for view in project.views if view.name == "minutes")
    assert list(spec.features) == list(feature_names(view))
    assert validate(spec.definition) == ()
    assert spec.plan.features == spec.features
    (derived,) = spec.definition.derived
    assert (derived.field.name, derived.field.step) == ("rate", 0.5)
    assert {field.name for field in spec.definition.fields} == {"amount", "seconds"}
    ewma = next(one for one in spec.definition.aggregations if one.function is Function.EWMA)
    assert (ewma.half_life_us, ewma.default, ewma.window_us) == (60_000_000, -1.0, 3_600_000_000)
    busy = next(one for one in spec.definition.aggregations if one.name == "busy_1h")
    assert (busy.operands, busy.window_us) == (("rate_1h", "time_since_last_1h"), None)
    assert {one.function for one in spec.definition.aggregations} == set(FUNCTIONS.values()) - {
        Function.SUM, Function.MEAN, Function.VAR, Function.STD, Function.MIN, Function.MAX,
        Function.FIRST, Function.LAST, Function.DISTINCT,
    }  # fmt: skip
    assert set(FUNCTIONS.values()) == set(Function)


def test_the_versions_of_older_projects_stay_as_they_were() -> None:
    flights = view_specs(normalise(load("examples/flights/tidemill.yaml")))
    assert flights["weather"].version == "2432b46cddf1"
    assert flights["route_arrivals"].version == "4d6e865e3c24"


def test_only_the_fields_that_are_read_belong_to_the_definition(
    project: project_pb2.Project,
) -> None:
    definition = view_spec(project, "users").definition
    assert {field.name: field.type for field in definition.fields} == {
        "seconds": FieldType.INT64,
        "amount": FieldType.FLOAT64,
    }


def test_a_log_has_the_partitions_of_its_stream(project: project_pb2.Project) -> None:
    view = view_spec(project, "users")
    (log,) = view.logs()
    assert log.name == f"features.users.{view.version}.visits"
    assert log.partitions == 3


def test_a_view_over_several_streams_has_a_log_for_each_with_its_partitions() -> None:
    project = normalise(loads(PROJECT + BOTH).project)
    view = view_spec(project, "both")
    assert view.streams == ("quick", "visits")
    assert [(log.name, log.partitions) for log in view.logs()] == [
        (f"features.both.{view.version}.quick", 2),
        (f"features.both.{view.version}.visits", 3),
    ]


def test_the_engine_knows_what_each_stream_must_have_for_a_view_over_several() -> None:
    loaded = loads(PROJECT + BOTH)
    assert loaded.problems == []
    definition = view_spec(normalise(loaded.project), "both").definition
    assert validate(definition) == ()
    assert sorted((one.name, one.type, one.step) for one in definition.fields) == [
        ("amount", FieldType.FLOAT64, 0.01),
        ("from", FieldType.STRING, 1.0),
    ]
    quick, visits = definition.sources
    assert dict(quick.columns) == {
        "user": "user", "amount": "CAST(NULL AS DOUBLE)", "from": "'near'",
    }  # fmt: skip
    assert dict(visits.columns) == {"user": "user", "amount": "amount", "from": "'far'"}
    assert [field.name for field in quick.fields] == ["user"]
    assert [field.name for field in visits.fields] == ["amount", "seconds", "user"]
    assert (quick.filter, visits.filter) == (None, "seconds > 3")
    # Tiles are kept for the stream whose events may be the latest: both windows are its default.
    assert definition.lateness_us == 7 * 86_400 * 1_000_000


def test_the_version_changes_when_a_value_could_and_not_else(project: project_pb2.Project) -> None:
    described, finer = project_pb2.Project(), project_pb2.Project()
    described.CopyFrom(project)
    described.views[0].description = "visits of a user"
    finer.CopyFrom(project)
    stream_of(finer, "visits").fields[2].resolution = 0.001
    version = view_spec(project, "users").version
    assert view_spec(described, "users").version == version
    assert view_spec(finer, "users").version != version


def test_bounds_are_as_declared_or_their_defaults(project: project_pb2.Project) -> None:
    visits, quick = stream_spec(project, "visits"), stream_spec(project, "quick")
    assert (visits.partitions, quick.partitions) == (3, 2)
    assert visits.lateness_us == 7 * 86_400 * 1_000_000  # the longest window of its views
    assert visits.dedupe_us == 600 * 1_000_000
    assert (quick.lateness_us, quick.dedupe_us) == (90 * 1_000_000, 300 * 1_000_000)


def test_a_name_that_is_not_there_is_not_found(project: project_pb2.Project) -> None:
    assert set(view_specs(project)) == {"users"}
    with pytest.raises(NotFound, match="nobody"):
        view_spec(project, "nobody")
    with pytest.raises(NotFound, match="nothing"):
        stream_spec(project, "nothing")
