"""How a value came to be: the tiles and the events behind it, by the engine itself. Pure.

The whole is read again from the events below the positions of the read that is explained, as the
audit does. A tile's own value is the engine's as well: its events are applied to an entity of their
own, which has no other tile.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from tidemill_features.entityevents import EntityEvents
from tidemill_tiles.definitions import PAIRS, Aggregation, hop_of, normalised
from tidemill_tiles.keys import key_column
from tidemill_tiles.plan import plan_of
from tidemill_tiles.reads import Status, read
from tidemill_tiles.table import TileTable
from tidemill_tiles.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from tidemill_tiles.definitions import ViewDefinition
    from tidemill_tiles.plan import Plan
    from tidemill_tiles.reads import Reading

    Watermarks = Mapping[str, Sequence[int]]

DUPLICATE: Final = "duplicate"
LATE: Final = "late"
FILTERED: Final = "filtered"
NO_VALUE: Final = "no_value"
OUTSIDE: Final = "outside_window"


@dataclass(frozen=True, slots=True)
class Tile:
    """The events of (start, end], and the feature over them alone; lifetime: no start and end."""

    start_us: int | None
    end_us: int | None
    value: float
    events: int


@dataclass(frozen=True, slots=True)
class Counted:
    """The events of one stream that make a value, by their rows; oldest first."""

    events: EntityEvents
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One value, twice, and what made it."""

    feature: str
    served: float
    served_status: Status
    recomputed: float
    recomputed_status: Status
    operands: tuple[str, ...] = ()
    tiles: Sequence[Tile] = ()
    counted: Sequence[Counted] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Say whether it was served as its events make it, bit for bit; stale values are values."""
        stale = self.served_status is Status.STALE
        status = Status.PRESENT if stale else self.served_status
        served, recomputed = np.float64(self.served), np.float64(self.recomputed)
        same = served.view(np.int64) == recomputed.view(np.int64)
        both_missing = bool(np.isnan(served) and np.isnan(recomputed))
        return status is self.recomputed_status and bool(same or both_missing)


def explain(
    plan: Plan,
    events: Sequence[EntityEvents],
    entity: npt.NDArray[np.uint64],
    at_us: int,
    watermarks: Watermarks,
    served: Reading,
    features: Sequence[str],
) -> list[Explanation]:
    """Explain features of one entity; `served` has one row, the values of all features.

    `watermarks` says of each stream and partition how far it was at the read: what had been
    evicted then is not there now either.
    """
    again = recompute(plan, events, entity, at_us, watermarks)
    kinds = {one.name: one for one in normalised(plan.definition).aggregations}
    wanted = [name for asked in features for name in (asked, *kinds[asked].operands)]
    alone = _Alone(_bare(plan.definition), events, at_us)
    return [_explanation(plan, kinds[name], alone, served, again) for name in dict.fromkeys(wanted)]


def recompute(
    plan: Plan,
    events: Sequence[EntityEvents],
    entity: npt.NDArray[np.uint64],
    at_us: int,
    watermarks: Watermarks,
) -> Reading:
    """Read an entity from its applied events, a table for each partition as its owner has it."""
    tables = []
    for one in events:
        for partition, watermark_us in enumerate(watermarks[one.stream]):
            table = TileTable(plan)
            table.apply(one.batch, (one.partition == partition) & _applied(one))
            table.evict(watermark_us)
            tables.append(table)
    return read(plan, tables, entity.reshape(1, 2), at_us)


def _applied(events: EntityEvents) -> npt.NDArray[np.bool_]:
    applied: npt.NDArray[np.bool_] = events.verdict == Verdict.APPLIED
    return applied


def _explanation(
    plan: Plan, one: Aggregation, alone: _Alone, served: Reading, again: Reading
) -> Explanation:
    place = plan.features.index(one.name)
    whole = Explanation(
        one.name,
        float(served.values[0, place]),
        Status(int(served.status[0, place])),
        float(again.values[0, place]),
        Status(int(again.status[0, place])),
        one.operands,
    )
    if one.function in PAIRS:
        return whole
    fates = [_Fate.of(plan, one, part, alone.at_us) for part in alone.events]
    left_out: Counter[str] = Counter()
    for fate in fates:
        left_out.update(fate.left_out)
    return replace(
        whole,
        tiles=alone.tiles(one, fates),
        counted=[
            Counted(part, _by_time(part, fate.counts))
            for part, fate in zip(alone.events, fates, strict=True)
        ],
        left_out=left_out,
    )


def _by_time(events: EntityEvents, counts: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    rows = np.flatnonzero(counts)
    order = np.lexsort((events.batch.tie[rows], events.batch.time_us[rows]))
    return rows[order]


@dataclass(frozen=True, slots=True)
class _Fate:
    """Which events of a stream count for a feature, in which tile each lies, why others do not."""

    counts: npt.NDArray[np.bool_]
    tile: npt.NDArray[np.int64]
    left_out: Mapping[str, int]

    @classmethod
    def of(cls, plan: Plan, one: Aggregation, events: EntityEvents, at_us: int) -> _Fate:
        batch, hop = events.batch, hop_of(one)
        passes = batch.keep
        if one.filter is not None:
            passes = passes & batch.filters[plan.filters.index(one.filter)]
        has_value = np.ones(len(events), dtype=np.bool_)
        if one.field is not None:
            has_value = batch.valid[_field_place(plan, one.field)]
        tile = _tile_of(batch.time_us, hop)
        inside = np.ones(len(events), dtype=np.bool_)
        if hop is not None and one.window_us is not None:
            head = (at_us - 1) // hop
            inside = (tile <= head) & (tile > head - one.window_us // hop)
        left_out, counts = {}, np.ones(len(events), dtype=np.bool_)
        for reason, holds in (
            (DUPLICATE, events.verdict != Verdict.DUPLICATE),
            (LATE, events.verdict != Verdict.LATE),
            (FILTERED, passes),
            (NO_VALUE, has_value),
            (OUTSIDE, inside),
        ):
            gone = int(np.count_nonzero(counts & ~holds))
            if gone:
                left_out[reason] = gone
            counts = counts & holds
        return cls(counts, tile, left_out)


def _field_place(plan: Plan, name: str) -> int:
    return next(place for place, field in enumerate(plan.value_fields) if field.name == name)


def value_of(plan: Plan, one: Aggregation, events: EntityEvents, row: int) -> float | str | None:
    """Return what a feature takes of one event: in the field's resolution, a text as it is."""
    if one.field is None:
        return None
    place = _field_place(plan, one.field)
    declared = plan.value_fields[place]
    if declared.type != "string":
        return float(events.batch.values[place, row] * declared.step)
    if one.field not in events.columns.column_names:
        return None  # a text that the view computes is known by its hash only
    text: str | None = events.columns.column(one.field)[row].as_py()
    return text


@lru_cache(maxsize=64)
def _bare(definition: ViewDefinition) -> Plan:
    """Return the plan without what would hide a tile's own value."""
    aggregations = tuple(replace(one, default=None) for one in definition.aggregations)
    return plan_of(replace(definition, aggregations=aggregations, ttl_us=None))


def _tile_of(time_us: npt.NDArray[np.int64], hop: int | None) -> npt.NDArray[np.int64]:
    """Return the tile that holds each time; tile k covers (k * hop, (k + 1) * hop]."""
    return np.zeros_like(time_us) if hop is None else (time_us - 1) // hop


class _Alone:
    """Every tile of the entity read as if there were no other; each hop is computed once."""

    def __init__(self, bare: Plan, events: Sequence[EntityEvents], at_us: int) -> None:
        self.events = events
        self.at_us = at_us
        self._bare = bare
        self._read: dict[int | None, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = {}

    def tiles(self, one: Aggregation, fates: Sequence[_Fate]) -> list[Tile]:
        """Return the tiles of a feature that hold an event which counts, oldest first."""
        hop = hop_of(one)
        if hop not in self._read:
            self._read[hop] = self._values(hop)
        known, values = self._read[hop]
        found = np.concatenate([fate.tile[fate.counts] for fate in fates])
        numbers, counts = np.unique(found, return_counts=True)
        mine = values[np.searchsorted(known, numbers), self._bare.features.index(one.name)]
        tiles = zip(numbers.tolist(), mine.tolist(), counts.tolist(), strict=True)
        return [
            Tile(
                None if hop is None else number * hop,
                None if hop is None else (number + 1) * hop,
                value,
                count,
            )
            for number, value, count in tiles
        ]

    def _values(self, hop: int | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the numbers of the tiles of one hop, and all features over each of them."""
        table = TileTable(self._bare)
        found = []
        for part in self.events:
            tile = _tile_of(part.batch.time_us, hop)
            table.apply(replace(part.batch, keys=key_column([pa.array(tile)])), _applied(part))
            found.append(tile)
        numbers = np.unique(np.concatenate(found))
        hashes = key_column([pa.array(numbers)]).hashes
        return numbers, read(self._bare, [table], hashes, self.at_us).values
