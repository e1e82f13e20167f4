"""Reading project files: both forms, limits, and errors that a person can use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.errors import Invalid, NotFound
from tidemill.project import load, loads, read


def test_a_missing_file_is_named() -> None:
    with pytest.raises(NotFound, match=r"nowhere\.yaml"):
        load("nowhere.yaml")


def test_load_raises_one_error_that_names_file_line_and_field(tmp_path: Path) -> None:
    file = tmp_path / "tidemill.yaml"
    file.write_text("project: a\nstreams:\n  s:\n    fields: {x: text}\n")
    with pytest.raises(Invalid) as caught:
        load(file)
    assert f"{file}:4: streams.s.fields.x" in str(caught.value)
    assert {violation.field for violation in caught.value.violations} == {
        "streams.s.fields.x",
        "streams.s.key",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("- a\n- b\n", "expected a mapping, got a list"),
        ("project: [a\n", "expected"),
        ("a: &x 1\nb: *x\n", "aliases are not supported"),
        ("a: &x 1\n", "anchors and aliases are not supported"),
        ("a: &x [1]\n", "anchors and aliases are not supported"),
        ("project: !!python/object:os.system x\n", "is not allowed"),
        ("a: " + "[" * 60 + "]" * 60 + "\n", "nested too deeply"),
        ("project: a\n" + "#" * (1 << 20), "larger than"),
        ("project: a\nx: \x07\n", "special characters are not allowed"),
    ],
)
def test_a_file_that_is_no_project_is_refused_before_anything_is_built(
    text: str, said: str
) -> None:
    found = loads(text).problems
    assert any(said in str(problem) for problem in found), found


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tidemill.yaml"
    file.write_bytes(b"project: \xff\xfe")
    assert "not UTF-8" in str(read(file).problems[0])


PYTHON = """\
from datetime import timedelta
from tidemill.project import *

ride = Stream(
    "ride",
    key=["rider"],
    fields={"rider": string(required=True), "city": string(), "fare": float64(unit="USD")},
)
fares = FeatureView(
    "fares", stream=ride, entity=["city"],
    aggregations=[mean("fare", "1h", timedelta(days=1)), count("lifetime")],
)
ratio = OnDemand("ratio", type="float64", expression="fare / fares__mean_fare_1h")
project = Project(
    "rides",
    streams=[ride],
    views=[fares],
    on_demand=[ratio],
    models=[
        Model(
            "tip",
            spine=Spine(ride, key=["rider"]),
            inputs=[
                feature(fares),
                computed(ratio),
                request("city", categorical=Categorical(hash_buckets=8)),
            ],
            label=Label(ride, "CAST(fare > 10 AS DOUBLE)", task="binary"),
            gates=[Gate("floor", metric_floor=MetricFloor("auc", 0.6))],
        )
    ],
)
"""

YAML = """\
project: rides
streams:
  ride:
    key: [rider]
    fields:
      rider: {type: string, required: true}
      city: string
      fare: {type: float64, unit: USD}
views:
  fares:
    stream: ride
    entity: [city]
    aggregations:
      - {function: mean, field: fare, windows: [1h, 24h]}
      - {function: count, windows: [lifetime]}
on_demand:
  ratio: {type: float64, expression: fare / fares__mean_fare_1h}
models:
  tip:
    spine: {stream: ride, key: [rider]}
    inputs:
      - {view: fares}
      - {on_demand: ratio}
      - {field: city, categorical: {hash_buckets: 8}}
    label: {stream: ride, expression: CAST(fare > 10 AS DOUBLE), task: binary}
    gates:
      - {name: floor, metric_floor: {metric: auc, bound: 0.6}}
"""


def test_the_python_form_gives_the_same_message_as_yaml(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(PYTHON)
    assert load(file) == loads(YAML).project


def test_a_mistake_in_the_python_form_names_the_line_of_the_call(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(PYTHON.replace('count("lifetime")', 'mean("fair", "1h", name="x")'))
    found = read(file).problems
    assert [problem.path for problem in found] == ["views.fares.aggregations[1].field"]
    assert found[0].line == 11
    assert found[0].file == str(file)


@pytest.mark.parametrize(
    ("old", "new", "said", "line"),
    [
        ("ride = Stream(", "ride = Steam(", "NameError", 4),
        ("project = Project(", "projekt = Project(", "no `project`", 1),
        ('key=["rider"],', 'keys=["rider"],', "TypeError", 4),
        ("from datetime", "form datetime", "SyntaxError", 1),
    ],
)
def test_a_python_file_that_does_not_run_is_a_problem_not_a_trace(
    tmp_path: Path, old: str, new: str, said: str, line: int
) -> None:
    file = tmp_path / "project.py"
    file.write_text(PYTHON.replace(old, new, 1))
    (problem,) = read(file).problems
    assert said in problem.message
    assert problem.line == line
