"""An oracle for tests: the same promises kept naively, with lists of Python numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from tidemill_tiles.definitions import Aggregation, Function, ViewDefinition, hop_of
from tidemill_tiles.fieldtypes import NO_TIME, FieldType
from tidemill_tiles.kernels import layout
from tidemill_tiles.reads import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill_tiles.table import TileTable

LIMIT: Final = 2**48
ZERO_OVER_NOTHING: Final = frozenset({Function.COUNT, Function.SUM, Function.DISTINCT})


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
        self.fields = {one.name: one for one in definition.fields}
        self.events: dict[bytes, list[OracleEvent]] = {}

    def add(self, key: bytes, event: OracleEvent) -> None:
        """Remember an event of an entity."""
        self.events.setdefault(key, []).append(event)

    def read(self, key: bytes, at_us: int) -> list[tuple[float, Status]]:
        """Return value and status of every feature of an entity at a time."""
        views = self.definition.aggregations
        windows = [self._window(one, key, at_us) for one in views]
        seen = [event.time_us for window in windows for event in window]
        ttl = self.definition.ttl_us
        if not seen:
            return [(math.nan, Status.NOT_FOUND)] * len(views)
        if ttl is not None and max(seen) < at_us - ttl:
            return [(math.nan, Status.EXPIRED)] * len(views)
        return [self._value(one, window) for one, window in zip(views, windows, strict=True)]

    def event_time(self, key: bytes, at_us: int) -> int:
        """Return the newest event time that a read at that time sees."""
        windows = [self._window(one, key, at_us) for one in self.definition.aggregations]
        return max((event.time_us for window in windows for event in window), default=NO_TIME)

    def _window(self, one: Aggregation, key: bytes, at_us: int) -> list[OracleEvent]:
        events, hop = self.events.get(key, []), hop_of(one)
        if hop is None or one.window_us is None:
            return events
        head = tile_of(at_us, hop)
        tail = head - one.window_us // hop
        return [event for event in events if tail < tile_of(event.time_us, hop) <= head]

    def _value(self, one: Aggregation, window: list[OracleEvent]) -> tuple[float, Status]:
        if one.filter is not None:
            window = [event for event in window if event.passes[one.filter]]
        if one.field is None:
            return float(len(window)), Status.PRESENT
        known = sorted(
            (event.time_us, _signed(event.tie), value)
            for event in window
            if (value := self._integer(one.field, event.values[one.field])) is not None
        )
        if not known and one.function not in ZERO_OVER_NOTHING:
            return math.nan, Status.NULL
        step = self.fields[one.field].step
        return _compute(one.function, [value for _, _, value in known], step), Status.PRESENT

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


def _compute(function: Function, values: list[Any], step: float) -> float:
    if function in {Function.VAR, Function.STD}:
        mean = Fraction(sum(values), len(values))
        variance = float(sum((value - mean) ** 2 for value in values) / len(values))
        return variance * step * step if function is Function.VAR else math.sqrt(variance) * step
    computed = {
        Function.COUNT: lambda: float(len(values)),
        Function.DISTINCT: lambda: float(len(set(values))),
        Function.SUM: lambda: float(sum(values)) * step,
        Function.MEAN: lambda: float(sum(values)) / len(values) * step,
        Function.MIN: lambda: float(min(values)) * step,
        Function.MAX: lambda: float(max(values)) * step,
        Function.FIRST: lambda: float(values[0]) * step,
        Function.LAST: lambda: float(values[-1]) * step,
    }
    return computed[function]()


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
