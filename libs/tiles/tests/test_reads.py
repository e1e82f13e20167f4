"""What a read answers is what the definition says, whatever the order in which events came."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill_tiles.definitions import PAIRS, Aggregation, Field, Function
from tidemill_tiles.fieldtypes import NO_TIME, FieldType
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.plan import Plan, plan_of
from tidemill_tiles.reads import Reading, Status, read
from tidemill_tiles.table import TileTable
from tidemill_tiles.testing.builders import (
    SECOND,
    Event,
    a_batch,
    a_view,
    an_oracle,
    some_events,
    times,
)

VIEW = a_view()
PLAN = plan_of(VIEW)
KEYS = [f"{origin}\x1f{runway}".encode() for origin in ("JFK", "LGA", "EWR") for runway in (0, 1)]
HASHES = hash_keys(KEYS)


def a_table(plan: Plan, *batches: list[Event]) -> TileTable:
    table = TileTable(plan)
    for events in batches:
        table.apply(a_batch(plan, events))
    return table


def same_bits(one: Reading, other: Reading) -> bool:
    return (
        one.values.tobytes() == other.values.tobytes()
        and one.status.tobytes() == other.status.tobytes()
        and one.event_time.tobytes() == other.event_time.tobytes()
    )


def agrees(got: float, wanted: float, bound: float) -> bool:
    return math.isnan(got) if math.isnan(wanted) else abs(got - wanted) <= bound


@given(some_events(), times())
@settings(max_examples=60)
def test_every_function_over_every_window_is_what_the_oracle_computes(
    events: list[Event], at_us: int
) -> None:
    oracle = an_oracle(VIEW, events)
    reading = read(PLAN, [a_table(PLAN, events)], HASHES, at_us)
    for row, key in enumerate(KEYS):
        wanted = oracle.read(key, at_us)
        assert [int(one) for one in reading.status[row]] == [int(status) for _, status in wanted]
        for place, (value, _) in enumerate(wanted):
            one = VIEW.aggregations[place]
            bound = 0.0 if one.function in PAIRS else oracle.bound(one, key, at_us)
            assert agrees(float(reading.values[row, place]), value, bound), one
        assert int(reading.event_time[row]) == oracle.event_time(key, at_us)


@given(some_events(), times(), st.data())
@settings(max_examples=40)
def test_order_batches_and_partitions_change_no_bit(
    events: list[Event], at_us: int, data: st.DataObject
) -> None:
    whole = read(PLAN, [a_table(PLAN, events)], HASHES, at_us)
    shuffled = data.draw(st.permutations(events))
    partitions = data.draw(st.integers(1, 3))
    tables = [TileTable(PLAN) for _ in range(partitions)]
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        table = tables[data.draw(st.integers(0, partitions - 1))]
        table.apply(a_batch(PLAN, shuffled[:size]))
        shuffled = shuffled[size:]
    assert same_bits(whole, read(PLAN, tables, HASHES, at_us))
    assert same_bits(whole, read(PLAN, tables[::-1], HASHES, at_us))


@given(some_events(), st.data())
@settings(max_examples=30)
def test_masked_rows_leave_no_trace(events: list[Event], data: st.DataObject) -> None:
    mask = np.array([data.draw(st.booleans()) for _ in events], dtype=np.bool_)
    table = TileTable(PLAN)
    assert table.apply(a_batch(PLAN, events), mask) == int(mask.sum())
    kept = [event for event, keep in zip(events, mask.tolist(), strict=True) if keep]
    assert same_bits(
        read(PLAN, [table], HASHES, 60 * SECOND),
        read(PLAN, [a_table(PLAN, kept)], HASHES, 60 * SECOND),
    )


@given(some_events(limit=400), st.integers(0, 400))
@settings(max_examples=40)
def test_eviction_changes_no_answer_but_to_expired(events: list[Event], second: int) -> None:
    watermark = second * SECOND
    full, evicted = a_table(PLAN, events), a_table(PLAN, events)
    evicted.evict(watermark)
    for at_us in range(SECOND, 401 * SECOND, 7 * SECOND + 1):
        before, after = read(PLAN, [full], HASHES, at_us), read(PLAN, [evicted], HASHES, at_us)
        gone = after.status == Status.EXPIRED
        if at_us >= watermark - VIEW.lateness_us:
            assert not gone.any()
        kept = ~gone & (after.status != Status.NOT_FOUND)
        assert np.array_equal(before.values[kept], after.values[kept], equal_nan=True)
        assert np.array_equal(before.status[~gone], after.status[~gone])


@given(some_events(limit=400), st.lists(st.integers(0, 500), max_size=6))
@settings(max_examples=30)
def test_eviction_depends_on_the_last_watermark_only(
    events: list[Event], seconds: list[int]
) -> None:
    windows = tuple(one for one in VIEW.aggregations if one.window_us is not None)
    plan = plan_of(a_view(aggregations=windows))
    stepwise, at_once = a_table(plan, events), a_table(plan, events)
    for second in sorted(seconds):
        stepwise.evict(second * SECOND)
    at_once.evict(max(seconds, default=0) * SECOND)
    assert (stepwise.tiles, stepwise.entities) == (at_once.tiles, at_once.entities)
    assert sorted(stepwise.entity_keys()) == sorted(at_once.entity_keys())
    assert at_once.entities <= len({event.key for event in events})
    at_once.evict(10_000 * SECOND)
    assert (at_once.tiles, at_once.entities, at_once.entity_keys()) == (0, 0, [])


def an_event(time: int, **changes: object) -> Event:
    fields: dict[str, object] = {"origin": "JFK", "runway": 0, "time": time, "tie": time}
    fields |= {"delay": 1.0, "count": 1, "late": True, "gate": "A", "left_at": 0}
    return Event(**(fields | changes))  # type: ignore[arg-type]


def one_feature(function: Function, field: str | None, **changes: object) -> Plan:
    one = Aggregation("one", function, field, 10 * SECOND, SECOND)
    return plan_of(a_view(aggregations=(one,), **changes))


def test_a_value_decays_with_time_even_when_no_event_comes() -> None:
    plan = one_feature(Function.COUNT, None)
    table = a_table(plan, [an_event(SECOND), an_event(5 * SECOND)])
    counts = [read(plan, [table], HASHES[:1], at * SECOND).values[0, 0] for at in (1, 5, 10, 14)]
    assert counts == [1, 2, 2, 1]
    assert read(plan, [table], HASHES[:1], 15 * SECOND).status[0, 0] == Status.NOT_FOUND


def test_the_edge_of_a_tile_belongs_to_the_tile_that_ends_there() -> None:
    plan = one_feature(Function.COUNT, None)
    table = a_table(plan, [an_event(SECOND), an_event(SECOND + 1)])
    assert read(plan, [table], HASHES[:1], SECOND).values[0, 0] == 1
    assert read(plan, [table], HASHES[:1], SECOND + 1).values[0, 0] == 2


def test_an_entity_older_than_its_time_to_live_is_expired() -> None:
    plan = one_feature(Function.COUNT, None, ttl_us=3 * SECOND)
    table = a_table(plan, [an_event(SECOND)])
    assert read(plan, [table], HASHES[:1], 4 * SECOND).status[0, 0] == Status.PRESENT
    late = read(plan, [table], HASHES[:1], 4 * SECOND + 1)
    assert late.status[0, 0] == Status.EXPIRED
    assert math.isnan(late.values[0, 0])
    assert late.event_time[0] == SECOND


def test_an_unknown_entity_is_not_found_and_has_no_event_time() -> None:
    reading = read(PLAN, [TileTable(PLAN), TileTable(PLAN)], HASHES, 10)
    own = [one.default is None for one in VIEW.aggregations]
    assert (reading.status[:, own] == Status.NOT_FOUND).all()
    assert np.isnan(reading.values[:, own]).all()
    assert (reading.event_time == NO_TIME).all()


def test_each_entity_is_read_at_its_own_time() -> None:
    plan = one_feature(Function.COUNT, None)
    table = a_table(plan, [an_event(SECOND), an_event(5 * SECOND)])
    at = np.array([SECOND, 5 * SECOND, 100 * SECOND], dtype=np.int64)
    reading = read(plan, [table], HASHES[[0, 0, 0]], at)
    assert reading.values[:2, 0].tolist() == [1, 2]
    assert reading.status[:, 0].tolist() == [0, 0, int(Status.NOT_FOUND)]


def test_a_view_filter_keeps_events_out_of_every_aggregation() -> None:
    plan = one_feature(Function.COUNT, None, filter="delay > 0")
    table = a_table(plan, [an_event(1), an_event(2, delay=-1.0), an_event(3, delay=None)])
    assert read(plan, [table], HASHES[:1], 10).values[0, 0] == 1


def test_distinct_is_exact_up_to_its_bound_and_close_beyond_it() -> None:
    one = Aggregation("one", Function.DISTINCT, "gate", 10 * SECOND, SECOND, bound=100)
    plan = plan_of(a_view(aggregations=(one,)))
    exact = [an_event(1 + number, gate=f"G{number}") for number in range(100)]
    many = [an_event(1 + number, gate=f"G{number}") for number in range(3_000)]
    assert read(plan, [a_table(plan, exact)], HASHES[:1], SECOND).values[0, 0] == 100
    spread = [a_table(plan, many[part::3]) for part in range(3)]
    estimate = read(plan, spread, HASHES[:1], SECOND).values[0, 0]
    assert estimate == read(plan, [a_table(plan, many)], HASHES[:1], SECOND).values[0, 0]
    assert 2_000 < estimate < 4_000


def test_variance_of_large_equal_values_is_zero_and_does_not_cancel() -> None:
    one = Aggregation("one", Function.VAR, "count", None)
    plan = plan_of(a_view(aggregations=(one,)))
    big = 2**48 - 2
    same = [an_event(number + 1, count=big) for number in range(1_000)]
    assert read(plan, [a_table(plan, same)], HASHES[:1], 9).values[0, 0] == 0
    other = [*same, *(an_event(2_000 + number, count=big - 2) for number in range(1_000))]
    assert read(plan, [a_table(plan, other)], HASHES[:1], 9).values[0, 0] == 1
    below = [an_event(number + 1, count=-big + number % 2) for number in range(1_000)]
    assert read(plan, [a_table(plan, below)], HASHES[:1], 9).values[0, 0] == 0.25


def test_tables_grow_over_many_entities_and_forget_their_keys() -> None:
    view = a_view(
        entity=(Field("gate", FieldType.STRING),),
        aggregations=(Aggregation("one", Function.COUNT, None, 10 * SECOND),),
    )
    plan, table = plan_of(view), None
    table = TileTable(plan)
    for second in range(0, 200, 20):
        events = [
            an_event(second * SECOND + 1 + number, gate=f"{second}-{number}" * 20)
            for number in range(500)
        ]
        table.apply(a_batch(plan, events))
        table.evict((second + 1) * SECOND)
        assert table.entities == len(set(table.entity_keys()))
        assert f"{second}-7".encode() * 20 in table.entity_keys()
    assert table.entities <= 1_500
    assert table.state_bytes < 2_000_000
