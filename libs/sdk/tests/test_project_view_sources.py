"""Views over several streams: how their columns come to be, and mistakes in that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import check, generation, loads, model_inputs, normalise, read
from tidemill.project.view_sources import columns_reading, view_fields, view_streams

YAML = """\
project: shop
streams:
  web:
    key: [session]
    partitions: 3
    fields:
      session: {type: string, required: true}
      user: string
      amount: {type: float64, resolution: 0.01}
      page: string
  till:
    key: [till]
    fields:
      till: {type: int64, required: true}
      customer: string
      cents: int64
      kind: string
      page: int64
views:
  spending:
    entity: [user]
    sources:
      - stream: web
        columns:
          place: page
      - stream: till
        columns:
          user: customer
          amount: cents / 100.0
          place: "'till'"
        filter: kind = 'sale'
    columns:
      dear: {type: bool, expression: amount > 100}
    filter: amount > 0
    aggregations:
      - {function: sum, field: amount, windows: [2h]}
      - {function: count, filter: dear, name: dear, windows: [1h]}
      - {function: distinct, field: place, windows: [1h]}
models:
  rich:
    spine: {stream: web, key: [user]}
    inputs:
      - {view: spending}
    label: {stream: web, expression: amount, task: regression}
"""
PYTHON = """\
from tidemill.project import (
    Column, FeatureView, Label, Model, Project, Spine, Stream, ViewSource, count, distinct, feature,
    float64, int64, string, sum,
)

web = Stream(
    "web",
    key=["session"],
    partitions=3,
    fields={
        "session": string(required=True), "user": string(), "amount": float64(resolution=0.01),
        "page": string(),
    },
)
till = Stream(
    "till",
    key=["till"],
    fields={
        "till": int64(required=True), "customer": string(), "cents": int64(), "kind": string(),
        "page": int64(),
    },
)
spending = FeatureView(
    "spending",
    entity=["user"],
    sources=[
        ViewSource(web, columns={"place": "page"}),
        ViewSource(
            till,
            columns={"user": "customer", "amount": "cents / 100.0", "place": "'till'"},
            filter="kind = 'sale'",
        ),
    ],
    columns={"dear": Column("bool", "amount > 100")},
    filter="amount > 0",
    aggregations=[
        sum("amount", "2h"), count("1h", filter="dear", name="dear"), distinct("place", "1h"),
    ],
)
rich = Model(
    "rich",
    spine=Spine(web, key=["user"]),
    inputs=[feature(spending)],
    label=Label(web, "amount", task="regression"),
)
project = Project("shop", streams=[web, till], views=[spending], models=[rich])
"""


def good() -> pb.Project:
    loaded = loads(YAML)
    assert loaded.problems == []
    return loaded.project


def test_a_view_has_the_columns_that_all_its_sources_give_with_one_type() -> None:
    project = normalise(good())
    (view,) = project.views
    assert view_streams(view) == ("till", "web")
    fields = {one.name: (one.type, one.resolution) for one in view_fields(view, project.streams)}
    assert fields == {
        "user": (pb.FIELD_TYPE_STRING, 0.0),
        "amount": (pb.FIELD_TYPE_FLOAT64, 0.01),
        "place": (pb.FIELD_TYPE_STRING, 0.0),
    }


def test_the_python_form_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(PYTHON)
    loaded = read(file)
    assert loaded.problems == []
    assert loaded.project == good()


def test_a_mistake_in_the_python_form_names_the_line_of_its_source(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(PYTHON.replace("kind = 'sale'", "kinds = 'sale'"))
    (problem,) = read(file).problems
    assert problem.path == "views.spending.sources[1].filter"
    assert file.read_text().splitlines()[problem.line - 1].strip().startswith("ViewSource(")


def test_the_order_of_sources_does_not_make_a_new_generation() -> None:
    turned = good()
    turned.views[0].sources.sort(key=lambda source: source.stream)
    assert [one.stream for one in turned.views[0].sources] == ["till", "web"]
    assert generation(turned) == generation(good())


def test_every_stream_of_a_view_is_as_late_as_its_windows_and_watched_for_its_models() -> None:
    project = normalise(good())
    assert [one.lateness.ToSeconds() for one in project.streams] == [7200, 7200]
    assert list(project.models[0].monitors.fields) == [
        "till.till", "till.cents", "till.page", "web.amount",
    ]  # fmt: skip


def test_a_model_names_the_entity_by_the_columns_of_the_view() -> None:
    resolved = model_inputs(good(), "rich")
    assert resolved.entities == (("spending", (("user", "user"),)),)


def test_a_field_changes_the_columns_that_read_it() -> None:
    (view,) = good().views
    assert columns_reading(view, "till", "cents") == {"amount", "cents"}
    assert columns_reading(view, "web", "amount") == {"amount"}
    assert columns_reading(view, "till", "page") == {"page"}
    assert columns_reading(view, "web", "page") == {"place", "page"}
    assert columns_reading(view, "till", "amount") == set()


HERE = "views.spending.sources"
MISTAKES = [
    ("stream: till\n", "stream: tills\n", "tills", f"{HERE}[1].stream", "did you mean 'till'"),
    ("- stream: till\n", "- filter: a\n", "- filter: a", f"{HERE}[1].stream", "must be named"),
    ("- stream: till\n", "- stream: web\n", "- stream: web", f"{HERE}[1].stream", "also sources[0]"),
    ("    sources:", "    stream: web\n    sources:", "stream: web", "views.spending.stream", "both"),
    ("user: customer", "usr: customer", "columns:", f"{HERE}[1].columns.user", "'user', which"),
    ("user: customer", "usr: customer", "columns:", f"{HERE}[0].columns.usr", "'till' maps"),
    ("        columns:\n          place: page\n", "", "- stream: web", f"{HERE}[0].columns.place",
     "no field 'place'"),
    ("user: customer", "user: till", "user: till", f"{HERE}[1].columns.user", "but string in 'web'"),
    ("cents / 100.0", "cents", "amount: cents", f"{HERE}[1].columns.amount", "but float64 in 'web'"),
    ("cents / 100.0", "cent * 1", "cent * 1", f"{HERE}[1].columns.amount", "did you mean 'cents'"),
    ("cents / 100.0", "SUM(cents)", "SUM", f"{HERE}[1].columns.amount", "an aggregate is not allowed"),
    ("cents / 100.0", "kind", "amount: kind", f"{HERE}[1].columns.amount", "is a string here"),
    ("place: page", "Place: page", "Place: page", f"{HERE}[0].columns.Place", "does not match"),
    ("kind = 'sale'", "kinds = 'sale'", "kinds", f"{HERE}[1].filter", "did you mean 'kind'"),
    ("kind = 'sale'", "cents", "filter: cents", f"{HERE}[1].filter", "expected a bool"),
    ("filter: amount > 0", "filter: kind = 'x'", "columns:", f"{HERE}[0].columns.kind", "'till' has"),
    ("filter: amount > 0", "filter: total > 0", "total > 0", "views.spending.filter", "'total'"),
    ("entity: [user]", "entity: [usr]", "[usr]", "views.spending.entity[0]", "did you mean 'user'"),
    ("entity: [user]", "entity: [amount]", "[amount]", "views.spending.entity[0]", "cannot be a key"),
    ("      dear:", "      place:", "place: {type", "views.spending.columns.place", "of this name"),
    ("- {view: spending}", "- {view: spending, entity: {user: amount}}", "- {view: spending",
     "models.rich.inputs[0].entity.user", "'amount' is a float64, the entity's 'user' a string"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "path", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_line_and_path(
    old: str, new: str, at: str, path: str, said: str
) -> None:
    assert old in YAML
    text = YAML.replace(old, new, 1)
    problems = {one.path: one for one in loads(text).problems}
    assert path in problems, problems
    assert said in str(problems[path])
    assert at in text.splitlines()[problems[path].line - 1], problems[path]


def test_fields_of_different_resolutions_cannot_be_added_up() -> None:
    text = YAML.replace("cents: int64", "cents: float64").replace("cents / 100.0", "cents")
    (problem,) = loads(text).problems
    assert problem.path == f"{HERE}[1].columns.amount"
    assert "has the resolution 9.53674e-07 here, but 0.01 in 'web'" in problem.message


def test_a_view_with_too_many_sources_is_refused() -> None:
    project = good()
    for number in range(16):
        stream = project.streams.add()
        stream.CopyFrom(project.streams[0])
        stream.name = f"web{number}"
        project.views[0].sources.add(stream=stream.name, columns={"place": "page"})
    (problem,) = check(project)
    assert str(problem) == "views.spending.sources: 18 sources, at most 16"
