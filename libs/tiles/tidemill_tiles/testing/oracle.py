"""An oracle for tests: the same promises kept naively, with lists of Python numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from tidemill_tiles.definitions import (
    PAIRS,
    Aggregation,
    Function,
    ViewDefinition,
    error_of,
    hop_of,
    precision_of,
    value_fields,
)
from tidemill_tiles.fieldtypes import NO_TIME, FieldType
from tidemill_tiles.kernels import layout
from tidemill_tiles.reads import Status
from tidemill_tiles.testing.sketched import sketched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidemill_tiles.table import TileTable

LIMIT: Final = 2**48
SECOND_US: Final = 1_000_000
ZERO_OVER_NOTHING: Final = frozenset(
    {Function.COUNT, Function.SUM, Function.DISTINCT, Function.RATE, Function.HISTOGRAM}
)


@dataclass(frozen=True, slots=True)
class OracleEvent:
    """One event, with the truth of each filter by its text."""

    time_us: int
    tie: int
    values: Mapping[str, Any]
    passes: Mapping[str, bool] = field(default_factory=dict)


def tile_of(time_us: int, hop_us: int) -> int:
    """Return the tile of a time: tile k covers (k * hop, (k + 1) * hop]."""
    return (time_us - 1) // hop_us


class Oracle:
    """Feature values computed from all events again, each time."""

    def __init__(self, definition: ViewDefinition) -> None:
        """Begin without events."""
        self.definition = definition
        self.fields = {one.name: one for one in value_fields(definition)}
        self.events: dict[bytes, list[OracleEvent]] = {}

    def add(self, key: bytes, event: OracleEvent) -> None:
        """Remember an event of an entity."""
        self.events.setdefault(key, []).append(event)

    def read(self, key: bytes, at_us: int) -> list[tuple[float, Status]]:
        """Return value and status of every feature of an entity at a time."""
        found = self._found(key, at_us)
        return [
            (one.default, Status.PRESENT)
            if one.default is not None and status is not Status.PRESENT
            else (value, status)
            for one, (value, status) in zip(self.definition.aggregations, found, strict=True)
        ]

    def bound(self, one: Aggregation, key: bytes, at_us: int) -> float:
        """Return by how much a feature that is not a ratio or difference may be off."""
        window = self._window(one, key, at_us)
        if one.function is Function.EWMA:
            sizes = [abs(value) for _, _, value in self._known(one, window)]
            return 2.0**-26 * max(sizes, default=0) * self.fields[one.field or ""].step
        value, _ = self._value(one, window, at_us)
        relative = {
            Function.QUANTILE: error_of(precision_of(one.error)),
            Function.VAR: 1e-12,
            Function.STD: 1e-12,
        }
        return 0.0 if math.isnan(value) else relative.get(one.function, 0.0) * abs(value)

    def _found(self, key: bytes, at_us: int) -> list[tuple[float, Status]]:
        views = self.definition.aggregations
        own = [one for one in views if one.function not in PAIRS]
        windows = {one.name: self._window(one, key, at_us) for one in own}
        seen = [event.time_us for window in windows.values() for event in window]
        ttl = self.definition.ttl_us
        if not seen:
            return [(math.nan, Status.NOT_FOUND)] * len(views)
        if ttl is not None and max(seen) < at_us - ttl:
            return [(math.nan, Status.EXPIRED)] * len(views)
        values = {one.name: self._value(one, windows[one.name], at_us) for one in own}
        return [values[one.name] if one.name in values else _pair(one, values) for one in views]

    def event_time(self, key: bytes, at_us: int) -> int:
        """Return the newest event time that a read at that time sees."""
        own = [one for one in self.definition.aggregations if one.function not in PAIRS]
        windows = [self._window(one, key, at_us) for one in own]
        return max((event.time_us for window in windows for event in window), default=NO_TIME)

    def _window(self, one: Aggregation, key: bytes, at_us: int) -> list[OracleEvent]:
        events, hop = self.events.get(key, []), hop_of(one)
        if hop is None or one.window_us is None:
            return events
        head = tile_of(at_us, hop)
        tail = head - one.window_us // hop
        return [event for event in events if tail < tile_of(event.time_us, hop) <= head]

    def _passing(self, one: Aggregation, window: list[OracleEvent]) -> list[OracleEvent]:
        return [event for event in window if one.filter is None or event.passes[one.filter]]

    def _known(self, one: Aggregation, window: list[OracleEvent]) -> list[tuple[int, int, Any]]:
        """Return time, id and integer of the values that count, the last one at the end."""
        name = one.field
        if name is None:
            return []
        return sorted(
            (event.time_us, _signed(event.tie), value)
            for event in self._passing(one, window)
            if (value := self._integer(name, event.values[name])) is not None
        )

    def _value(
        self, one: Aggregation, window: list[OracleEvent], at_us: int
    ) -> tuple[float, Status]:
        if one.field is None:
            times = [event.time_us for event in self._passing(one, window)]
            return _of_events(one, times, at_us)
        known = self._known(one, window)
        if not known and one.function not in ZERO_OVER_NOTHING:
            return math.nan, Status.NULL
        step = self.fields[one.field].step
        if one.function in COMPUTED:
            return COMPUTED[one.function]([value for _, _, value in known], step), Status.PRESENT
        value = sketched(one, known, step, at_us)
        return (math.nan, Status.NULL) if value is None else (value, Status.PRESENT)

    def _integer(self, name: str, value: Any) -> Any:
        """Return the fixed-point integer of a value; None if it does not count."""
        declared = self.fields[name]
        if value is None or declared.type is FieldType.STRING:
            return value
        if isinstance(value, float) and not math.isfinite(value):
            return None
        number = round(value / declared.step) if declared.step != 1.0 else round(value)
        return number if abs(number) < LIMIT else None


def _signed(tie: int) -> int:
    return tie - 2**64 if tie >= 2**63 else tie


def _of_events(one: Aggregation, times: list[int], at_us: int) -> tuple[float, Status]:
    """Return what is said about events, whatever their fields hold."""
    if one.function is Function.TIME_SINCE_LAST:
        if not times:
            return math.nan, Status.NULL
        return max(0, at_us - max(times)) / SECOND_US, Status.PRESENT
    count = float(len(times))
    return (count if one.window_us is None else _per_second(one, count)), Status.PRESENT


def _per_second(one: Aggregation, count: float) -> float:
    rate = one.function is Function.RATE
    return count / ((one.window_us or 0) / SECOND_US) if rate else count


def _pair(one: Aggregation, values: Mapping[str, tuple[float, Status]]) -> tuple[float, Status]:
    (left, left_status), (right, right_status) = (values[name] for name in one.operands)
    status = max(left_status, right_status)
    if status is not Status.PRESENT:
        return math.nan, status
    if one.function is Function.DIFFERENCE:
        return left - right, status
    return (math.nan, Status.NULL) if right == 0 else (left / right, status)


COMPUTED: Final[Mapping[Function, Callable[[list[Any], float], float]]] = {
    Function.COUNT: lambda values, _: float(len(values)),
    Function.DISTINCT: lambda values, _: float(len(set(values))),
    Function.SUM: lambda values, step: float(sum(values)) * step,
    Function.MEAN: lambda values, step: float(sum(values)) / len(values) * step,
    Function.VAR: lambda values, step: _variance(values) * step * step,
    Function.STD: lambda values, step: math.sqrt(_variance(values)) * step,
    Function.MIN: lambda values, step: float(min(values)) * step,
    Function.MAX: lambda values, step: float(max(values)) * step,
    Function.FIRST: lambda values, step: float(values[0]) * step,
    Function.LAST: lambda values, step: float(values[-1]) * step,
}
"""What is computed from the values in their order alone."""


def _variance(values: list[Any]) -> float:
    mean = Fraction(sum(values), len(values))
    return float(sum((value - mean) ** 2 for value in values) / len(values))


def dump(table: TileTable) -> dict[str, Any]:
    """Return all that a table holds, in a form in which equal states are equal."""
    store, plan = table.store, table.plan
    entities = {
        slot: (
            int(row[layout.ENTITY_HASH]),
            int(row[layout.ENTITY_HASH + 1]),
            store.keys[row[layout.ENTITY_KEY] :][: row[layout.ENTITY_KEY_LENGTH]].tobytes(),
            int(row[layout.ENTITY_TILES]),
        )
        for slot, row in enumerate(store.entity)
        if row[layout.ENTITY_LIVE]
    }
    rows = {}
    for row in store.rows:
        if row[layout.ROW_KEY] < 0:
            continue
        sets = tuple(
            tuple(store.pool[row[column] :][: row[column + 1] & 0xFFFFFFFF].tolist())
            for column in plan.set_columns
        )
        key = (int(row[layout.ROW_KEY]), int(row[layout.ROW_TILE]))
        rows[key] = (int(row[layout.ROW_NEWEST]), tuple(row[plan.cells].tolist()), sets)
    return {"entities": entities, "rows": rows}
