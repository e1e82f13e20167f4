"""Events of an erased entity are refused with a reason of their own; their neighbours are not."""

from __future__ import annotations

import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import FailedPrecondition
from tidemill.project import loads, normalise
from tidemill_common import events
from tidemill_common.computed_names import Computed
from tidemill_common.erased_entity import Entity, entity_of
from tidemill_common.erasures import Erased, ErasedKey
from tidemill_common.kafka import Record
from tidemill_common.kafka.dead_letters import DeadLetter
from tidemill_ingestion.dead_letters import again
from tidemill_ingestion.foreign.source import compile_source
from tidemill_ingestion.schema import compile_stream
from tidemill_ingestion.validation import RawEvent, check_columns, check_events
from tidemill_tiles.fieldtypes import FieldType

NOW_US = 1_700_000_000_000_000
SECRET = b"k" * 32
PROJECT: project_pb2.Project = normalise(
    loads(
        """
project: shop
streams:
  orders:
    key: [order]
    fields:
      order: {type: string, required: true}
      customer: {type: string}
    source:
      topic: theirs
      format: json
      schema: {order: string, customer: string}
"""
    ).project
)
ENTITY = entity_of(PROJECT, {"customer": "ada"})
ERASED = Erased(SECRET, [ErasedKey(ENTITY.fields, ENTITY.digest(SECRET))])
PERSON = Entity(("person",), b"ada")
NAMED = Erased(
    SECRET,
    [ErasedKey(PERSON.fields, PERSON.digest(SECRET))],
    {"orders": {"person": ("customer",)}},
)
"""Of a view of persons, which orders call customers."""
LOUD = Entity(("person",), b"ADA")
COMPUTED = Erased(
    SECRET,
    [ErasedKey(LOUD.fields, LOUD.digest(SECRET))],
    {"orders": {"person": (Computed("upper(customer)", (("customer", FieldType.STRING),)),)}},
)
"""Of a view that computes its persons from customers."""
SCHEMA = compile_stream(PROJECT.streams[0])
LISTS = pytest.mark.parametrize(
    "erased", [ERASED, NAMED, COMPUTED], ids=["its own name", "another", "an expression"]
)


def an_order(number: int, customer: str) -> RawEvent:
    data = f'{{"order": "o{number}", "customer": "{customer}"}}'.encode()
    return RawEvent(f"e{number}", "test", data, NOW_US, None)


@LISTS
def test_json_events_of_an_erased_entity_are_refused_and_the_others_pass(erased: Erased) -> None:
    raw = [an_order(1, "ada"), an_order(2, "bob"), an_order(3, "ada")]
    checked = check_events(SCHEMA, raw, NOW_US, erased)
    assert sorted(checked.refusals) == [0, 2]
    assert checked.refusals[0].reason.startswith("ERASED:")
    assert checked.refusals[0].field == "customer"
    assert "ada" not in checked.refusals[0].reason
    assert checked.batch is not None
    assert checked.batch.rows.column("customer").to_pylist() == ["bob"]


@LISTS
def test_columns_of_an_erased_entity_are_refused_as_events_are(erased: Erased) -> None:
    raw = [an_order(1, "ada"), an_order(2, "bob")]
    rows = check_events(SCHEMA, raw, NOW_US).batch
    assert rows is not None
    checked = check_columns(SCHEMA, rows.rows, NOW_US, states=False, erased=erased)
    assert checked.refusals[0].reason.startswith("ERASED:")
    assert list(checked.refusals) == [0]


@LISTS
def test_a_bridge_leaves_records_of_an_erased_entity_out_and_sets_none_aside(
    erased: Erased,
) -> None:
    source = compile_source(PROJECT.streams[0])
    values = [an_order(n, who).data for n, who in enumerate(["bob", "ada", "eve"])]
    records = [
        Record("theirs", 0, 7 + at, NOW_US // 1_000, None, value, ())
        for at, value in enumerate(values)
    ]
    found = source.events(records, NOW_US, erased)
    assert found.refusals == {}
    assert found.left_out == 1
    assert found.batch is not None
    assert found.batch.rows.column("customer").to_pylist() == ["bob", "eve"]
    assert found.batch.index.tolist() == [0, 2]
    assert source.events(records[1:2], NOW_US, erased).batch is None


@LISTS
def test_a_dead_letter_of_an_erased_entity_is_not_put_back(erased: Erased) -> None:
    rows = check_events(SCHEMA, [an_order(1, "ada")], NOW_US).batch
    assert rows is not None
    value = events.encode(rows.rows)
    record = Record("events.orders", 0, 3, NOW_US // 1_000, None, value, ())
    letter = DeadLetter(
        position=0,
        topic="events.orders",
        partition=0,
        offset=3,
        row=0,
        group="g",
        service="features",
        stage="flush",
        error="INVALID",
        message="",
        attempt=1,
        written_ms=NOW_US // 1_000,
        record=record,
    )
    assert again("events.orders", letter, None, NOW_US)[1]
    with pytest.raises(FailedPrecondition, match="ERASED"):
        again("events.orders", letter, None, NOW_US, erased)


def test_what_another_stream_calls_an_entity_is_no_name_here() -> None:
    theirs = Erased(SECRET, NAMED.keys, {"returns": {"person": ("customer",)}})
    assert not check_events(SCHEMA, [an_order(1, "ada")], NOW_US, theirs).refusals
