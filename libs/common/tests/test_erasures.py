"""Erased entities are recognised by digest, in columns and in keys, and nothing else is."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import FailedPrecondition, Invalid
from tidemill.project import loads, normalise
from tidemill_common.erased_entity import Entity, entity_of
from tidemill_common.erasures import NOTHING_ERASED, Erased, ErasedKey
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
    assert erased.of_key(("shop", "customer"), canonical_key([7, "ada"]))
    assert not erased.of_key(("shop", "customer"), canonical_key(["ada", "bob"]))
    assert not erased.of_key(("shop",), canonical_key(["ada"]))


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


def test_an_entity_that_a_stream_calls_otherwise_is_refused() -> None:
    project = project_pb2.Project()
    project.CopyFrom(PROJECT)
    view = project.views.add(name="spending", entity=["customer"])
    view.sources.add(stream="visits")
    assert entity_of(project, {"customer": "ada"}) == ADA
    view.sources.add(stream="orders", columns={"customer": "order"})
    with pytest.raises(FailedPrecondition, match="is order in orders"):
        entity_of(project, {"customer": "ada"})


@given(st.lists(TEXTS, min_size=1, max_size=20), st.data())
def test_exactly_the_rows_with_the_key_are_found(words: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from(words))
    found = a_list(entity_of(PROJECT, {"customer": wanted})).rows(pa.table({"customer": words}))
    assert found.tolist() == [word == wanted for word in words]


def test_the_list_does_not_hold_the_key_and_depends_on_the_secret() -> None:
    assert b"ada" not in ADA.digest(SECRET)
    assert ADA.digest(SECRET) != ADA.digest(b"t" * 32)
