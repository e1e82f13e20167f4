"""Normalised projects, their generation, the names of features and a model's inputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Invalid, NotFound
from tidemill.project import (
    check,
    feature_names,
    generation,
    load,
    loads,
    model_inputs,
    normalise,
)
from tidemill.project.durations import parse_us, text_of
from tidemill.project.normalise import default_hop

FLIGHTS = "examples/flights/tidemill.yaml"

TWICE = """\
project: p
streams:
  s:
    key: [id]
    fields:
      id: {type: string, required: true}
      origin: {type: string, required: true}
      dest: {type: string, required: true}
      x: float64
  w:
    key: [place]
    fields: {place: {type: string, required: true}, temp: float64}
views:
  weather:
    stream: w
    entity: [place]
    aggregations: [{function: last, field: temp, windows: [3h]}]
on_demand:
  colder: {type: float64, expression: from__last_temp_3h - to__last_temp_3h}
  much_colder: {type: bool, expression: colder > x}
models:
  m:
    spine: {stream: s, key: [id]}
    inputs:
      - {on_demand: much_colder}
      - {view: weather, alias: from, entity: {place: origin}}
      - {view: weather, alias: to, entity: {place: dest}}
    label: {stream: s, expression: x, task: regression}
"""


def test_normalising_twice_changes_nothing() -> None:
    once = normalise(load(FLIGHTS))
    assert normalise(once) == once
    assert generation(once) == generation(load(FLIGHTS))


def test_the_order_of_definitions_does_not_make_a_new_generation() -> None:
    project = load(FLIGHTS)
    turned = pb.Project()
    turned.CopyFrom(project)
    turned.streams.sort(key=lambda stream: stream.name, reverse=True)
    assert generation(turned) == generation(project)


def test_a_changed_window_makes_a_new_generation() -> None:
    project = load(FLIGHTS)
    before = generation(project)
    project.views[0].aggregations[0].windows[0].length.FromSeconds(7200)
    assert generation(project) != before


def test_defaults_are_written_out() -> None:
    project = normalise(loads(TWICE).project)
    stream, model = project.streams[1], project.models[0]
    assert stream.name == "w"
    assert stream.partitions == 2
    assert stream.lateness.ToSeconds() == 3 * 3600
    assert stream.dedupe.ToSeconds() == 600
    window = project.views[0].aggregations[0].windows[0]
    assert window.hop.ToSeconds() == 60
    assert list(model.label.key) == ["id"]
    assert model.monitors.quality_metric == "rmse"
    assert list(model.monitors.fields) == ["s.x", "w.temp"]


@pytest.mark.parametrize(("declared", "days"), [("", 90), ("    lateness: 1d\n", 7)])
def test_a_topic_is_kept_for_a_week_and_for_as_long_as_events_may_be_late(
    declared: str, days: int
) -> None:
    text = TWICE.replace("  w:\n", f"  w:\n{declared}").replace("[3h]", "[10s, 3h, 90d]")
    loaded = loads(text)
    project = normalise(loaded.project)
    assert loaded.problems == check(project) == []
    assert project.streams[1].retention.ToSeconds() == days * 86_400


def test_an_input_without_a_name_becomes_every_feature_of_its_view() -> None:
    project = normalise(load(FLIGHTS))
    names = [item.feature.name for item in project.models[0].inputs[:3]]
    assert names == ["mean_dep_delay_1h", "mean_dep_delay_3h", "count_1h"]
    assert dict(project.models[0].inputs[0].feature.entity) == {"origin": "origin"}


def test_features_are_named_by_prefix_and_window() -> None:
    view = pb.FeatureView(
        aggregations=[
            pb.Aggregation(function=pb.FUNCTION_COUNT, windows=[pb.Window()]),
            pb.Aggregation(function=pb.FUNCTION_SUM, field="x", name="total"),
        ]
    )
    for seconds in (5400, 86_400, 604_800):
        view.aggregations[1].windows.add().length.FromSeconds(seconds)
    assert feature_names(view) == ["count_lifetime", "total_90m", "total_1d", "total_7d"]


@pytest.mark.parametrize(
    ("window", "hop"),
    [("5m", "1s"), ("1h", "10s"), ("3h", "1m"), ("12h", "5m"), ("1d", "5m"), ("7d", "1h")],
)
def test_the_default_hop_is_the_smallest_with_512_tiles(window: str, hop: str) -> None:
    assert default_hop(parse_us(window)) == parse_us(hop)


@given(st.integers(min_value=1, max_value=10**15))
def test_a_duration_reads_back_from_its_text(us: int) -> None:
    assert parse_us(text_of(us)) == us


def test_inputs_resolve_in_order_with_everything_they_are_computed_from() -> None:
    resolved = model_inputs(loads(TWICE).project, "m")
    assert [one.name for one in resolved.inputs] == [
        "much_colder",
        "from__last_temp_3h",
        "to__last_temp_3h",
    ]
    assert [one.name for one in resolved.on_demand] == ["colder", "much_colder"]
    assert [field.name for field in resolved.fields] == ["x", "origin", "dest", "id"]
    assert resolved.entities == (
        ("weather", (("place", "origin"),)),
        ("weather", (("place", "dest"),)),
    )


def test_a_feature_that_only_an_expression_uses_is_read_but_is_no_input() -> None:
    text = TWICE.replace("      - {view: weather, alias: to, entity: {place: dest}}\n", "")
    text = text.replace("to__last", "weather__last").replace("{place: {type", "{origin: {type")
    text = text.replace("key: [place]", "key: [origin]").replace(
        "entity: [place]", "entity: [origin]"
    )
    text = text.replace("{place: origin}", "{origin: dest}")
    loaded = loads(text)
    assert loaded.problems == []
    resolved = model_inputs(loaded.project, "m")
    assert [one.name for one in resolved.features] == [
        "from__last_temp_3h",
        "weather__last_temp_3h",
    ]
    assert len(resolved.inputs) == 2


def test_numeric_and_categorical_inputs_keep_their_order() -> None:
    resolved = model_inputs(load(FLIGHTS), "late_arrival")
    assert [one.name for one in resolved.categorical] == ["weekday", "carrier", "origin", "dest"]
    assert [one.name for one in resolved.numeric][-3:] == ["delay_trend", "hour", "distance"]


def test_an_unknown_model_or_broken_input_is_refused() -> None:
    project = load(FLIGHTS)
    with pytest.raises(NotFound, match="no model 'x'"):
        model_inputs(project, "x")
    project.models[0].inputs.add().feature.view = "gone"
    with pytest.raises(Invalid, match="no such feature"):
        model_inputs(project, "late_arrival")
