"""A project says the same to the engine, to the SDK and to Kafka."""

from __future__ import annotations

import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import NotFound
from tidemill.project import feature_names, loads, normalise
from tidemill_common.feature_views import stream_of, stream_spec, view_spec, view_specs
from tidemill_tiles.fieldtypes import FieldType

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


@pytest.fixture(scope="module")
def project() -> project_pb2.Project:
    loaded = loads(PROJECT)
    assert not loaded.problems
    return normalise(loaded.project)


def test_the_engine_names_features_as_the_sdk_does(project: project_pb2.Project) -> None:
    assert list(view_spec(project, "users").features) == list(feature_names(project.views[0]))


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
