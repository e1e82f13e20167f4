"""What a source of a view calls a key field is its name in that stream, and in no other."""

from __future__ import annotations

import json

from tidemill.definitions.v1 import project_pb2
from tidemill.project import loads, normalise
from tidemill_common.computed_names import Computed
from tidemill_common.entity_names import (
    columns_among,
    computed_fields,
    from_document,
    from_proto,
    names_of,
    namings,
    new_names,
    to_document,
    to_proto,
)
from tidemill_tiles.fieldtypes import FieldType

PROJECT = """
project: shop
streams:
  paid:
    key: [user]
    fields:
      user: {type: string, required: true}
      shop: {type: int64}
  refunded:
    key: [customer]
    fields:
      customer: {type: string, required: true}
      user: {type: string}
      branch: {type: int64}
      owner: {type: string}
views:
  payments:
    entity: [user, shop]
    sources:
      - stream: paid
      - {stream: refunded, columns: {user: customer, shop: branch}}
    aggregations: [{function: count, windows: [1h]}]
"""


def a_project(text: str = PROJECT) -> project_pb2.Project:
    loaded = loads(text, "tidemill.yaml")
    assert not loaded.problems
    return normalise(loaded.project)


def test_a_stream_has_the_names_that_its_own_sources_give() -> None:
    assert names_of(a_project()) == {"refunded": {"shop": ("branch",), "user": ("customer",)}}
    assert names_of() == {}


def test_names_of_several_views_and_projects_come_together() -> None:
    other = a_project(PROJECT.replace("user: customer", "user: owner"))
    together = names_of(a_project(), other)
    assert together["refunded"]["user"] == ("customer", "owner")
    assert new_names(names_of(other), together) == [("refunded", "user", "customer")]
    assert new_names(together, names_of(other)) == []


def test_a_column_that_is_no_part_of_the_entity_is_no_name() -> None:
    counted = a_project(PROJECT.replace("entity: [user, shop]", "entity: [shop]"))
    assert names_of(counted) == {"refunded": {"shop": ("branch",)}}


def test_a_field_that_is_mapped_from_itself_has_no_other_name() -> None:
    same = a_project(PROJECT.replace("user: customer", "user: user"))
    assert names_of(same) == {"refunded": {"shop": ("branch",)}}


def test_a_composite_key_has_each_combination_of_names() -> None:
    called = names_of(a_project())["refunded"]
    assert namings(["shop", "user"], called) == (
        ("shop", "user"),
        ("shop", "customer"),
        ("branch", "user"),
        ("branch", "customer"),
    )
    assert namings(["owner"], called) == (("owner",),)


LOWER = Computed("lower(customer)", (("customer", FieldType.STRING),))
COMPUTED = PROJECT.replace("user: customer", "user: lower(customer)")


def test_what_an_expression_gives_is_a_name_that_says_what_it_reads() -> None:
    project = a_project(COMPUTED)
    assert names_of(project) == {"refunded": {"shop": ("branch",), "user": (LOWER,)}}
    both = a_project(PROJECT.replace("user: customer", 'user: "concat(customer, branch)"'))
    (name,) = names_of(both)["refunded"]["user"]
    kinds = (("branch", FieldType.INT64), ("customer", FieldType.STRING))
    assert name == Computed("concat(customer, branch)", kinds)
    together = names_of(project, a_project())
    assert together["refunded"]["user"] == ("customer", LOWER)
    assert new_names(names_of(a_project()), together) == [("refunded", "user", LOWER)]
    assert computed_fields(together) == {"user"}
    assert not computed_fields(names_of(a_project()))


def test_an_expression_that_changes_is_a_further_name() -> None:
    changed = a_project(COMPUTED.replace("lower(", "upper("))
    ((*_, name),) = new_names(names_of(a_project(COMPUTED)), names_of(changed))
    assert str(name) == "upper(customer)"


def test_a_choice_of_names_reads_what_there_is_of_an_expressions_columns() -> None:
    two = Computed("a || b", (("a", FieldType.STRING), ("b", FieldType.STRING)))
    assert columns_among(["c", two], {"a", "b", "c"}) == ("c", "a", "b")
    assert columns_among(["a", two], {"a"}) == ("a",)
    assert columns_among([two], {"c"}) is None
    assert columns_among(["c", two], {"a"}) is None
    assert columns_among(["c", Computed("'x'")], {"c"}) == ("c",)


def test_names_travel_and_are_stored() -> None:
    others = ("user: owner", "user: lower(owner)", "user: \"'nobody'\"")
    projects = [a_project(PROJECT.replace("user: customer", one)) for one in others]
    names = names_of(a_project(), *projects)
    assert len(names["refunded"]["user"]) == 4
    assert from_proto(to_proto(names)) == names
    assert from_document(json.loads(json.dumps(to_document(names)))) == names


def test_names_of_columns_are_stored_as_they_always_were() -> None:
    stored = {"refunded": {"shop": ["branch"], "user": ["customer"]}}
    assert from_document(stored) == names_of(a_project())
    assert to_document(names_of(a_project())) == stored
