import json

import numpy as np
import pytest

from benchmarks.peers.workload import CHECK, HOP_MS, PARTITIONS, WINDOWS_MINUTES, Workload

LOAD = Workload(events=5_000, keys=100)


def test_the_same_numbers_make_the_same_events() -> None:
    assert Workload(300).json() == Workload(300).json()


def test_fewer_events_are_the_first_of_more() -> None:
    assert Workload(5_000).json()[:300] == Workload(300).json()


def test_json_says_what_the_columns_say() -> None:
    read = [json.loads(one) for one in LOAD.json()]
    assert [one["key"] for one in read] == [f"k{number}" for number in LOAD.key.tolist()]
    assert [one["at"] for one in read] == LOAD.at_ms.tolist()
    assert [round(one["value"] * 100) for one in read] == LOAD.cents.tolist()
    assert len({one["id"] for one in read}) == LOAD.events


@pytest.mark.parametrize("load", [LOAD, CHECK])
def test_times_rise_and_never_fall_on_a_boundary(load: Workload) -> None:
    assert (np.diff(load.at_ms) > 0).all()
    assert (load.at_ms % HOP_MS != 0).all()


@pytest.mark.parametrize("load", [LOAD, CHECK])
def test_the_end_closes_the_hop_of_the_last_event(load: Workload) -> None:
    assert load.end_ms % HOP_MS == 0
    assert 0 < load.end_ms - load.at_ms[-1] <= HOP_MS


def test_a_key_has_one_partition() -> None:
    places = set(zip(LOAD.key.tolist(), LOAD.partition().tolist(), strict=True))
    assert len(places) == len(set(LOAD.key.tolist()))
    assert {place for _, place in places} == set(range(PARTITIONS))


def test_a_sentinel_is_past_the_end_and_of_no_key() -> None:
    sentinel = json.loads(LOAD.sentinel(1))
    assert sentinel["at"] > LOAD.end_ms
    assert sentinel["key"] not in {f"k{number}" for number in range(LOAD.keys)}


def test_the_check_is_longer_than_the_longest_window() -> None:
    assert CHECK.at_ms[-1] - CHECK.at_ms[0] > max(WINDOWS_MINUTES) * 60_000
