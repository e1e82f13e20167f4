"""What monitoring keeps of rows holds nobody who was erased; everybody else stays."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pyarrow as pa

from tidemill.project import load, normalise
from tidemill.registry.v1.erasure_service_pb2 import ErasureReport
from tidemill_common import events, prediction_rows, topics
from tidemill_common.computed_names import Computed
from tidemill_common.entity_names import Names
from tidemill_common.erased_entity import Entity
from tidemill_common.erasures import Erased, ErasedKey
from tidemill_common.kafka import Record, TopicPartition
from tidemill_common.prediction_rows import OK
from tidemill_monitoring.decoding import decode
from tidemill_monitoring.definitions import watch_of
from tidemill_monitoring.erasing import FIELDS, REPORTS, SAMPLES, Removed, kept_rows, of_spine_keys
from tidemill_tiles.fieldtypes import FieldType

SECRET = b"m" * 32
PROJECT = normalise(load("tests/integration/shop.yaml"))
WATCH = watch_of(PROJECT, "g1")
ADA = Entity(("user",), b"ada")
V1 = Entity(("visit_id",), b"v1")
NAMES: Names = {"visit": {"person": ("user",)}}
"""Of a view of persons, which visits call users."""
NOW_US = 1_700_000_000_000_000


def a_list(*entities: Entity) -> Erased:
    return Erased(SECRET, [ErasedKey(one.fields, one.digest(SECRET)) for one in entities])


def named(key: bytes = b"ada", names: Names = NAMES) -> Erased:
    return Erased(SECRET, a_list(Entity(("person",), key)).keys, names)


def a_record(topic: str, batch: pa.RecordBatch) -> tuple[TopicPartition, Record]:
    record = Record(topic, 0, 0, NOW_US // 1_000, None, events.encode(batch), ())
    return TopicPartition(topic, 0), record


def visits() -> tuple[TopicPartition, Record]:
    schema = events.event_schema(WATCH.streams["visit"].columns)
    rows = [
        {
            "_id": name,
            "_source": "shop",
            "_time": NOW_US,
            "_available": NOW_US,
            "visit_id": name,
            "user": user,
            "at": NOW_US,
            "amount": 1.0,
            "country": "NL",
        }
        for name, user in (("v1", "ada"), ("v2", "bob"))
    ]
    return a_record("events.visit", pa.RecordBatch.from_pylist(rows, schema=schema))


def answers() -> tuple[TopicPartition, Record]:
    rows = [
        {
            "_prediction_id": f"p-{name}",
            "_time": NOW_US,
            "_logged": NOW_US,
            "_spine_key": name,
            "_version": 1,
            "_digest": "d",
            "_variant": "champion",
            "_propensity": 1.0,
            "_status": OK,
            "_score": 0.5,
            "_latency_us": 1,
            "_sampled": True,
            "_vector": [1.0],
            "_request": json.dumps({"user": user, "amount": 1.0}),
        }
        for name, user in (("v1", "ada"), ("v2", "bob"))
    ]
    batch = pa.RecordBatch.from_pylist(rows, schema=prediction_rows.SCHEMA)
    return a_record(topics.predictions("purchase").name, batch)


def test_rows_of_an_erased_entity_are_not_read_but_for_their_time() -> None:
    decoded = decode(WATCH, [visits(), answers()], a_list(ADA))
    assert decoded.events["visit"].table["user"].to_pylist() == ["bob"]
    assert decoded.predictions["purchase"].sampled["id"].to_list() == ["p-v2"]
    everybody = decode(WATCH, [visits(), answers()])
    assert decoded.clocks == everybody.clocks
    assert decoded.offsets == everybody.offsets
    assert everybody.events["visit"].table.num_rows == 2


def test_predictions_are_known_by_their_spine_key_too() -> None:
    decoded = decode(WATCH, [answers()], a_list(V1))
    assert decoded.predictions["purchase"].rows["id"].to_list() == ["p-v2"]


def test_kept_rows_are_let_go_by_column_request_or_key() -> None:
    frame = pl.DataFrame(
        {
            "key": ["v1", "v2", "v3", "v4"],
            "user": ["ada", None, "eve", "eve"],
            "request": [None, '{"user":"ada"}', '{"user":"eve"}', None],
        }
    )
    erased, removed = a_list(ADA, Entity(("visit_id",), b"v3")), Removed()
    kept = kept_rows(
        frame, erased, removed, SAMPLES, lambda keys: of_spine_keys(WATCH, "purchase", keys, erased)
    )
    assert kept["key"].to_list() == ["v4"]
    assert sum(removed.rows[SAMPLES].values()) == 3


def test_a_report_counts_what_is_left_and_is_done_when_nothing_is() -> None:
    removed, left = Removed(), Removed()
    key = a_list(ADA).keys[0]
    removed.note(SAMPLES, [key], 3)
    left.note(SAMPLES, [key], 1)
    report = removed.report(key, left, ErasureReport())
    assert not report.done
    assert {(one.name, one.removed, one.found) for one in report.places if one.found} == {
        (SAMPLES, 2, 1)
    }
    assert removed.report(key, Removed(), report).done


def test_rows_of_a_stream_are_left_out_by_the_names_that_it_has() -> None:
    decoded = decode(WATCH, [visits(), answers()], named())
    assert decoded.events["visit"].table["user"].to_pylist() == ["bob"]
    assert decoded.predictions["purchase"].sampled["id"].to_list() == ["p-v2"]
    others = decode(WATCH, [visits(), answers()], named(names={"outcome": NAMES["visit"]}))
    assert others.events["visit"].table.num_rows == 2
    assert others.predictions["purchase"].sampled.height == 2


def test_a_key_holds_an_entity_by_the_names_of_the_spine_or_of_the_label_once() -> None:
    called = {"person": ("visit_id",)}
    for names in ({"visit": called}, {"outcome": called}, {"visit": called, "outcome": called}):
        erased = named(b"v1", names)
        held = of_spine_keys(WATCH, "purchase", ["v2", "v1"], erased)
        assert held == [[], list(erased.keys)]
    elsewhere = named(b"v1", {"clicks": called})
    assert of_spine_keys(WATCH, "purchase", ["v1"], elsewhere) == [[]]


def computed(key: str, expression: str, **types: FieldType) -> Erased:
    """Of a view that computes its persons from visits."""
    names: Names = {"visit": {"person": (Computed(expression, tuple(types.items())),)}}
    return named(key.encode(), names)


LOUD = computed("ADA", 'upper("user")', user=FieldType.STRING)


def test_rows_and_predictions_are_left_out_by_what_is_computed_of_them() -> None:
    decoded = decode(WATCH, [visits(), answers()], LOUD)
    assert decoded.events["visit"].table["user"].to_pylist() == ["bob"]
    assert decoded.predictions["purchase"].sampled["id"].to_list() == ["p-v2"]
    by_key = computed("V1", "upper(visit_id)", visit_id=FieldType.STRING)
    answered = decode(WATCH, [answers()], by_key).predictions["purchase"]
    assert answered.rows["id"].to_list() == ["p-v2"]


def test_keys_hold_whom_an_expression_makes_of_them_also_when_their_model_is_gone() -> None:
    erased = computed("V1", "upper(visit_id)", visit_id=FieldType.STRING)
    for model in ("purchase", "gone"):
        assert of_spine_keys(WATCH, model, ["v2", "v1"], erased) == [[], list(erased.keys)]


def test_what_is_constant_in_a_stream_holds_the_keys_of_its_models_and_none_that_is_guessed() -> (
    None
):
    lower = Computed("lower(visit_id)", (("visit_id", FieldType.STRING),))
    names: Names = {"visit": {"way": (Computed("'web'"),), "person": (lower,)}}
    web, eve = Entity(("way",), b"web"), Entity(("person",), b"eve")
    erased = Erased(SECRET, a_list(web, eve).keys, names)
    assert of_spine_keys(WATCH, "purchase", ["v1"], erased) == [[erased.keys[0]]]
    assert of_spine_keys(WATCH, "gone", ["v1"], erased) == [[]]


RAW_ROWS = pl.DataFrame(
    {"_row": [0, 1, 2], "user": ["ada", "bob", None], "amount": [7.0, 7.5, None]}
)


def test_raw_rows_are_let_go_by_texts_and_numbers_of_which_a_key_is_computed() -> None:
    both = {"user": FieldType.STRING, "amount": FieldType.INT64}
    hers = computed("ADA-7", "concat(upper(\"user\"), '-', CAST(amount AS VARCHAR))", **both)
    for erased in (hers, LOUD):
        removed = Removed()
        kept = kept_rows(RAW_ROWS, erased.of_stream("visit"), removed, FIELDS)
        assert kept["user"].to_list() == ["bob", None]
        assert list(removed.rows[FIELDS].values()) == [1]


def test_raw_rows_that_do_not_say_whose_they_are_are_all_let_go() -> None:
    both = {"user": FieldType.STRING, "guest": FieldType.BOOL}
    erased = computed("ADA", 'CASE WHEN guest THEN upper("user") END', **both)
    for place in (FIELDS, REPORTS):
        removed = Removed()
        here = erased.of_stream("visit")
        assert kept_rows(RAW_ROWS, here, removed, place).height == 0
        assert list(removed.rows[place].values()) == [3]
        again = Removed()
        kept_rows(RAW_ROWS.clear(), here, again, place)
        assert not any(again.rows.values())
    assert kept_rows(RAW_ROWS, erased.of_stream("outcome"), Removed(), FIELDS).height == 3
    assert kept_rows(RAW_ROWS, LOUD.of_stream("visit"), Removed(), FIELDS).height == 2


def test_a_report_is_about_the_beginning_that_the_list_has() -> None:
    key = replace(a_list(ADA).keys[0], beginning=2)
    assert Removed().report(key, Removed(), ErasureReport()).beginning == 2
