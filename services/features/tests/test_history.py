"""A history is what a read would have answered: at its rows, and at every moment between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill_features.entityevents import EntityEvents
from tidemill_features.history import MAX_MOMENTS, Course, Span, course
from tidemill_tiles.definitions import Aggregation, Function
from tidemill_tiles.keys import hash_key
from tidemill_tiles.plan import Plan, plan_of
from tidemill_tiles.reads import Reading, read
from tidemill_tiles.table import TileTable
from tidemill_tiles.testing.builders import SECOND, Event, a_batch, a_view, some_events, to_table
from tidemill_tiles.verdict import Verdict

KEY = b"JFK\x1f1"
EVERY = a_view()
WHOLE, SHORT_LIVED = plan_of(EVERY), plan_of(a_view(ttl_us=15 * SECOND))
STEADY = [one.name for one in EVERY.aggregations if one.function is not Function.TIME_SINCE_LAST]
"""Features whose value stands still between changes."""


def an_entity(plan: Plan, rows: Sequence[Event], delays: Sequence[int]) -> EntityEvents:
    known = [replace(one, origin="JFK", runway=1) for one in rows]
    times = np.array([one.time for one in known], dtype=np.int64)
    kinds = [Verdict(one.tie % 5 if one.tie % 5 < 3 else 0) for one in known]
    return EntityEvents(
        "departures",
        to_table(known),
        to_table(known),
        a_batch(plan, known),
        times,
        times + np.array(delays, dtype=np.int64),
        np.zeros(len(known), dtype=np.int64),
        np.array([int(one) for one in kinds], dtype=np.int64),
    )


def answered_at(plan: Plan, events: EntityEvents, at_us: int) -> Reading:
    """Read a table that has just what was known at a time."""
    table = TileTable(plan)
    known = (events.available_us <= at_us) & (events.verdict == Verdict.APPLIED)
    table.apply(events.batch, known)
    return read(plan, [table], hash_key(KEY).reshape(1, 2), at_us)


def assert_as_answered(
    plan: Plan, events: EntityEvents, names: Sequence[str], found: Course, row: int, at_us: int
) -> None:
    places = [plan.features.index(name) for name in names]
    wanted = answered_at(plan, events, at_us)
    assert found.status[row].tolist() == wanted.status[0, places].tolist(), at_us
    assert np.array_equal(found.values[row], wanted.values[0, places], equal_nan=True), at_us


@given(
    some_events(size=12),
    st.lists(st.sampled_from(STEADY), min_size=1, max_size=8, unique=True),
    st.lists(st.integers(0, 30 * SECOND), min_size=12, max_size=12),
    st.lists(st.integers(1, 250 * SECOND), max_size=20),
    st.sampled_from([None, 40 * SECOND]),
    st.sampled_from([WHOLE, SHORT_LIVED]),
)
@settings(max_examples=60)
def test_at_every_moment_a_history_says_what_a_read_would_have_said(
    drawn: list[Event],
    names: list[str],
    delays: list[int],
    probes: list[int],
    since: int | None,
    plan: Plan,
) -> None:
    events = an_entity(plan, drawn, delays[: len(drawn)])
    until = 250 * SECOND
    found = course(plan, [events], KEY, names, Span(since, until), 10_000)
    assert not found.cut
    assert found.at_us[-1] == until
    assert np.all(np.diff(found.at_us) > 0)
    edges = [at + shift for at in found.at_us.tolist() for shift in (-1, 0)]
    for at in [*probes, *edges]:
        row = int(np.searchsorted(found.at_us, at, side="right")) - 1
        if row >= 0 and at <= until:
            assert_as_answered(plan, events, names, found, row, at)


def a_view_of(function: Function, window_s: int) -> Plan:
    kind = Aggregation("it", function, "delay", window_s * SECOND, SECOND)
    return plan_of(a_view(aggregations=(kind,)))


def some_departures(plan: Plan, seconds: Sequence[int]) -> EntityEvents:
    rows = [
        Event("JFK", 1, second * SECOND, 5 * tie + 3, 1.0, 1, late=True, gate="A1", left_at=0)
        for tie, second in enumerate(seconds)
    ]
    return an_entity(plan, rows, [0] * len(rows))


def test_a_window_slides_past_its_events() -> None:
    plan = a_view_of(Function.SUM, 10)
    events = some_departures(plan, [100, 105])
    found = course(plan, [events], KEY, ["it"], Span(None, 200 * SECOND), 100)
    assert found.values[:, 0].tolist()[:3] == [1.0, 2.0, 1.0]
    assert found.at_us.tolist()[:3] == [100 * SECOND, 105 * SECOND, 109 * SECOND + 1]


def test_the_newest_rows_are_kept_and_it_is_said_that_others_were_not() -> None:
    plan = a_view_of(Function.COUNT, 5)
    events = some_departures(plan, range(10, 100, 7))
    whole = course(plan, [events], KEY, ["it"], Span(None, 200 * SECOND), 100)
    part = course(plan, [events], KEY, ["it"], Span(None, 200 * SECOND), 4)
    assert (whole.cut, part.cut) == (False, True)
    assert part.at_us.tolist() == whole.at_us.tolist()[-4:]


def test_regular_moments_are_answered_besides_the_changes() -> None:
    plan = a_view_of(Function.SUM, 10)
    events = some_departures(plan, [100])
    span = Span(90 * SECOND, 110 * SECOND, every_us=5 * SECOND)
    found = course(plan, [events], KEY, ["it"], span, 100)
    seconds = [90, 95, 100, 105, 109.000001, 110]
    assert found.at_us.tolist() == [round(one * SECOND) for one in seconds]


@pytest.mark.parametrize("every_us", [1, 1_000])
def test_no_answer_looks_at_more_moments_than_it_may(every_us: int) -> None:
    plan = a_view_of(Function.SUM, 10)
    events = some_departures(plan, [100])
    span = Span(90 * SECOND, 2_000 * SECOND, every_us=every_us)
    found = course(plan, [events], KEY, ["it"], span, 10**6)
    assert found.cut
    assert len(found.at_us) <= MAX_MOMENTS


def test_an_entity_of_which_nothing_counts_has_one_row() -> None:
    plan = a_view_of(Function.SUM, 10)
    events = some_departures(plan, [100])
    late = replace(events, verdict=np.array([int(Verdict.LATE)]))
    found = course(plan, [late], KEY, ["it"], Span(None, 200 * SECOND), 100)
    assert found.at_us.tolist() == [200 * SECOND]
    assert np.isnan(found.values).all()
