"""The functions with parameters keep their stated bounds, whatever the order of events."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill_tiles.definitions import Aggregation, Function, Gives, error_of, precision_of
from tidemill_tiles.kernels import decay, sketches
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.plan import Plan, cost, plan_of
from tidemill_tiles.reads import Status, read
from tidemill_tiles.table import TileTable
from tidemill_tiles.testing.builders import SECOND, Event, a_batch, a_view, an_oracle

JFK = hash_keys([b"JFK\x1f0"])
UNIT = 2.0**-20
HOUR = 3_600 * SECOND
EWMA = Aggregation("one", Function.EWMA, "count", half_life_us=SECOND)
QUANTILE = Aggregation("one", Function.QUANTILE, "count", quantile=0.5)
TOP = Aggregation("one", Function.TOP_K, "count", place=1, gives=Gives.VALUE, bound=4)
LAST = Aggregation("one", Function.LAST_K, "count", place=1)


def an_event(
    time: int, count: int | None = 1, *, tie: int | None = None, delay: float | None = 1.0
) -> Event:
    return Event("JFK", 0, time, time if tie is None else tie, delay, count, True, "A", 0)


def of(*aggregations: Aggregation, **changes: object) -> Plan:
    return plan_of(a_view(aggregations=aggregations, **changes))


def values(
    plan: Plan, events: list[Event], at_us: int = HOUR, *, tables: int = 1
) -> tuple[list[float], list[int]]:
    """Read from so many tables, among which the events are dealt out."""
    parts = [TileTable(plan) for _ in range(tables)]
    for number, part in enumerate(parts):
        for event in events[number::tables]:
            part.apply(a_batch(plan, [event]))
    reading = read(plan, parts, JFK, at_us)
    return reading.values[0].tolist(), reading.status[0].tolist()


def value(plan: Plan, events: list[Event], at_us: int = HOUR, *, tables: int = 1) -> float:
    return values(plan, events, at_us, tables=tables)[0][0]


@given(st.integers(-(2**48) + 1, 2**48 - 1), st.integers(1, 7))
def test_the_middle_of_a_bucket_is_as_near_as_its_bits_promise(number: int, bits: int) -> None:
    bucket = int(sketches.bucket_of(np.int64(number), np.int64(bits)))
    word = np.uint64(bucket << 48 | 1)
    middle = float(sketches.middle_of(word, np.int64(bits)))
    assert abs(middle - number) <= error_of(bits) * abs(number)
    if abs(number) < 2**bits:
        assert middle == number


@given(st.integers(-(2**48) + 1, 2**48 - 2), st.integers(1, 7))
def test_buckets_ascend_with_values(number: int, bits: int) -> None:
    one, other = (
        int(sketches.bucket_of(np.int64(each), np.int64(bits))) for each in (number, number + 1)
    )
    assert 0 < one <= other < 2**16


@pytest.mark.parametrize(("error", "bits"), [(None, 5), (0.25, 1), (0.01, 6), (0.004, 7)])
def test_a_quantile_keeps_as_few_bits_as_its_error_allows(error: float | None, bits: int) -> None:
    assert precision_of(error) == bits


@given(st.integers(0, 2**51), st.integers(1, 2**50))
@settings(max_examples=300)
def test_a_weight_is_off_by_less_than_its_bound(time: int, half_life: int) -> None:
    wanted = 2.0 ** ((time % half_life) / half_life)
    got = int(decay.weight(np.int64(time), np.int64(half_life))) / 2**30
    assert abs(got - wanted) <= 2.0**-27 * wanted


MANY = st.lists(
    st.builds(
        an_event,
        st.integers(1, 300).map(lambda second: second * SECOND),
        st.one_of(st.integers(-3, 3), st.integers(-(2**48) + 1, 2**48 - 1)),
        tie=st.integers(0, 2**64 - 1),
    ),
    min_size=1,
    max_size=120,
    unique_by=lambda one: one.tie,
)
EVERY = (
    EWMA,
    replace(EWMA, name="in_hours", half_life_us=HOUR),
    replace(QUANTILE, name="median"),
    replace(QUANTILE, name="rough", quantile=0.9, error=0.3),
    replace(LAST, name="third", place=3),
    *(replace(TOP, name=f"top_{gives}", gives=gives) for gives in Gives),
    replace(TOP, name="second", place=2, bound=200),
)


@given(MANY, st.randoms(use_true_random=False), st.integers(1, 3))
@settings(max_examples=60)
def test_a_lifetime_depends_on_the_set_of_events_only_and_keeps_its_bound(
    events: list[Event], chance: object, tables: int
) -> None:
    view = a_view(aggregations=EVERY)
    plan, oracle = plan_of(view), an_oracle(view, events)
    shuffled = list(events)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    got, statuses = values(plan, events)
    again = values(plan, shuffled, tables=tables)
    assert np.array(again[0]).tobytes() == np.array(got).tobytes()
    assert again[1] == statuses
    for one, number, status, (wanted, stated) in zip(
        EVERY, got, statuses, oracle.read(b"JFK\x1f0", HOUR), strict=True
    ):
        assert status == stated, one
        if not math.isnan(wanted):
            assert abs(number - wanted) <= oracle.bound(one, b"JFK\x1f0", HOUR), one


def test_an_ewma_halves_the_weight_of_a_value_each_half_life() -> None:
    plan = of(EWMA)
    assert value(plan, [an_event(10 * SECOND, 5)]) == 5
    assert value(plan, [an_event(SECOND, 0), an_event(2 * SECOND, 3)]) == 2
    assert value(plan, [an_event(SECOND, 0), an_event(3 * SECOND, 5)]) == 4


def test_an_ewma_of_a_window_forgets_what_the_window_has_left() -> None:
    plan = of(replace(EWMA, window_us=10 * SECOND, half_life_us=HOUR))
    events = [an_event(SECOND, 100), an_event(15 * SECOND, 3)]
    assert value(plan, events, 15 * SECOND) == 3


def test_the_bins_of_a_histogram_begin_at_their_edges_and_hold_every_value() -> None:
    edges = (-1.0, 0.0, 2.5)
    bins = [
        Aggregation(f"b{place}", Function.HISTOGRAM, "delay", edges=edges, place=place)
        for place in range(4)
    ]
    delays = [-7.0, -1.0, -UNIT, 0.0, 2.5 - UNIT, 2.5, 2.5, None]
    events = [an_event(1 + number, delay=delay) for number, delay in enumerate(delays)]
    assert values(of(*bins), events)[0] == [1, 2, 2, 2]


def test_top_k_ranks_by_count_then_by_the_smaller_value() -> None:
    counts = [7, 7, 7, -2, -2, 5, 5, 9]
    events = [an_event(1 + number, count) for number, count in enumerate(counts)]
    places = [replace(TOP, name=f"p{place}", place=place) for place in range(1, 6)]
    got, statuses = values(of(*places), events, tables=2)
    assert got[:4] == [7, -2, 5, 9]
    assert statuses[4] == Status.NULL
    shares = [replace(each, gives=Gives.SHARE) for each in places]
    assert values(of(*shares), events)[0][:2] == [3 / 8, 2 / 8]


@pytest.mark.parametrize("tables", [1, 2, 5])
def test_top_k_is_null_when_there_are_more_values_than_its_bound(tables: int) -> None:
    plan = of(TOP)
    events = [an_event(1 + number, number % 4) for number in range(12)]
    assert values(plan, events, tables=tables)[1] == [Status.PRESENT]
    more = [*events, an_event(99, 4), *events]
    assert values(plan, more, tables=tables)[1] == [Status.NULL]
    wider = replace(TOP, name="wider", bound=5)
    assert values(of(TOP, wider), more, tables=tables)[1] == [Status.NULL, Status.PRESENT]


def test_last_k_breaks_ties_by_event_id_and_is_null_where_there_are_fewer() -> None:
    places = [replace(LAST, name=f"p{place}", place=place) for place in (1, 2, 3, 4)]
    events = [an_event(5, 1, tie=3), an_event(5, 2, tie=9), an_event(1, 3), an_event(7, None)]
    got, statuses = values(of(*places), events, tables=3)
    assert got[:3] == [2, 1, 3]
    assert statuses == [Status.PRESENT] * 3 + [Status.NULL]


def test_a_rate_is_per_second_of_the_whole_window() -> None:
    rate = Aggregation("one", Function.RATE, None, 10 * SECOND)
    worth = replace(rate, name="worth", field="count")
    events = [an_event(SECOND, 4), an_event(2 * SECOND, 5), an_event(3 * SECOND, None)]
    assert values(of(rate, worth), events, 3 * SECOND)[0] == [0.3, 0.9]


def test_time_since_last_is_counted_from_the_newest_event_and_never_negative() -> None:
    since = Aggregation("one", Function.TIME_SINCE_LAST)
    known = replace(since, name="known", field="count")
    events = [an_event(SECOND, 4), an_event(90 * SECOND, None)]
    plan = of(since, known)
    assert values(plan, events, 100 * SECOND)[0] == [10.0, 99.0]
    assert values(plan, events, 50 * SECOND)[0] == [0.0, 49.0]
    assert not of(since).extras.size


COUNT = Aggregation("n", Function.COUNT, None, 10 * SECOND, SECOND)
SUM = Aggregation("s", Function.SUM, "count", 10 * SECOND, SECOND)
MEAN = Aggregation("m", Function.MEAN, "count", 10 * SECOND, SECOND)
RATIO = Aggregation("r", Function.RATIO, operands=("n", "s"))
LESS = Aggregation("d", Function.DIFFERENCE, operands=("m", "n"))


def test_a_ratio_to_zero_and_a_pair_with_a_null_are_null() -> None:
    plan = of(RATIO, COUNT, SUM, MEAN, LESS)
    assert values(plan, [an_event(1, 4)], SECOND)[0] == [0.25, 1, 4, 4, 3]
    got, statuses = values(plan, [an_event(1, None)], SECOND)
    assert got[1:3] == [1, 0]
    assert statuses == [Status.NULL, 0, 0, Status.NULL, Status.NULL]
    assert values(plan, [], SECOND)[1] == [Status.NOT_FOUND] * 5


def test_a_default_stands_for_what_is_not_there_but_not_for_what_is_forgotten() -> None:
    mean = replace(MEAN, default=-1.0)
    plan = of(COUNT, mean, replace(LESS, default=7.0), ttl_us=5 * SECOND)
    assert values(plan, [], SECOND) == ([pytest.approx(math.nan, nan_ok=True), -1, 7], [4, 0, 0])
    assert values(plan, [an_event(1, None)], SECOND)[0] == [1, -1, 7]
    assert values(plan, [an_event(1, 3)], 6 * SECOND)[1] == [Status.EXPIRED, 0, 0]
    table = TileTable(plan)
    table.apply(a_batch(plan, [an_event(1, 3)]))
    table.evict(1_000 * SECOND)
    assert read(plan, [table], JFK, SECOND).status[0].tolist() == [Status.EXPIRED] * 3


def test_the_cost_counts_what_a_tile_can_hold_at_most() -> None:
    count = cost(a_view(aggregations=(COUNT,), lateness_us=0))
    assert count.rows_per_entity == 11
    for one, words in (
        (replace(EWMA, window_us=10 * SECOND, half_life_us=HOUR), 2 + 2 * 4),
        (replace(EWMA, window_us=10 * SECOND, half_life_us=1), 2 + 64 * 4),
        (replace(TOP, window_us=10 * SECOND), 2 + 2 * 4),
        (replace(LAST, window_us=10 * SECOND, place=7), 2 + 3 * 7),
        (replace(QUANTILE, window_us=10 * SECOND), 2 + 2 * 44 * 32),
        (Aggregation("h", Function.HISTOGRAM, "count", 10 * SECOND, edges=(1.0,), place=0), 2),
    ):
        price = cost(a_view(aggregations=(one,), lateness_us=0))
        assert price.bytes_per_row == count.bytes_per_row + 8 * words, one
