"""Columns that a view computes from each event are read like any other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tidemill_tiles.definitions import Aggregation, Derived, Field, Function, view_version
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.plan import plan_of
from tidemill_tiles.reads import Status, read
from tidemill_tiles.replay import History, replay
from tidemill_tiles.table import TileTable
from tidemill_tiles.testing.builders import FIELDS, SECOND, Event, a_batch, a_view
from tidemill_tiles.validation import validate

HALF = Derived(Field("half", FieldType.FLOAT64, 0.25), "count / 2.0")
LABEL = Derived(Field("label", FieldType.STRING), "LEFT(gate, 1)")
SEEN = Derived(Field("seen", FieldType.BOOL), "delay IS NOT NULL")
VIEW = a_view(
    derived=(HALF, LABEL, SEEN),
    filter="half > 0",
    aggregations=(
        Aggregation("sum", Function.SUM, "half", 10 * SECOND),
        Aggregation("labels", Function.DISTINCT, "label", 10 * SECOND),
        Aggregation("seen", Function.SUM, "seen", 10 * SECOND),
        Aggregation("one", Function.COUNT, None, 10 * SECOND, filter="label = 'A'"),
    ),
)


def an_event(count: int | None, gate: str, delay: float | None = 1.0) -> Event:
    return Event("JFK", 0, SECOND, abs(count or 0), delay, count, True, gate, 0)


EVENTS = [an_event(3, "A1"), an_event(4, "A2", None), an_event(5, "B1"), an_event(None, "C"),
          an_event(-2, "D")]  # fmt: skip


def test_derived_columns_feed_filters_and_aggregations() -> None:
    plan, table = plan_of(VIEW), TileTable(plan_of(VIEW))
    batch = a_batch(plan, EVENTS)
    table.apply(batch)
    reading = read(plan, [table], hash_keys([b"JFK\x1f0"]), SECOND)
    assert reading.values[0].tolist() == [6.0, 2.0, 2.0, 2.0]
    history = History(batch, np.full(len(EVENTS), SECOND, dtype=np.int64))
    again = replay(plan, [history], hash_keys([b"JFK\x1f0"]), np.array([SECOND]))
    assert again.values.tobytes() == reading.values.tobytes()
    assert (reading.status == Status.PRESENT).all()


def test_what_cannot_be_kept_in_integers_does_not_count() -> None:
    huge = replace(HALF, expression="CAST(count AS DOUBLE) / 0.0")
    plan = plan_of(replace(VIEW, derived=(huge, LABEL, SEEN), filter=None))
    table = TileTable(plan)
    table.apply(a_batch(plan, EVENTS))
    assert read(plan, [table], hash_keys([b"JFK\x1f0"]), SECOND).values[0, 0] == 0


def test_a_row_that_cannot_be_computed_is_null_and_stops_no_other() -> None:
    inverse = replace(HALF, expression="12.0 / (count - 4)")
    plan = plan_of(replace(VIEW, derived=(inverse, LABEL, SEEN), filter="12.0 / (count - 5) < 9"))
    table = TileTable(plan)
    table.apply(a_batch(plan, EVENTS * 3))
    reading = read(plan, [table], hash_keys([b"JFK\x1f0"]), SECOND)
    assert reading.values[0].tolist() == [3 * (-12 - 2), 2, 6, 6]


def test_mistakes_in_derived_columns_are_named() -> None:
    wrong = (
        replace(HALF, expression="nothing * 2"),
        replace(LABEL, field=FIELDS[0]),
        replace(SEEN, expression="seen"),
        Derived(Field("tiny", FieldType.FLOAT64, 0.0), "delay"),
        Derived(Field("text", FieldType.STRING), "delay"),
    )
    assert {one.field for one in validate(replace(VIEW, derived=wrong, filter=None))} == {
        "derived.half", "derived.delay", "derived.seen", "derived.tiny.resolution", "derived.text",
        "aggregations.labels.field", "aggregations.one.filter",
    }  # fmt: skip


def test_the_version_changes_with_an_expression_and_not_with_the_order_of_columns() -> None:
    changed = replace(VIEW, derived=(replace(HALF, expression="count / 4.0"), LABEL, SEEN))
    turned = replace(VIEW, derived=VIEW.derived[::-1])
    assert view_version(changed) != view_version(VIEW)
    assert view_version(turned) == view_version(VIEW)
