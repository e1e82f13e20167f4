"""A vector is recomputed from what lay below its positions, in its windows, and from nothing else."""

from __future__ import annotations

import math

import numpy as np

from tests.chaos.oracle import Applied, Expected, values_at
from tests.chaos.traffic import PARTITIONS, SECOND_US
from tests.chaos.vectors import Floats, Vector, recomputed, same

AT_US = 7_200 * SECOND_US
NOTHING = [0.0, 0.0, 0.0, 0.0, math.nan, math.nan]


def an_event(
    number: int, *, ago_s: float = 10.0, cents: int = 100, partition: int = 0, user: str = "u1"
) -> Applied:
    time_us = AT_US - int(ago_s * SECOND_US)
    return Applied(f"e{number}", time_us, user, "s1", cents, partition, number)


def a_vector(*positions: int, at_us: int = AT_US, user: str = "u1") -> Vector:
    where = [*positions, *[0] * (PARTITIONS - len(positions))]
    return Vector({"user": user, "shop": "s1"}, at_us, {"user": where, "shop": where}, {})


def _row(values: list[float]) -> Floats:
    return np.array(values)


def values(events: list[Applied], *vectors: Vector, entity: str = "user") -> list[list[float]]:
    found: list[list[float]] = recomputed(Expected(applied=events), entity, vectors).tolist()
    return found


def test_what_the_replica_had_not_applied_does_not_count() -> None:
    events = [an_event(0), an_event(1, cents=300), an_event(2, cents=900)]
    (found,) = values(events, a_vector(2))
    assert found == [2.0, 2.0, 400.0, 400.0, 300.0, 300.0]


def test_each_partition_has_a_position_of_its_own() -> None:
    events = [an_event(0), an_event(0, partition=1, cents=300)]
    assert [row[0] for row in values(events, a_vector(1), a_vector(1, 1), a_vector(0, 1))] == [
        1.0,
        2.0,
        1.0,
    ]


def test_only_what_lies_in_a_window_counts_for_it() -> None:
    events = [an_event(0, ago_s=90.0), an_event(1, ago_s=7_000.0), an_event(2, ago_s=-5.0)]
    (found,) = values(events, a_vector(9))
    assert same([0.0, 1.0, 0.0, 1.0, math.nan, 1.0], _row(found))


def test_at_the_end_of_all_partitions_it_is_what_the_oracle_says_of_the_state() -> None:
    events = [
        an_event(n, ago_s=37.0 * n, cents=(-1) ** n * 10 * n, partition=n % PARTITIONS)
        for n in range(120)
    ]
    (found,) = values(events, a_vector(999, 999, 999, 999))
    (minute, hour) = values_at(Expected(applied=events), "user", AT_US)["u1"]
    assert found == [minute[0], hour[0], minute[1], hour[1], minute[2], hour[2]]


def test_entities_are_those_of_the_request() -> None:
    events = [an_event(0), an_event(1, user="u2")]
    mine, other, nobody = values(events, a_vector(9), a_vector(9, user="u2"), a_vector(9, user="x"))
    assert (mine[0], other[0]) == (1.0, 1.0)
    assert same(NOTHING, _row(nobody))
    assert values(events, a_vector(9), entity="shop")[0][0] == 2.0


def test_a_served_cent_too_many_is_another_value_and_a_missing_count_is_none() -> None:
    (found,) = values([an_event(0)], a_vector(9))
    assert same([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], _row(found))
    assert not same([1.0, 1.0, 1.01, 1.0, 1.0, 1.0], _row(found))
    assert not same([1.0, 2.0, 1.0, 1.0, 1.0, 1.0], _row(found))
    (nothing,) = values([], a_vector(9))
    assert same([math.nan] * 6, _row(nothing))
    assert not same([0.0, 0.0, 0.0, 0.0, math.nan, 1.0], _row(nothing))


def test_what_was_served_is_named_by_entity_feature_and_window() -> None:
    served = {
        f"{entity}s__{what}_{window}": place + number
        for entity, number in (("user", 0.0), ("shop", 100.0))
        for place, (what, window) in enumerate(
            (what, window)
            for what in ("count", "sum_amount", "max_amount")
            for window in ("1m", "1h")
        )
    }
    vector = Vector({}, 0, {}, served)
    assert vector.found("user") == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert vector.found("shop") == [100.0, 101.0, 102.0, 103.0, 104.0, 105.0]
