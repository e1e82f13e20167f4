"""Erased entities are recognised by digest, in columns and in keys, and nothing else is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import FailedPrecondition, Invalid
from tidemill.project import loads, normalise
from tidemill_common.entity_names import Names
from tidemill_common.erased_entity import Entity, entity_of
from tidemill_common.erasures import NOTHING_ERASED, Erased, ErasedKey, key_table
from tidemill_tiles.canonical import canonical_key

SECRET = b"s" * 32
PROJECT = normalise(
    loads(
        """
project: shop
streams:
  orders:
    key: [order]
    fields:
      order: {type: string, required: true}
      customer: {type: string}
      shop: {type: int64}
      amount: {type: float64}
  visits:
    key: [customer]
    fields:
      customer: {type: string, required: true}
      shop: {type: string}
""",
        "tidemill.yaml",
    ).project
)
TEXTS = st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"]), max_size=8)


def a_list(*entities: Entity) -> Erased:
    return Erased(SECRET, [ErasedKey(one.fields, one.digest(SECRET)) for one in entities])


def of_key(erased: Erased, names: Sequence[str], key: bytes) -> list[ErasedKey]:
    """The entities that one composite key holds."""
    return [one for one, _ in erased.found(key_table(names, [key.decode()]))]


ADA = entity_of(PROJECT, {"customer": "ada"})


def test_rows_of_an_erased_entity_are_found_in_any_table_that_has_its_fields() -> None:
    table = pa.table({"customer": ["ada", "bob", None, "ada"], "n": [1, 2, 3, 4]})
    assert a_list(ADA).rows(table).tolist() == [True, False, False, True]
    assert not a_list(ADA).rows(table.select(["n"])).any()
    assert not NOTHING_ERASED.rows(table).any()


def test_a_value_of_another_field_is_another_entity() -> None:
    table = pa.table({"customer": ["bob"], "order": ["ada"]})
    assert not a_list(ADA).rows(table).any()


def test_a_composite_key_is_erased_by_any_part_of_it() -> None:
    erased = a_list(ADA)
    assert of_key(erased, ("shop", "customer"), canonical_key([7, "ada"]))
    assert not of_key(erased, ("shop", "customer"), canonical_key(["ada", "bob"]))
    assert not of_key(erased, ("shop",), canonical_key(["ada"]))


def test_an_integer_is_the_same_however_it_is_written() -> None:
    with pytest.raises(FailedPrecondition, match="different types"):
        entity_of(PROJECT, {"shop": "7"})
    both = {"order": "o1", "shop": "007"}
    assert entity_of(PROJECT, both) == entity_of(PROJECT, {"shop": "7", "order": "o1"})
    table = pa.table({"shop": [7, 8], "order": ["o1", "o1"]})
    assert a_list(entity_of(PROJECT, both)).rows(table).tolist() == [True, False]


@pytest.mark.parametrize(
    "values", [{}, {"nobody": "x"}, {"amount": "1.5"}, {"order": "o", "shop": "many"}]
)
def test_what_cannot_be_a_key_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        entity_of(PROJECT, values)


def a_view(entity: list[str], **columns: str) -> project_pb2.Project:
    """The project with a view, of `orders` with these columns mapped, and of `visits` if it may be."""
    project = project_pb2.Project()
    project.CopyFrom(PROJECT)
    view = project.views.add(name="spending", entity=entity)
    if {"customer"}.issuperset(entity):
        view.sources.add(stream="visits")
    view.sources.add(stream="orders", columns=columns)
    return project


def test_an_entity_that_a_stream_calls_otherwise_is_the_same_one() -> None:
    assert entity_of(a_view(["customer"], customer="order"), {"customer": "ada"}) == ADA
    named_nowhere = a_view(["person"], person="order")
    assert entity_of(named_nowhere, {"person": "ada"}) == Entity(("person",), b"ada")


def test_an_entity_has_the_type_of_the_columns_that_hold_it() -> None:
    counted = a_view(["branch"], branch="shop")
    assert entity_of(counted, {"branch": "007"}) == Entity(("branch",), b"7")
    with pytest.raises(FailedPrecondition, match="different types"):
        entity_of(a_view(["customer"], customer="shop"), {"customer": "7"})


NAMES: Names = {"orders": {"customer": ("buyer", "payer"), "shop": ("branch",)}}


def named(*entities: Entity) -> Erased:
    return Erased(SECRET, a_list(*entities).keys, NAMES)


def test_another_name_counts_in_its_stream_only() -> None:
    table = pa.table({"buyer": ["ada", "bob", None]})
    assert named(ADA).of_stream("orders").rows(table).tolist() == [True, False, False]
    assert not named(ADA).of_stream("visits").rows(table).any()
    assert not named(ADA).rows(table).any()


def test_a_row_is_the_entitys_by_any_of_its_names_and_counted_once() -> None:
    table = pa.table(
        {
            "customer": ["ada", "bob", "ada", "bob", None],
            "buyer": ["bob", "ada", "ada", "bob", "ada"],
        }
    )
    here = named(ADA).of_stream("orders")
    ((key, rows),) = here.found(table)
    assert rows.tolist() == here.rows(table).tolist() == [True, True, True, False, True]
    assert [columns for _, columns, _ in here.named(table)] == [("customer",), ("buyer",)]
    assert key.fields == ("customer",)


def test_a_composite_key_is_found_under_each_combination_of_names() -> None:
    both = Entity(("customer", "shop"), canonical_key(["ada", 7]))
    table = pa.table(
        {
            "buyer": ["ada", "ada", "bob"],
            "shop": [7, 8, 7],
            "branch": [1, 7, 7],
        }
    )
    here = named(both).of_stream("orders")
    assert here.rows(table).tolist() == [True, True, False]
    assert here.columns_in(["branch", "n", "buyer"]) == ["branch", "buyer"]
    assert here.columns_in(["buyer", "n"]) == []
    assert of_key(here, ("branch", "buyer"), canonical_key([7, "ada"]))
    assert not of_key(here, ("buyer", "branch"), canonical_key([7, "ada"]))
    assert not of_key(named(both), ("branch", "buyer"), canonical_key([7, "ada"]))


def test_a_key_that_names_an_entity_twice_holds_it_once() -> None:
    here = named(ADA).of_stream("orders")
    assert here.may_be_in(["payer"])
    assert not named(ADA).may_be_in(["payer"])
    assert len(of_key(here, ("buyer", "customer"), canonical_key(["ada", "ada"]))) == 1


def test_a_stream_without_other_names_of_the_fields_is_held_against_the_list_itself() -> None:
    erased = named(Entity(("order",), b"o1"))
    assert erased.of_stream("orders") is erased
    assert NOTHING_ERASED.of_stream("orders") is NOTHING_ERASED
    here = named(ADA).of_stream("orders")
    assert here.of_stream("orders") is here
    assert not here.of_stream("visits").may_be_in(["buyer"])


def test_a_list_goes_beyond_another_by_entities_names_and_what_began_again() -> None:
    erased = named(ADA)
    assert not erased.goes_beyond(named(ADA, Entity(("order",), b"o1")))
    assert named(ADA, Entity(("order",), b"o1")).goes_beyond(erased)
    assert a_list(ADA).goes_beyond(erased)
    again = [replace(one, beginning=1) for one in erased.keys]
    assert erased.only(again).goes_beyond(erased)
    clean = [replace(one, state_clean=True) for one in erased.keys]
    assert not erased.only(clean).goes_beyond(erased)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=20), st.data())
def test_what_a_name_finds_is_what_the_field_would_find_in_its_place(
    words: list[tuple[str, str]], data: st.DataObject
) -> None:
    wanted = data.draw(st.sampled_from([word for pair in words for word in pair]))
    erased = named(Entity(("customer",), canonical_key([wanted])))
    customers, buyers = ([pair[at] for pair in words] for at in (0, 1))
    found = erased.of_stream("orders").rows(pa.table({"customer": customers, "buyer": buyers}))
    either = [erased.rows(pa.table({"customer": column})) for column in (customers, buyers)]
    assert found.tolist() == (either[0] | either[1]).tolist()


@given(st.lists(TEXTS, min_size=1, max_size=20), st.data())
def test_exactly_the_rows_with_the_key_are_found(words: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from(words))
    found = a_list(entity_of(PROJECT, {"customer": wanted})).rows(pa.table({"customer": words}))
    assert found.tolist() == [word == wanted for word in words]


def test_the_list_does_not_hold_the_key_and_depends_on_the_secret() -> None:
    assert b"ada" not in ADA.digest(SECRET)
    assert ADA.digest(SECRET) != ADA.digest(b"t" * 32)
