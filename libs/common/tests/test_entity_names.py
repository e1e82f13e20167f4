"""What a source of a view calls a key field is its name in that stream, and in no other."""

from __future__ import annotations

from tidemill.definitions.v1 import project_pb2
from tidemill.project import loads, normalise
from tidemill_common.entity_names import (
    Computed,
    computed_keys,
    from_proto,
    names_of,
    namings,
    new_names,
    to_proto,
)

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


def test_a_composite_key_has_each_combination_of_names() -> None:
    called = names_of(a_project())["refunded"]
    assert namings(["shop", "user"], called) == (
        ("shop", "user"),
        ("shop", "customer"),
        ("branch", "user"),
        ("branch", "customer"),
    )
    assert namings(["owner"], called) == (("owner",),)


def test_what_an_expression_gives_is_no_name_and_is_said() -> None:
    project = a_project(PROJECT.replace("user: customer", "user: lower(customer)"))
    assert names_of(project) == {"refunded": {"shop": ("branch",)}}
    assert list(computed_keys(project)) == [
        Computed("payments", "refunded", "user", "lower(customer)")
    ]
    assert not list(computed_keys(a_project()))


def test_names_travel() -> None:
    names = names_of(a_project(), a_project(PROJECT.replace("user: customer", "user: owner")))
    assert from_proto(to_proto(names)) == names
