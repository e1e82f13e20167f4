"""Aggregations with parameters and columns of a view: their features, and mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import feature_names, loads, normalise, read

YAML = """\
project: rides
streams:
  ride:
    key: [rider]
    fields:
      rider: {type: string, required: true}
      city: string
      fare: float64
      metres: int64
views:
  city:
    stream: ride
    entity: [city]
    columns:
      per_km: {type: float64, expression: fare / (metres / 1000.0), resolution: 0.01}
    aggregations:
      - {function: rate, windows: [1h]}
      - {function: rate, field: fare, windows: [1h], default: 0}
      - {function: time_since_last, windows: [lifetime]}
      - {function: count, windows: [1h, 1d]}
      - {function: count, filter: per_km > 3, name: dear, windows: [1h, 1d]}
      - {function: ratio, of: [dear, count], windows: [1h, 1d], name: dear_share}
      - {function: difference, of: [count_1h, count_1d], name: elsewhere}
      - {function: ewma, field: per_km, half_life: 10m, windows: [1d]}
      - {function: histogram, field: fare, edges: [0, 10], windows: [1h]}
      - {function: quantile, field: fare, quantiles: [0.5, 0.999], error: 0.01, windows: [1h]}
      - {function: last_k, field: fare, k: 2, windows: [1h]}
      - {function: top_k, field: metres, k: 2, gives: [value, share], windows: [1h]}
      - {function: top_k, field: rider, k: 1, gives: [count], distinct_bound: 9, windows: [1h]}
"""
PYTHON = """\
from tidemill.project import (
    Column, FeatureView, Project, Stream, count, difference, ewma, float64, histogram, int64,
    last_k, quantile, rate, ratio, string, time_since_last, top_k,
)

ride = Stream(
    "ride",
    key=["rider"],
    fields={
        "rider": string(required=True), "city": string(), "fare": float64(), "metres": int64(),
    },
)
city = FeatureView(
    "city",
    stream=ride,
    entity=["city"],
    columns={"per_km": Column("float64", "fare / (metres / 1000.0)", resolution=0.01)},
    aggregations=[
        rate("1h"),
        rate("1h", field="fare", default=0),
        time_since_last("lifetime"),
        count("1h", "1d"),
        count("1h", "1d", filter="per_km > 3", name="dear"),
        ratio("dear_share", ("dear", "count"), "1h", "1d"),
        difference("elsewhere", ("count_1h", "count_1d")),
        ewma("per_km", "1d", half_life="10m"),
        histogram("fare", "1h", edges=[0, 10]),
        quantile("fare", "1h", quantiles=[0.5, 0.999], error=0.01),
        last_k("fare", "1h", k=2),
        top_k("metres", "1h", k=2, gives=["value", "share"]),
        top_k("rider", "1h", k=1, gives=["count"], bound=9),
    ],
)
project = Project("rides", streams=[ride], views=[city])
"""
NAMES = [
    *("rate_1h", "rate_fare_1h", "time_since_last_lifetime", "count_1h", "count_1d"),
    *("dear_1h", "dear_1d", "dear_share_1h", "dear_share_1d", "elsewhere", "ewma_per_km_1d"),
    *("histogram_fare_0_1h", "histogram_fare_1_1h", "histogram_fare_2_1h"),
    *("quantile_fare_p50_1h", "quantile_fare_p99_9_1h", "last_k_fare_1_1h", "last_k_fare_2_1h"),
    *("top_k_metres_1_value_1h", "top_k_metres_1_share_1h"),
    *("top_k_metres_2_value_1h", "top_k_metres_2_share_1h", "top_k_rider_1_count_1h"),
]


def good() -> pb.Project:
    loaded = loads(YAML)
    assert loaded.problems == []
    return loaded.project


def test_each_bin_quantile_and_place_is_a_feature_of_its_own() -> None:
    assert feature_names(good().views[0]) == NAMES
    assert feature_names(normalise(good()).views[0]) == NAMES


def test_the_python_form_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(PYTHON)
    loaded = read(file)
    assert loaded.problems == []
    assert loaded.project == good()


def test_a_mistake_in_the_python_form_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(PYTHON.replace('last_k("fare"', 'last_k("fair"'))
    (problem,) = read(file).problems
    assert problem.path == "views.city.aggregations[10].field"
    assert file.read_text().splitlines()[problem.line - 1].strip().startswith("last_k(")


def test_what_is_not_declared_gets_its_default() -> None:
    text = YAML.replace("error: 0.01, ", "").replace("gives: [value, share], ", "")
    view = normalise(loads(text).project).views[0]
    quantile, top = view.aggregations[9], view.aggregations[11]
    assert quantile.error == 0.02
    assert list(top.gives) == [pb.GIVES_VALUE]
    assert top.distinct_bound == 256
    assert normalise(normalise(good())) == normalise(good())


HERE = "views.city.aggregations"
MISTAKES = [
    (
        "function: rate, windows: [1h]",
        "function: rate, windows: [lifetime]",
        f"{HERE}[0].windows[0]",
        "a window with a length",
    ),
    ("of: [dear, count]", "of: [deer, count]", f"{HERE}[5].of", "did you mean 'dear_1h'"),
    ("of: [dear, count]", "of: [dear]", f"{HERE}[5].of", "two features"),
    (", name: dear_share", "", f"{HERE}[5].name", "needs a name"),
    ("of: [count_1h, count_1d]", "of: [count_1h, dear_share_1h]", f"{HERE}[6].of", "itself"),
    (
        "of: [count_1h, count_1d]",
        "field: fare, of: [count_1h, count_1d]",
        f"{HERE}[6].field",
        "has no field",
    ),
    ("half_life: 10m, ", "", f"{HERE}[7].half_life", "needs a half-life"),
    ("half_life: 10m", "half_life: 0s", f"{HERE}[7].half_life", "longer than zero"),
    ("edges: [0, 10]", "edges: [10, 0]", f"{HERE}[8].edges", "must ascend"),
    ("edges: [0, 10], ", "", f"{HERE}[8].edges", "1 to 64"),
    ("quantiles: [0.5, 0.999], ", "", f"{HERE}[9].quantiles", "at least one"),
    ("[0.5, 0.999]", "[0.5, 99]", f"{HERE}[9].quantiles[1]", "out of range"),
    ("error: 0.01", "error: 0.001", f"{HERE}[9].error", "out of range"),
    ("k: 2, windows", "k: 0, windows", f"{HERE}[10].k", "out of range"),
    ("[value, share]", "[share, share]", f"{HERE}[11].gives", "twice"),
    ("gives: [count], ", "", f"{HERE}[12].gives", "no feature holds"),
    (
        "function: count, windows",
        "function: count, k: 3, windows",
        f"{HERE}[3].k",
        "only last_k and top_k can have one",
    ),
    ("fare / (metres", "fair / (metres", "views.city.columns.per_km.expression", "'fare'?"),
    (
        "expression: fare / (metres / 1000.0)",
        "expression: city",
        "views.city.columns.per_km.expression",
        "expected a float64",
    ),
    ("      per_km:", "      fare:", "views.city.columns.fare", "has a field of this name"),
    ("type: float64, expression", "expression", "views.city.columns.per_km.type", "needs a type"),
    ("filter: per_km > 3", "filter: per_kn > 3", f"{HERE}[4].filter", "did you mean 'per_km'"),
]


@pytest.mark.parametrize(("old", "new", "path", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_path(old: str, new: str, path: str, said: str) -> None:
    assert old in YAML
    found = {problem.path: str(problem) for problem in loads(YAML.replace(old, new, 1)).problems}
    assert path in found, found
    assert said in found[path]
