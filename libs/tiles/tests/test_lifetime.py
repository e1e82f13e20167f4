"""A replay of a view over the whole past is what a read of its one tile answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill_tiles.columns import EventBatch
from tidemill_tiles.definitions import Aggregation, Function
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.lifetime import outputs_of_tile
from tidemill_tiles.plan import plan_of
from tidemill_tiles.reads import Reading, read
from tidemill_tiles.replay import History, replay
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

BLOCKS = {Function.DISTINCT, Function.EWMA, Function.QUANTILE, Function.LAST_K, Function.TOP_K}
OWN = [one for one in (*plain_functions(), *sketched_functions()) if one.function not in BLOCKS]
PAIRS = (
    Aggregation("share", Function.RATIO, operands=("a2", "a1")),
    Aggregation("between", Function.DIFFERENCE, operands=("a7", "a6"), default=-7.5),
)
AGGREGATIONS = (*PAIRS, *(replace(one, name=f"a{number}") for number, one in enumerate(OWN)))
VIEW = a_view(aggregations=AGGREGATIONS, ttl_us=90 * SECOND)
PLAN = plan_of(VIEW)
KEYS = [f"{origin}\x1f{runway}".encode() for origin in ("JFK", "LGA", "EWR") for runway in (0, 1)]
HASHES = hash_keys([*KEYS, b"nobody"])
LABELS = st.lists(st.tuples(st.integers(0, len(KEYS)), times(300)), min_size=1, max_size=25)


def read_at(events: list[Event], key: int, at_us: int) -> Reading:
    """Answer from a fresh table that has seen what was there by then."""
    table = TileTable(PLAN)
    table.apply(a_batch(PLAN, [one for one in events if one.time <= at_us]))
    return read(PLAN, [table], HASHES[[key]], at_us)


@given(some_events(limit=200), LABELS, st.lists(st.integers(0, 60), max_size=3))
@settings(max_examples=60)
def test_a_replay_equals_a_read_at_every_row_bit_for_bit(
    events: list[Event], labels: list[tuple[int, int]], cuts: list[int]
) -> None:
    events = sorted(events, key=lambda one: one.time)
    places = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    pieces = [
        History(a_batch(PLAN, events[a:b]), np.array([one.time for one in events[a:b]], np.int64))
        for a, b in pairwise(places)
    ]
    at_us = np.array([at for _, at in labels], dtype=np.int64)
    got = replay(PLAN, pieces, HASHES[[key for key, _ in labels]], at_us)
    wanted = [read_at(events, key, at) for key, at in labels]
    assert got.values.tobytes() == b"".join(one.values.tobytes() for one in wanted)
    assert got.status.tobytes() == b"".join(one.status.tobytes() for one in wanted)
    assert got.event_time.tobytes() == b"".join(one.event_time.tobytes() for one in wanted)


def test_more_entities_than_there_is_room_for_at_first_are_all_found() -> None:
    count = 5_000
    entities = [f"E{number}\x1f0".encode() for number in range(count)]
    batch = a_batch(
        PLAN, [Event(f"E{n}", 0, n + 1, n, n / 4, n, True, "A", 0) for n in range(count)]
    )
    last = PLAN.features.index("a7")
    found = replay(
        PLAN, [History(batch, batch.time_us)], hash_keys(entities), np.full(count, count, np.int64)
    )
    assert found.values[:, last].tolist() == [number / 4 for number in range(count)]


def test_only_a_view_over_the_whole_past_without_blocks_is_read_from_its_tile() -> None:
    assert outputs_of_tile(PLAN) is not None
    for more in (
        Aggregation("n", Function.COUNT, None, 10 * SECOND, SECOND),
        Aggregation("d", Function.DISTINCT, "gate"),
    ):
        assert outputs_of_tile(plan_of(replace(VIEW, aggregations=(*AGGREGATIONS, more)))) is None


@pytest.mark.parametrize("rows", [[], [3, 1], [0, 1, 2, 3]])
def test_events_are_taken_with_all_their_columns(rows: list[int]) -> None:
    events = [Event("JFK", n, 9 + n, n, n / 4, n, True, str(n), n) for n in range(4)]
    whole, order = a_batch(PLAN, events), np.array(rows, dtype=np.int64)
    parts: EventBatch = a_batch(PLAN, [events[row] for row in rows])
    found = whole.taken(order)
    for got, wanted in zip(
        (found[0], *found[4:]),
        (parts.keys.hashes, parts.time_us, parts.tie, parts.values, parts.valid, parts.filters),
        strict=True,
    ):
        assert got.tolist() == wanted.tolist()
