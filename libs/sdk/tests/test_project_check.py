"""Every mistake that a project file can hold is named with its path, its line and a way out."""

from __future__ import annotations

import pytest

from tidemill.project import check, load, loads
from tidemill.project.problems import Problem

GOOD = """\
project: rides
streams:
  ride:
    key: [rider]
    event_time_field: at
    event_id_field: id
    fields:
      id: {type: string, required: true}
      rider: {type: string, required: true}
      city: string
      at: {type: timestamp, required: true}
      fare: {type: float64, unit: USD, minimum: 0, maximum: 1000}
      seats: int64
  paid:
    key: [rider]
    fields:
      rider: {type: string, required: true}
      tip: float64
      late: bool
views:
  city_rides:
    stream: ride
    entity: [city]
    filter: fare > 0
    aggregations:
      - {function: mean, field: fare, windows: [1h, 1d]}
      - {function: count, windows: [lifetime]}
on_demand:
  fare_ratio: {type: float64, expression: fare / city_rides__mean_fare_1h}
models:
  tip:
    spine: {stream: ride, key: [rider]}
    inputs:
      - {view: city_rides}
      - {on_demand: fare_ratio}
      - {field: city, categorical: {max_vocabulary: 10}}
    label: {stream: paid, expression: CAST(tip > 1 AS DOUBLE), max_delay: 2d, task: binary}
    retrain: {fire: labelled_rows > 100 OR NOT has_champion, hold: data_alerts > 0}
    gates:
      - {name: floor, metric_floor: {metric: auc, bound: 0.6}}
    rollout: {canary: 0.1}
    monitors: {window: 1d, fields: [ride.fare]}
"""


def problems(old: str = "", new: str = "") -> list[Problem]:
    assert old in GOOD
    return loads(GOOD.replace(old, new, 1) if old else GOOD).problems


MISTAKES = [
    # form
    ("streams:\n", "strems: {}\nstreams:\n", "strems", "did you mean 'streams'"),
    ("unit: USD", "unti: USD", "streams.ride.fields.fare.unti", "did you mean 'unit'"),
    ("key: [rider]\n    event", "key: rider\n    event", "streams.ride.key", "expected a list"),
    ("minimum: 0", "minimum: low", "streams.ride.fields.fare.minimum", "expected a number"),
    ("city: string", "city: text", "streams.ride.fields.city", "expected one of bool"),
    ("city: string", "city: srting", "streams.ride.fields.city", "did you mean 'string'"),
    ("project: rides", "project: 7", "project", "put it in quotes"),
    ("max_delay: 2d", "max_delay: 2 days", "models.tip.label.max_delay", "not a duration"),
    ("max_delay: 2d", "max_delay: 200", "models.tip.label.max_delay", "expected a duration"),
    ("max_delay: 2d", "max_delay: 9999999w", "models.tip.label.max_delay", "longer than 100 years"),
    ("task: binary", "task: binry", "models.tip.label.task", "did you mean 'binary'"),
    ("  paid:", "  ride:", "streams.ride", "stands here twice (first in line 3)"),
    ("{view: city_rides}", "{veiw: city_rides}", "models.tip.inputs[0]", "did you mean 'view'"),
    ("{view: city_rides}", "{view: x, field: y}", "models.tip.inputs[0]", "got field and view"),
    (
        "- {field: city, cat",
        "- {field: city, alias: c, cat",
        "models.tip.inputs[2].alias",
        "not with field",
    ),
    # names
    ("project: rides", "project: My_Rides", "project", "does not match [a-z][a-z0-9-]*"),
    ("  city_rides:\n", "  CityRides:\n", "views.CityRides", "does not match [a-z][a-z0-9_]*"),
    ("      seats:", "      a__b:", "streams.ride.fields.a__b", "two underscores"),
    # streams
    ("key: [rider]\n    event", "key: [ridr]\n    event", "streams.ride.key[0]", "'rider'?"),
    ("key: [rider]\n    event", "key: [fare]\n    event", "streams.ride.key[0]", "cannot be a key"),
    ("key: [rider]\n    event", "key: [city]\n    event", "streams.ride.key[0]", "must be required"),
    ("key: [rider]\n    event", "event", "streams.ride.key", "needs a key"),
    ("event_time_field: at", "event_time_field: id", "streams.ride.event_time_field", "timestamp"),
    ("event_id_field: id", "event_id_field: at", "streams.ride.event_id_field", "a string"),
    ("minimum: 0", "minimum: 2000", "streams.ride.fields.fare.minimum", "above the maximum"),
    ("city: string", "city: {type: string, minimum: 1}", "streams.ride.fields.city.minimum", "only"),
    ("unit: USD", 'unit: " "', "streams.ride.fields.fare.unit", "is not a unit"),
    ("unit: USD", "resolution: -1", "streams.ride.fields.fare.resolution", "not positive"),
    ("unit: USD", "resolution: 1e-300", "streams.ride.fields.fare.resolution", "from 1e-30 to"),
    ("minimum: 0", "minimum: -3e8", "streams.ride.fields.fare.minimum", "within ±2.68435e+08"),
    ("maximum: 1000", "maximum: 3e8", "streams.ride.fields.fare.maximum", "is never reached"),
    ("city: string", "city: {}", "streams.ride.fields.city.type", "needs a type"),
    (
        "    event_time_field: at",
        "    retention: 1h\n    lateness: 2h\n    event_time_field: at",
        "streams.ride.retention",
        "1h is shorter than the lateness 2h",
    ),
    (
        "    event_time_field: at",
        "    retention: 1s\n    event_time_field: at",
        "streams.ride.retention",
        "the longest window unless it is declared",
    ),
    ("    event_time_field: at", "    partitions: 999", "streams.ride.partitions", "out of range"),
    # views
    ("stream: ride\n", "stream: rides\n", "views.city_rides.stream", "did you mean 'ride'"),
    ("entity: [city]", "entity: [town]", "views.city_rides.entity[0]", "has no field 'town'"),
    ("entity: [city]", "entity: [fare]", "views.city_rides.entity[0]", "cannot be a key"),
    ("entity: [city]", "entity: []", "views.city_rides.entity", "needs an entity"),
    ("filter: fare > 0", "filter: fare", "views.city_rides.filter", "expected a bool"),
    ("filter: fare > 0", "filter: fair > 0", "views.city_rides.filter", "did you mean 'fare'"),
    ("filter: fare > 0", "filter: fare >", "views.city_rides.filter", "not an SQL expression"),
    ("filter: fare > 0", "filter: fare > city", "views.city_rides.filter", "not fit the types"),
    ("filter: fare > 0", "filter: SUM(fare) > 0", "views.city_rides.filter", "an aggregate"),
    ("filter: fare > 0", "filter: fare AS x", "views.city_rides.filter", "an alias is not"),
    ("filter: fare > 0", "filter: COLUMNS(*)", "views.city_rides.filter", "more than one column"),
    ("filter: fare > 0", "filter: " + "fare + " * 500 + "1", "views.city_rides.filter", "so deep"),
    ("filter: fare > 0", "filter: at < now()", "views.city_rides.filter", "reads the clock"),
    ("filter: fare > 0", "filter: fare > (SELECT 1)", "views.city_rides.filter", "a subquery"),
    (
        "{function: mean, field: fare",
        "{function: mean, field: city",
        "views.city_rides.aggregations[0].function",
        "is a string",
    ),
    (
        "{function: mean, field: fare",
        "{function: mean",
        "views.city_rides.aggregations[0].field",
        "mean needs a field",
    ),
    (
        "{function: mean, field: fare",
        "{function: mean, field: far",
        "views.city_rides.aggregations[0].field",
        "did you mean 'fare'",
    ),
    (
        "{function: count,",
        "{function: count, field: fare,",
        "views.city_rides.aggregations[1].field",
        "takes no field",
    ),
    (
        "[1h, 1d]",
        "[7h, {length: 1h, hop: 7m}]",
        "views.city_rides.aggregations[0].windows[1].hop",
        "not a multiple of its hop",
    ),
    (
        "[1h, 1d]",
        "[{length: 1d, hop: 1s}]",
        "views.city_rides.aggregations[0].windows[0].hop",
        "86400 tiles in a window, at most 512",
    ),
    ("[1h, 1d]", "[601s]", "views.city_rides.aggregations[0].windows[0]", "no hop with at most"),
    ("[1h, 1d]", "[1h, 60m]", "views.city_rides.aggregations[0].windows[1]", "declared twice"),
    ("[1h, 1d]", "[0s]", "views.city_rides.aggregations[0].windows[0]", "longer than zero"),
    ("[1h, 1d]", "[]", "views.city_rides.aggregations[0].windows", "needs a window"),
    (
        "[lifetime]",
        "[{hop: 1h}]",
        "views.city_rides.aggregations[1].windows[0].hop",
        "a lifetime has no hop",
    ),
    (
        "- {function: count, windows: [lifetime]}",
        "- {function: mean, field: fare, windows: [1h]}",
        "views.city_rides.aggregations[1].name",
        "also given by aggregations[0]",
    ),
    (
        "[lifetime]",
        "[lifetime], distinct_bound: 5",
        "views.city_rides.aggregations[1].distinct_bound",
        "only distinct and top_k can have one",
    ),
    ("entity: [city]", "entity: [city, city]", "views.city_rides.entity[1]", "stands here twice"),
    ("key: [rider]\n    event", "key: [rider, rider]\n    event", "streams.ride.key[1]", "stands here twice"),
    (
        "- {function: count, windows: [lifetime]}",
        "- {function: quantile, field: fare, quantiles: [0.5, 0.50], windows: [1h]}",
        "views.city_rides.aggregations[1].quantiles",
        "stands here twice",
    ),
    # on-demand
    ("fare / city", "fair / city", "on_demand.fare_ratio.expression", "did you mean 'fare'"),
    ("type: float64, expr", "type: bool, expr", "on_demand.fare_ratio.expression", "expected a bool"),
    (
        "fare / city_rides__mean_fare_1h}",
        "fare + other}\n  other: {type: float64, expression: fare_ratio + 1}",
        "on_demand.fare_ratio.expression",
        "computed from itself: fare_ratio -> other -> fare_ratio",
    ),
    # models
    ("spine: {stream: ride,", "spine: {stream: rid,", "models.tip.spine.stream", "no stream 'rid'"),
    ("key: [rider]}\n", "key: [rider], time: id}\n", "models.tip.spine.time", "expected a timestamp"),
    ("- {view: city_rides}", "- {view: city_ride}", "models.tip.inputs[0].view", "'city_rides'?"),
    (
        "- {view: city_rides}",
        "- {view: city_rides, name: mean_fare_2h}",
        "models.tip.inputs[0].name",
        "has no feature",
    ),
    (
        "- {view: city_rides}",
        "- {view: city_rides, entity: {town: city}}",
        "models.tip.inputs[0].entity.town",
        "no entity field",
    ),
    (
        "- {view: city_rides}",
        "- {view: city_rides, entity: {city: seats}}",
        "models.tip.inputs[0].entity.city",
        "a int64, the entity's 'city' a string",
    ),
    (", categorical: {max_vocabulary: 10}", "", "models.tip.inputs[2]", "needs categorical"),
    (
        "{max_vocabulary: 10}",
        "{max_vocabulary: 10, hash_buckets: 3}",
        "models.tip.inputs[2].categorical",
        "exclude each other",
    ),
    ("- {field: city, cat", "- {field: fare, cat", "models.tip.inputs[2].categorical", "float64"),
    ("- {field: city, categorical: {max_vocabulary: 10}}", "- {field: at}", "models.tip.inputs[2]", "timestamp"),
    (
        "- {field: city, categorical: {max_vocabulary: 10}}",
        "- {on_demand: fare_ratio}",
        "models.tip.inputs[2]",
        "is also inputs[1]",
    ),
    ("{stream: paid, exp", "{stream: pad, exp", "models.tip.label.stream", "did you mean 'paid'"),
    ("CAST(tip > 1 AS DOUBLE)", "rider", "models.tip.label.expression", "expected a number"),
    ("max_delay: 2d,", "max_delay: 2d, key: [rider, tip],", "models.tip.label.key", "spine's key has 1"),
    ("max_delay: 2d,", "max_delay: 2d, key: [tip],", "models.tip.label.key[0]", "the spine's 'rider'"),
    ("labelled_rows > 100", "labeled_rows > 100", "models.tip.retrain.fire", "'labelled_rows'?"),
    ("hold: data_alerts > 0", "hold: data_alerts", "models.tip.retrain.hold", "expected a bool"),
    ("metric: auc", "metric: rmse", "models.tip.gates[0].metric_floor.metric", "no metric of a binary"),
    (", metric_floor: {metric: auc, bound: 0.6}", "", "models.tip.gates[0]", "needs a test"),
    (
        "metric_floor: {metric: auc, bound: 0.6}",
        "non_inferiority: {metric: auc, margin: -1}",
        "models.tip.gates[0].non_inferiority.margin",
        "negative",
    ),
    (
        "metric_floor: {metric: auc, bound: 0.6}",
        "non_inferiority: {metric: auc, confidence: 95}",
        "models.tip.gates[0].non_inferiority.confidence",
        "from 0.5 to below 1",
    ),
    ("rollout: {canary: 0.1}", "rollout: {canary: 2}", "models.tip.rollout.canary", "out of range"),
    ("[ride.fare]", "[ride.fair]", "models.tip.monitors.fields[0]", "did you mean 'fare'"),
    ("[ride.fare]", "[fare]", "models.tip.monitors.fields[0]", "not of the form stream.field"),
]  # fmt: skip


@pytest.mark.parametrize("source", ["topic: t, format: xml", "topic: t", "format: avro, schema: x"])
def test_a_source_that_cannot_be_read_is_a_mistake_and_no_crash_of_its_models(source: str) -> None:
    found = problems(
        "    event_id_field: id\n", f"    event_id_field: id\n    source: {{{source}}}\n"
    )
    assert found
    assert all(problem.path.startswith("streams.ride.source") for problem in found)


def test_a_good_project_has_no_problems() -> None:
    assert problems() == []


def test_the_flights_project_has_no_problems() -> None:
    assert load("examples/flights/tidemill.yaml").name == "flights"


@pytest.mark.parametrize(("old", "new", "path", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_path_and_line(
    old: str, new: str, path: str, said: str
) -> None:
    found = {problem.path: problem for problem in problems(old, new)}
    assert path in found, found
    assert said in str(found[path])
    assert found[path].line > 0


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("event_id_field: id", "event_id_field: nope")
    text = text.replace("filter: fare > 0", "filter: fare >").replace("canary: 0.1", "canary: 7")
    found = loads(text).problems
    assert [problem.path for problem in found] == [
        "streams.ride.event_id_field",
        "views.city_rides.filter",
        "models.tip.rollout.canary",
    ]
    assert [problem.line for problem in found] == [6, 24, 41]


def test_a_value_that_could_not_be_read_is_not_reported_a_second_time() -> None:
    found = problems("windows: [lifetime]", "windows: lifetime")
    assert [problem.path for problem in found] == ["views.city_rides.aggregations[1].windows"]


def test_a_message_without_a_file_is_checked_by_the_same_rules() -> None:
    project = loads(GOOD).project
    project.models[0].spine.stream = "gone"
    (found,) = check(project)
    assert found.path == "models.tip.spine.stream"
    assert found.line == 0
