"""What is said of a value adds up to it, and the events that are said to count are those that do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill_features.entityevents import EntityEvents
from tidemill_features.explaining import Explanation, explain, value_of
from tidemill_tiles.bounds import error_bound
from tidemill_tiles.definitions import PAIRS, Aggregation, Function, normalised
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.keys import hash_key
from tidemill_tiles.plan import Plan, plan_of
from tidemill_tiles.reads import Reading, Status, read
from tidemill_tiles.table import TileTable
from tidemill_tiles.testing.builders import SECOND, Event, a_batch, a_view, some_events, to_table
from tidemill_tiles.verdict import Verdict

PLAN = plan_of(a_view())
KINDS = {one.name: one for one in normalised(PLAN.definition).aggregations}
ADDED = frozenset({Function.COUNT, Function.SUM, Function.HISTOGRAM, Function.RATE})


def of_one_entity(events: Sequence[Event]) -> list[Event]:
    return [replace(one, origin="JFK", runway=1) for one in events]


def an_entity(
    events: Sequence[Event], verdicts: Sequence[Verdict], partitions: Sequence[int]
) -> EntityEvents:
    rows = list(events)
    times = np.array([one.time for one in rows], dtype=np.int64)
    return EntityEvents(
        "departures",
        to_table(rows),
        to_table(rows),
        a_batch(PLAN, rows),
        times,
        times,
        np.array(partitions, dtype=np.int64),
        np.array([int(one) for one in verdicts], dtype=np.int64),
    )


def as_served(plan: Plan, events: EntityEvents, at_us: int, rows: Sequence[int]) -> Reading:
    """Read as a replica does, from these events only."""
    table = TileTable(plan)
    mask = np.zeros(len(events), dtype=np.bool_)
    mask[list(rows)] = True
    table.apply(events.batch, mask)
    return read(plan, [table], hash_key(b"JFK\x1f1").reshape(1, 2), at_us)


def explained(
    events: EntityEvents, at_us: int, names: Sequence[str], served: Reading
) -> list[Explanation]:
    watermarks = {"departures": [NO_TIME, NO_TIME]}
    entity = hash_key(b"JFK\x1f1")
    return explain(PLAN, [events], entity, at_us, watermarks, served, names)


@given(
    some_events().filter(bool),
    st.integers(1, 200),
    st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=12, unique=True),
)
@settings(max_examples=20)
def test_a_value_is_made_by_the_events_that_are_said_to_count_and_by_no_other(
    drawn: list[Event], second: int, names: list[str]
) -> None:
    rows, at_us = of_one_entity(drawn), second * SECOND
    verdicts = [Verdict(one.tie % 7 if one.tie % 7 < 3 else 0) for one in rows]
    events = an_entity(rows, verdicts, [one.tie % 2 for one in rows])
    applied = [row for row, one in enumerate(verdicts) if one is Verdict.APPLIED]
    served = as_served(PLAN, events, at_us, applied)
    for one in explained(events, at_us, names, served):
        assert one.agrees, one
        kind = KINDS[one.feature]
        if kind.function in PAIRS:
            assert one.operands == kind.operands
            continue
        counted = one.counted[0].rows.tolist()
        assert set(counted) <= set(applied)
        assert len(counted) + sum(one.left_out.values()) == len(rows)
        assert sum(tile.events for tile in one.tiles) == len(counted)
        alone = as_served(PLAN, events, at_us, counted)
        place = PLAN.features.index(one.feature)
        if counted:
            assert alone.values[0, place] == one.recomputed or math.isnan(one.recomputed)
        assert_adds_up(one, kind, events)


def assert_adds_up(one: Explanation, kind: Aggregation, events: EntityEvents) -> None:
    tiles = [tile.value for tile in one.tiles]
    if kind.function in ADDED and one.recomputed_status is Status.PRESENT:
        assert math.isclose(math.fsum(tiles), one.recomputed, rel_tol=1e-12, abs_tol=1e-12)
    if kind.function in (Function.MIN, Function.MAX) and tiles and kind.default is None:
        extreme = min if kind.function is Function.MIN else max
        values = [value_of(PLAN, kind, events, row) for row in one.counted[0].rows.tolist()]
        assert extreme(tiles) == one.recomputed
        assert extreme([value for value in values if isinstance(value, float)]) == one.recomputed


def a_departure(second: float, tie: int, delay: float | None = 1.0) -> Event:
    return Event("JFK", 1, round(second * SECOND), tie, delay, 3, late=True, gate="A1", left_at=0)


def test_every_event_that_does_not_count_has_its_reason() -> None:
    rows = [
        a_departure(100, 1),
        a_departure(100, 2),
        a_departure(99, 3),
        a_departure(99, 4, None),
        a_departure(2, 5),
    ]
    kinds = [Verdict.APPLIED, Verdict.DUPLICATE, Verdict.LATE, Verdict.APPLIED, Verdict.APPLIED]
    events = an_entity(rows, kinds, [0, 0, 0, 1, 1])
    name = next(
        one.name
        for one in KINDS.values()
        if one.function is Function.SUM and one.field == "delay" and one.window_us == 10 * SECOND
    )
    served = as_served(PLAN, events, 100 * SECOND, [0, 3, 4])
    (one,) = explained(events, 100 * SECOND, [name], served)
    assert one.agrees
    assert one.left_out == {"duplicate": 1, "late": 1, "no_value": 1, "outside_window": 1}
    assert [(tile.start_us, tile.end_us, tile.value, tile.events) for tile in one.tiles] == [
        (99 * SECOND, 100 * SECOND, 1.0, 1)
    ]


def test_a_value_that_its_events_do_not_make_is_said_not_to_agree() -> None:
    events = an_entity([a_departure(5, 1)], [Verdict.APPLIED], [0])
    served = as_served(PLAN, events, 6 * SECOND, [0])
    name = next(one.name for one in KINDS.values() if one.function is Function.MEAN)
    served.values[0, PLAN.features.index(name)] = np.nextafter(1.0, 2.0)
    (one,) = explained(events, 6 * SECOND, [name], served)
    assert not one.agrees
    served.values[0, PLAN.features.index(name)] = 1.0
    served.status[0, :] = Status.STALE
    (one,) = explained(events, 6 * SECOND, [name], served)
    assert one.agrees
    served.status[0, :] = Status.NULL
    (one,) = explained(events, 6 * SECOND, [name], served)
    assert not one.agrees


def test_the_tile_of_a_feature_that_expired_or_has_a_default_shows_what_it_holds() -> None:
    kind = Aggregation("mean", Function.MEAN, "delay", 60 * SECOND, SECOND, default=-1.0)
    definition = a_view(aggregations=(kind,), ttl_us=SECOND)
    plan = plan_of(definition)
    rows = [a_departure(5, 1, 4.0), a_departure(7, 2, 8.0)]
    times = np.array([one.time for one in rows], dtype=np.int64)
    zeros = np.zeros(2, dtype=np.int64)
    events = EntityEvents(
        "departures",
        to_table(rows),
        to_table(rows),
        a_batch(plan, rows),
        times,
        times,
        zeros,
        zeros,
    )
    served = as_served(plan, events, 30 * SECOND, [0, 1])
    entity = hash_key(b"JFK\x1f1")
    (one,) = explain(
        plan, [events], entity, 30 * SECOND, {"departures": [NO_TIME]}, served, ["mean"]
    )
    assert (one.recomputed, one.agrees) == (-1.0, True)
    assert [tile.value for tile in one.tiles] == [4.0, 8.0]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Aggregation("a", Function.SUM, "delay"), "exact"),
        (Aggregation("a", Function.DISTINCT, "gate", bound=257), "about 6.2%"),
        (Aggregation("a", Function.QUANTILE, "delay", quantile=0.5, error=0.02), "1.562%"),
        (Aggregation("a", Function.TOP_K, "gate", place=1, bound=9), "exact up to 9"),
        (Aggregation("a", Function.EWMA, "delay", half_life_us=1), "2^-26"),
    ],
)
def test_a_feature_says_how_far_it_may_be_off(kind: Aggregation, said: str) -> None:
    assert said in error_bound(kind)


def test_a_text_is_shown_as_it_came() -> None:
    events = an_entity([a_departure(5, 1)], [Verdict.APPLIED], [0])
    kind = Aggregation("a", Function.DISTINCT, "gate")
    assert value_of(PLAN, kind, events, 0) == "A1"
    assert isinstance(events.table["gate"], pa.ChunkedArray)
