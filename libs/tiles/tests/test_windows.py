"""Windows from seconds to 90 days in one view, each with its hop, beside what has no window."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidemill_tiles.definitions import Aggregation, Function, hop_of
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.plan import plan_of
from tidemill_tiles.reads import read
from tidemill_tiles.table import TileTable
from tidemill_tiles.testing.builders import SECOND, Event, a_batch, a_view, an_oracle
from tidemill_tiles.validation import validate

MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WINDOWS: Final = (
    (10 * SECOND, None),
    (5 * MINUTE, SECOND),
    (HOUR, None),
    (DAY, 10 * MINUTE),
    (30 * DAY, DAY),
    (90 * DAY, 6 * HOUR),
    (None, None),
)
KINDS: Final = (
    Aggregation("count", Function.COUNT),
    Aggregation("sum", Function.SUM, "count"),
    Aggregation("std", Function.STD, "delay"),
    Aggregation("min", Function.MIN, "count"),
    Aggregation("last", Function.LAST, "delay"),
    Aggregation("ids", Function.DISTINCT, "count"),
    Aggregation("median", Function.QUANTILE, "count", quantile=0.5),
    Aggregation("second", Function.LAST_K, "count", place=2),
    Aggregation("ewma", Function.EWMA, "delay", half_life_us=HOUR),
)
VIEW: Final = a_view(
    aggregations=tuple(
        replace(kind, name=f"{kind.name}_{number}", window_us=length, hop_us=hop)
        for number, (length, hop) in enumerate(WINDOWS)
        for kind in KINDS
    )
)
PLAN: Final = plan_of(VIEW)
JFK: Final = b"JFK\x1f0"
AT: Final = 1_000 * DAY + 12 * HOUR + 34 * MINUTE + 56 * SECOND + 789
SPANS: Final = [length for length, _ in WINDOWS if length]
EDGES: Final = sorted(
    {
        age
        for one in VIEW.aggregations
        if (hop := hop_of(one)) and one.window_us
        for tail in [one.window_us + (AT - 1) % hop - hop + 1]
        for age in (0, 1, tail - 1, tail, tail + 1)
    }
)
"""How old an event is that lies on a side of the tail of a window."""


def an_event(age: int, tie: int, delay: float | None, count: int | None) -> Event:
    return Event("JFK", 0, AT - age, tie, delay, count, late=True, gate="A", left_at=0)


AGES: Final = st.one_of(
    st.sampled_from(EDGES),
    st.sampled_from(SPANS).flatmap(lambda span: st.integers(0, span + span // 4)),
)
EVENTS: Final = st.lists(
    st.builds(
        an_event,
        AGES,
        st.integers(0, 2**64 - 1),
        st.one_of(st.none(), st.floats(-1e6, 1e6)),
        st.one_of(st.none(), st.integers(-3, 3)),
    ),
    max_size=80,
    unique_by=lambda one: one.tie,
)
ON_EVERY_EDGE: Final = [an_event(age, tie, tie / 4, tie) for tie, age in enumerate(EDGES)]


def test_the_view_is_one_that_can_be_built() -> None:
    assert validate(VIEW) == ()
    assert len({hop_of(one) for one in VIEW.aggregations}) > 5


@given(EVENTS)
@example(ON_EVERY_EDGE)
@settings(max_examples=60, deadline=None)
def test_every_window_counts_what_lies_in_it_and_nothing_else(events: list[Event]) -> None:
    table, oracle = TileTable(PLAN), an_oracle(VIEW, events)
    table.apply(a_batch(PLAN, events))
    reading = read(PLAN, [table], hash_keys([JFK]), AT)
    wanted = oracle.read(JFK, AT)
    for place, (one, (value, status)) in enumerate(zip(VIEW.aggregations, wanted, strict=True)):
        got, bound = float(reading.values[0, place]), oracle.bound(one, JFK, AT)
        assert int(reading.status[0, place]) == int(status), one
        assert math.isnan(value) or abs(got - value) <= bound, one


@given(EVENTS)
@example(ON_EVERY_EDGE)
@settings(max_examples=30, deadline=None)
def test_what_no_window_reaches_any_more_is_let_go_and_nothing_else(events: list[Event]) -> None:
    table = TileTable(PLAN)
    table.apply(a_batch(PLAN, events))
    before = read(PLAN, [table], hash_keys([JFK]), AT)
    table.evict(AT)
    after = read(PLAN, [table], hash_keys([JFK]), AT)
    assert after.values.tobytes() == before.values.tobytes()
    assert after.status.tobytes() == before.status.tobytes()
    table.evict(AT + 200 * DAY)
    assert table.tiles <= len(events)  # a lifetime needs one row an entity
    assert table.tiles <= 1
