"""A view with every function, and the events that hypothesis draws for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.columns import event_batch
from tidemill_tiles.definitions import Aggregation, Field, Function, Gives, ViewDefinition
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.testing.oracle import Oracle, OracleEvent

if TYPE_CHECKING:
    from tidemill_tiles.columns import EventBatch
    from tidemill_tiles.plan import Plan

SECOND: Final = 1_000_000
LATE_FILTER: Final = "late = true"
BIG_FILTER: Final = "count > 2"
FIELDS: Final = (
    Field("delay", FieldType.FLOAT64),
    Field("count", FieldType.INT64),
    Field("late", FieldType.BOOL),
    Field("gate", FieldType.STRING),
    Field("left_at", FieldType.TIMESTAMP),
)
WINDOWS: Final = (
    (10 * SECOND, SECOND),
    (30 * SECOND, SECOND),
    (60 * SECOND, 20 * SECOND),
    (None, None),
)


def plain_functions() -> list[Aggregation]:
    """Return the functions without parameters, on each kind of field that they take."""
    names = ("count", "sum", "mean", "var", "std", "min", "max", "last", "first", "distinct")
    pairs: list[tuple[Function, str | None, str | None]] = [(Function.COUNT, None, None)]
    pairs += [(Function(name), "delay", None) for name in names]
    pairs += [(Function.SUM, "count", LATE_FILTER), (Function.VAR, "count", None)]
    pairs += [(Function.DISTINCT, "gate", None), (Function.COUNT, "gate", BIG_FILTER)]
    pairs += [(Function.MEAN, "late", None), (Function.MAX, "left_at", None)]
    return [Aggregation("", function, name, filter=sql) for function, name, sql in pairs]


def sketched_functions() -> list[Aggregation]:
    """Return the functions with parameters, and those that look at time."""
    since, ewma, histogram = Function.TIME_SINCE_LAST, Function.EWMA, Function.HISTOGRAM
    quantile, last_k, top_k = Function.QUANTILE, Function.LAST_K, Function.TOP_K
    return [
        Aggregation("", since),
        Aggregation("", since, filter=BIG_FILTER),
        Aggregation("", since, "gate", filter=LATE_FILTER, default=-1.0),
        Aggregation("", ewma, "delay", half_life_us=SECOND),
        Aggregation("", ewma, "count", half_life_us=70 * SECOND + 1, filter=LATE_FILTER),
        *(Aggregation("", histogram, "delay", edges=(-9.5, 0.0, 2.5), place=p) for p in range(4)),
        Aggregation("", histogram, "count", edges=(0.5,), place=1, filter=LATE_FILTER),
        *(Aggregation("", quantile, "delay", quantile=q) for q in (0.0, 0.5, 0.99)),
        Aggregation("", quantile, "delay", quantile=0.3, error=0.2),
        Aggregation("", quantile, "left_at", quantile=1.0, error=0.004, filter=LATE_FILTER),
        *(Aggregation("", last_k, "delay", place=place) for place in (1, 2, 5)),
        Aggregation("", last_k, "count", place=3, filter=LATE_FILTER, default=0.5),
        *(Aggregation("", top_k, "count", place=1, gives=gives) for gives in Gives),
        *(Aggregation("", top_k, "count", place=2, gives=gives, bound=3) for gives in Gives),
        Aggregation("", top_k, "late", place=2, gives=Gives.VALUE, filter=BIG_FILTER),
        Aggregation("", top_k, "gate", place=1, gives=Gives.SHARE, default=0.0),
    ]


def every_function() -> tuple[Aggregation, ...]:
    """Return each function over each window, then ratios and differences of some of them."""
    own = [
        replace(one, name=f"a{number}_{place}", window_us=window, hop_us=hop)
        for place, (window, hop) in enumerate(WINDOWS)
        for number, one in enumerate([*plain_functions(), *sketched_functions()])
    ]
    own += [
        Aggregation(f"r{number}_{place}", Function.RATE, name, window, hop)
        for place, (window, hop) in enumerate(WINDOWS)
        for number, name in enumerate((None, "delay"))
        if window is not None
    ]
    pairs = [("a2_0", "a1_0"), ("a2_0", "a2_2"), ("a6_1", "a3_2"), ("a11_3", "a0_3")]
    both = ((Function.RATIO, None), (Function.DIFFERENCE, -7.5))
    return (
        *own[:5],
        *(
            Aggregation(f"p{number}_{function}", function, operands=pair, default=default)
            for number, pair in enumerate(pairs)
            for function, default in both
        ),
        *own[5:],
    )


def a_view(**changes: Any) -> ViewDefinition:
    """Return a view of every function, with changes."""
    view = ViewDefinition(
        name="flights",
        streams=("departures",),
        entity=(Field("origin", FieldType.STRING), Field("runway", FieldType.INT64)),
        fields=FIELDS,
        aggregations=every_function(),
        lateness_us=20 * SECOND,
    )
    return replace(view, **changes)


@dataclass(frozen=True)
class Event:
    """An event as a test draws it."""

    origin: str
    runway: int
    time: int
    tie: int
    delay: float | None
    count: int | None
    late: bool | None
    gate: str | None
    left_at: int | None

    @property
    def key(self) -> bytes:
        """Return the canonical key of its entity."""
        return canonical_key((self.origin, self.runway))

    def oracle(self) -> OracleEvent:
        """Return it as the oracle takes it."""
        values = {
            name: getattr(self, name) for name in ("delay", "count", "late", "gate", "left_at")
        }
        passes = {LATE_FILTER: self.late is True, BIG_FILTER: (self.count or 0) > 2}
        return OracleEvent(self.time, self.tie, values, passes)


def to_table(events: list[Event]) -> pa.Table:
    """Return events as the columns of their stream."""
    kinds = {
        "origin": pa.string(),
        "runway": pa.int64(),
        "delay": pa.float64(),
        "count": pa.int64(),
        "late": pa.bool_(),
        "gate": pa.string(),
        "left_at": pa.timestamp("us", "UTC"),
    }
    return pa.table(
        {
            name: pa.array([getattr(one, name) for one in events], kind)
            for name, kind in kinds.items()
        }
    )


def a_batch(plan: Plan, events: list[Event]) -> EventBatch:
    """Return events as an engine takes them."""
    return event_batch(
        plan,
        to_table(events),
        time_us=np.array([one.time for one in events], dtype=np.int64),
        tie=np.array([one.tie for one in events], dtype=np.uint64),
    )


def an_oracle(view: ViewDefinition, events: list[Event]) -> Oracle:
    """Return an oracle that knows these events."""
    oracle = Oracle(view)
    for event in events:
        oracle.add(event.key, event.oracle())
    return oracle


def times(limit: int = 120) -> st.SearchStrategy[int]:
    """Draw microseconds, often exactly on the edge of a tile."""
    return st.one_of(
        st.integers(1, limit * SECOND), st.integers(1, limit).map(lambda second: second * SECOND)
    )


def an_event(limit: int = 120) -> st.SearchStrategy[Event]:
    """Draw an event within so many seconds, with nulls, edges of resolution and of 48 bits."""
    return st.builds(
        Event,
        origin=st.sampled_from(["JFK", "LGA", "EWR"]),
        runway=st.integers(0, 1),
        time=times(limit),
        tie=st.integers(0, 2**64 - 1),
        delay=st.one_of(
            st.none(),
            st.floats(-1e6, 1e6),
            st.sampled_from([0.0, 2**-21, 1.5 * 2**-20, -(2**27.0)]),
        ),
        count=st.one_of(st.none(), st.integers(-5, 5), st.integers(-(2**48) + 1, 2**48 - 1)),
        late=st.one_of(st.none(), st.booleans()),
        gate=st.one_of(st.none(), st.sampled_from(["A1", "A2", "", "Ü"])),
        left_at=st.one_of(st.none(), st.integers(0, 2**51)),
    )


def some_events(limit: int = 120, size: int = 60) -> st.SearchStrategy[list[Event]]:
    """Draw events with different ids, in any order of time."""
    return st.lists(an_event(limit), max_size=size, unique_by=lambda one: one.tie)
