"""A training row holds what serving would have answered at its time, bit for bit."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import Invalid
from tidemill_tiles import replay as replay_module
from tidemill_tiles.columns import window_time
from tidemill_tiles.definitions import Aggregation, Function
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.plan import plan_of
from tidemill_tiles.reads import Reading, Status, read
from tidemill_tiles.replay import History, Replay, no_reading, replay
from tidemill_tiles.table import TileTable
from tidemill_tiles.testing.builders import (
    SECOND,
    Event,
    a_batch,
    a_view,
    plain_functions,
    sketched_functions,
    some_events,
    times,
)

VIEW = a_view()
PLAN = plan_of(VIEW)
KEYS = [f"{origin}\x1f{runway}".encode() for origin in ("JFK", "LGA", "EWR") for runway in (0, 1)]
HASHES = hash_keys([*KEYS, b"nobody"])
LABELS = st.lists(st.tuples(st.integers(0, len(KEYS)), times(300)), max_size=25)
DELAYS = st.lists(st.integers(-5 * SECOND, 30 * SECOND), min_size=60, max_size=60)


def in_order(events: list[Event], delays: list[int]) -> tuple[list[Event], list[int]]:
    """Return events with window times, in the order in which they became available."""
    pairs = [
        (max(1, event.time + delay), event) for event, delay in zip(events, delays, strict=False)
    ]
    pairs.sort(key=lambda pair: pair[0])
    known = [
        Event(one.origin, one.runway, min(one.time, at), one.tie, one.delay, one.count, one.late,
              one.gate, one.left_at)
        for at, one in pairs
    ]  # fmt: skip
    return known, [at for at, _ in pairs]


def pieces(events: list[Event], available: list[int], sizes: list[int]) -> list[History]:
    """Cut a history anywhere; also into empty pieces."""
    cuts = [0, *sorted(min(size, len(events)) for size in sizes), len(events)]
    return [
        History(a_batch(PLAN, events[a:b]), np.array(available[a:b], dtype=np.int64))
        for a, b in pairwise(cuts)
    ]


def row_by_row(
    events: list[Event], available: list[int], labels: list[tuple[int, int]], delay: int
) -> Reading:
    """Answer each label from a fresh table that has seen what it may see."""
    rows = []
    for key, at_us in labels:
        seen = [one for one, at in zip(events, available, strict=True) if at + delay <= at_us]
        table = TileTable(PLAN)
        table.apply(a_batch(PLAN, seen))
        rows.append(read(PLAN, [table], HASHES[[key]], at_us))
    return Reading(
        np.concatenate([row.values for row in rows]),
        np.concatenate([row.status for row in rows]),
        np.concatenate([row.event_time for row in rows]),
    )


def as_arrays(
    labels: list[tuple[int, int]],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    keys = HASHES[[key for key, _ in labels]]
    return keys, np.array([at for _, at in labels], dtype=np.int64)


@given(some_events(limit=200), DELAYS, LABELS.filter(bool), st.lists(st.integers(0, 60)), times(20))
@settings(max_examples=40)
def test_a_replay_equals_a_read_at_every_row_bit_for_bit(
    events: list[Event],
    delays: list[int],
    labels: list[tuple[int, int]],
    sizes: list[int],
    delay: int,
) -> None:
    known, available = in_order(events, delays)
    wanted = row_by_row(known, available, labels, delay)
    got = replay(PLAN, pieces(known, available, sizes), *as_arrays(labels), delay_us=delay)
    assert got.values.tobytes() == wanted.values.tobytes()
    assert got.status.tobytes() == wanted.status.tobytes()
    assert got.event_time.tobytes() == wanted.event_time.tobytes()


def a_crowd(seed: int, *, ahead: bool) -> tuple[list[Event], list[int], list[tuple[int, int]]]:
    """Many events and label rows of two entities, whose windows often move by little.

    Some events come late; with `ahead` some are of a later time than the one they are known at.
    """
    chance = random.Random(seed)
    events, delays = [], []
    for number in range(300):
        late = chance.choice([0, 0, 0, 1, 7, 40])
        key = chance.choice([0, 0, 1])
        delay = chance.choice([None, 0.0, *(chance.randrange(-40, 40) / 4 for _ in range(9))])
        events.append(
            Event("JFK", key, chance.randrange(1, 240 * SECOND), number, delay,
                  chance.choice([None, 0, 1, 3, 9]), chance.choice([None, True, False]),
                  chance.choice([None, "A", "B"]), chance.choice([None, 5 * SECOND]))
        )  # fmt: skip
        delays.append(late * SECOND)
    known, available = in_order(events, delays)
    if ahead:
        pairs = zip(known, available, strict=True)
        known = [replace(one, time=max(one.time, at + chance.choice([0, 0, 9])  * SECOND))
                 if number % 9 == 0 else one for number, (one, at) in enumerate(pairs)]  # fmt: skip
    labels = [(chance.choice([0, 1, 1, 6]), chance.randrange(260 * SECOND)) for _ in range(120)]
    return known, available, labels


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_windows_that_move_by_little_are_what_a_read_merges(
    seed: int, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, available, labels = a_crowd(seed, ahead=ahead)
    wanted = row_by_row(known, available, labels, 0)
    for step, sizes in ((16, [5, 90, 91]), (1_000, [])):
        monkeypatch.setattr(replay_module, "STEP_ROWS", step)
        got = replay(PLAN, pieces(known, available, sizes), *as_arrays(labels))
        differ = [
            PLAN.features[feature]
            for feature in np.flatnonzero(np.any(got.status != wanted.status, axis=0))
        ]
        assert not differ
        assert got.values.tobytes() == wanted.values.tobytes()
        assert got.event_time.tobytes() == wanted.event_time.tobytes()


@given(some_events(limit=200), DELAYS, LABELS, st.data())
@settings(max_examples=20)
def test_rows_come_in_input_order_and_late_data_changes_no_older_row(
    events: list[Event], delays: list[int], labels: list[tuple[int, int]], data: st.DataObject
) -> None:
    known, available = in_order(events, delays)
    before = replay(PLAN, pieces(known, available, []), *as_arrays(labels))
    assert before.values.shape == (len(labels), len(PLAN.features))
    shuffled = data.draw(st.permutations(range(len(labels))))
    again = replay(
        PLAN, pieces(known, available, []), *as_arrays([labels[place] for place in shuffled])
    )
    assert again.values.tobytes() == before.values[list(shuffled)].tobytes()
    end = max([at for _, at in labels], default=0) + 1
    more = [*known, Event("JFK", 0, 1, 2**64 - 1, 9.0, 9, True, "X", 9)]
    later = replay(PLAN, pieces(more, [*available, max([*available, end])], []), *as_arrays(labels))
    assert later.values.tobytes() == before.values.tobytes()


COUNT = plan_of(a_view(aggregations=(Aggregation("n", Function.COUNT, None, 10 * SECOND),)))


def counted(
    event: Event, available: int, at: int, *, delay: int = 0, strict: bool = False
) -> float:
    history = History(a_batch(COUNT, [event]), np.array([available], dtype=np.int64))
    labels = (HASHES[:1], np.array([at], dtype=np.int64))
    reading = replay(COUNT, [history], *labels, delay_us=delay, strict=strict)
    found = reading.status[0, 0] == Status.PRESENT
    return float(reading.values[0, 0]) if found else 0.0


def an_event(time: int) -> Event:
    return Event("JFK", 0, time, 1, 1.0, 1, True, "A", 0)


def test_an_event_counts_from_the_moment_it_was_available() -> None:
    assert counted(an_event(5), 7, 6) == 0
    assert counted(an_event(5), 7, 7) == 1
    assert counted(an_event(5), 7, 7, strict=True) == 0
    assert counted(an_event(5), 7, 8, strict=True) == 1
    assert counted(an_event(5), 7, 9, delay=3) == 0
    assert counted(an_event(5), 7, 10, delay=3) == 1


def test_a_future_dated_event_enters_windows_when_it_was_known() -> None:
    event, available = np.array([50 * SECOND]), np.array([2 * SECOND])
    known = int(window_time(event, available)[0])
    assert counted(an_event(known), known, 2 * SECOND) == 1
    assert counted(an_event(known), known, 50 * SECOND) == 0


def test_a_row_without_a_key_is_not_found() -> None:
    history = History(a_batch(COUNT, [an_event(5)]), np.array([5], dtype=np.int64))
    at = np.array([9, 9], dtype=np.int64)
    reading = replay(COUNT, [history], HASHES[[0, 0]], at, valid=np.array([True, False]))
    assert reading.status[:, 0].tolist() == [int(Status.PRESENT), int(Status.NOT_FOUND)]
    assert reading.event_time.tolist() == [5, NO_TIME]


def test_a_history_out_of_order_is_refused() -> None:
    events = a_batch(PLAN, [an_event(1), an_event(2)])
    for available in ([5, 4], [5]):
        with pytest.raises(Invalid):
            replay(PLAN, [History(events, np.array(available))], *as_arrays([(0, 9)]))
    late = History(a_batch(PLAN, [an_event(1)]), np.array([3]))
    with pytest.raises(Invalid):
        replay(PLAN, [History(events, np.array([4, 5])), late], *as_arrays([(0, 9)]))
    with pytest.raises(Invalid, match="future"):
        replay(PLAN, [late], *as_arrays([(0, 9)]), delay_us=-1)


def test_memory_follows_the_longest_window_and_not_the_history() -> None:
    rows = 200_000
    event_time = np.arange(1, rows + 1, dtype=np.int64) * SECOND
    piece = 20_000
    histories = []
    for start in range(0, rows, piece):
        batch = a_batch(COUNT, [an_event(1)] * piece)
        batch.time_us[:] = event_time[start : start + piece]
        histories.append(History(batch, event_time[start : start + piece]))
    labels = np.repeat(HASHES[:1], rows, axis=0)
    reading = replay(COUNT, histories, labels, event_time)
    assert reading.values[-1, 0] == 10
    assert np.count_nonzero(reading.values[:, 0] == 10) == rows - 9


@pytest.mark.parametrize("asked", [True, False])
def test_a_replay_holds_no_more_than_its_windows_want_also_of_entities_nobody_asks_for(
    asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "STEP_ROWS", 100)
    state, count, held = Replay(COUNT, shards=2), 50, []
    for step in range(60):
        time = (np.arange(count, dtype=np.int64) + step * count + 1) * SECOND
        batch = a_batch(
            COUNT, [Event("JFK", n % 6, 1, 1, 1.0, 1, True, "A", 0) for n in range(count)]
        )
        batch.time_us[:] = time
        rows = count if asked else 0
        entities, into = batch.keys.hashes[:rows], no_reading(COUNT, rows)
        state.step(batch, time, entities, time[:rows], into)
        held.append(state.tiles)
    assert max(held) <= 2 * (2 * 10 + 100) + count
    assert held[-1] < 300


@pytest.mark.parametrize("function", [*plain_functions(), *sketched_functions()])
def test_a_view_has_ties_if_and_only_if_ids_of_events_of_one_time_change_a_value(
    function: Aggregation,
) -> None:
    one = replace(function, name="a", window_us=60 * SECOND, hop_us=20 * SECOND)
    plan = plan_of(a_view(aggregations=(one,)))
    events = [
        Event("JFK", 0, 9 * SECOND, 9 - n, n / 4, n, late=True, gate=str(n), left_at=n * SECOND)
        for n in range(3, 9)
    ]

    def found(events: list[Event]) -> bytes:
        history = History(a_batch(plan, events), np.full(len(events), 9 * SECOND, dtype=np.int64))
        at_us = np.array([10 * SECOND], dtype=np.int64)
        return replay(plan, [history], HASHES[:1], at_us).values.tobytes()

    without = found([replace(event, tie=0) for event in events])
    assert (found(events) != without) == plan.has_ties
