"""How many different values there are: exact up to the bound, beyond it as close as stated."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill_tiles.columns import event_batch
from tidemill_tiles.definitions import Aggregation, Field, Function
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.plan import Plan, plan_of
from tidemill_tiles.reads import read
from tidemill_tiles.table import TileTable
from tidemill_tiles.testing.builders import SECOND, a_view

ENTITIES: Final = 200
VALUES_BY_BOUND: Final = {16: 400, 64: 1_000, 256: 2_000}
CLOSE: Final = 1.2
"""So far may a deviation that is measured with so many entities be from the one that is stated."""


def a_plan(bound: int) -> Plan:
    one = Aggregation("one", Function.DISTINCT, "value", 10 * SECOND, SECOND, bound=bound)
    entity, value = Field("entity", FieldType.INT64), Field("value", FieldType.INT64)
    return plan_of(a_view(entity=(entity,), fields=(value,), aggregations=(one,)))


def estimates(
    bound: int, entities: npt.NDArray[np.int64], values: npt.NDArray[np.int64], tables: int = 1
) -> npt.NDArray[np.float64]:
    """Return what is read of each entity, its events dealt out among tables and tiles."""
    plan, order = a_plan(bound), np.arange(len(values))
    parts = [TileTable(plan) for _ in range(tables)]
    for number, part in enumerate(parts):
        mine = order % tables == number
        columns = pa.table({"entity": entities[mine], "value": values[mine]})
        time_us, tie = 1 + order[mine] % 9 * SECOND, order[mine].astype(np.uint64)
        part.apply(event_batch(plan, columns, time_us=time_us, tie=tie))
    keys = hash_keys([str(number).encode() for number in np.unique(entities)])
    return read(plan, parts, keys, 10 * SECOND).values[:, 0]


@given(st.lists(st.integers(-30, 30), min_size=1), st.integers(1, 40), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_up_to_the_bound_the_number_is_that_of_a_set(
    drawn: list[int], bound: int, tables: int
) -> None:
    values, wanted = np.array(drawn, dtype=np.int64), len(set(drawn))
    (got,) = estimates(bound, np.zeros_like(values), values, tables)
    assert got == wanted if wanted <= bound else got > 0


@given(st.lists(st.integers(-30, 30), min_size=30), st.integers(1, 20), st.randoms())
@settings(max_examples=50, deadline=None)
def test_beyond_the_bound_order_repeats_and_tables_change_no_bit(
    drawn: list[int], bound: int, chance: object
) -> None:
    shuffled = [*drawn, *drawn[::2]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    results = [
        estimates(bound, np.zeros(len(some), dtype=np.int64), np.array(some), tables).tobytes()
        for some, tables in ((drawn, 1), (shuffled, 1), (shuffled, 3))
    ]
    assert len(set(results)) == 1


@pytest.mark.parametrize(("bound", "count"), VALUES_BY_BOUND.items())
def test_an_estimate_deviates_as_much_as_is_stated(bound: int, count: int) -> None:
    """Of many entities with other values each: about 1 / sqrt(bound), to neither side."""
    values = np.arange(ENTITIES * count, dtype=np.int64)
    relative = estimates(bound, values // count, values) / count - 1.0
    stated = 1.0 / np.sqrt(bound)
    assert stated / CLOSE < np.sqrt(np.mean(relative**2)) < stated * CLOSE
    assert abs(np.mean(relative)) < 3.0 * stated / np.sqrt(ENTITIES)
    assert np.max(np.abs(relative)) < 5.0 * stated
