"""How a view is laid out: its levels, its columns, and what a read merges."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill_tiles.definitions import (
    Aggregation,
    Field,
    Function,
    ViewDefinition,
    checked,
    hop_of,
    normalised,
    view_version,
)
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.kernels import layout

if TYPE_CHECKING:
    import numpy.typing as npt

LINK_BYTES: Final = 4 * (layout.LINK_WORDS + 2 + 1 + 1)  # links, row map, free list, dirty list
WORD: Final = 8
KEY_BYTES: Final = 32
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1


class Primitive(IntEnum):
    """A mergeable partial; the values are the columns of `Plan.sources` that place it."""

    N = layout.SRC_N
    SUM = layout.SRC_SUM
    SQUARES = layout.SRC_SQUARES
    MIN = layout.SRC_MIN
    MAX = layout.SRC_MAX
    FIRST = layout.SRC_FIRST
    LAST = layout.SRC_LAST
    SET = layout.SRC_SET


NEEDS: Final[dict[Function, tuple[Primitive, ...]]] = {
    Function.COUNT: (Primitive.N,),
    Function.SUM: (Primitive.N, Primitive.SUM),
    Function.MEAN: (Primitive.N, Primitive.SUM),
    Function.VAR: (Primitive.N, Primitive.SUM, Primitive.SQUARES),
    Function.STD: (Primitive.N, Primitive.SUM, Primitive.SQUARES),
    Function.MIN: (Primitive.N, Primitive.MIN),
    Function.MAX: (Primitive.N, Primitive.MAX),
    Function.FIRST: (Primitive.N, Primitive.FIRST),
    Function.LAST: (Primitive.N, Primitive.LAST),
    Function.DISTINCT: (Primitive.N, Primitive.SET),
}
EMPTY: Final[dict[Primitive, tuple[int, ...]]] = {
    Primitive.N: (0,),
    Primitive.SUM: (0, 0),
    Primitive.SQUARES: (0, 0),
    Primitive.MIN: (INT64_MAX,),
    Primitive.MAX: (INT64_MIN,),
    Primitive.FIRST: (INT64_MAX, INT64_MAX, INT64_MAX),
    Primitive.LAST: (INT64_MIN, INT64_MIN, INT64_MIN),
    Primitive.SET: (-1, 0),
}
CODES: Final = {function: code for code, function in enumerate(Function)}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a view costs per entity that has an event in every tile that is kept."""

    rows_per_entity: int
    bytes_per_row: int
    bytes_per_entity: int
    levels: int


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The derived layout of a view, as the kernels read it."""

    definition: ViewDefinition
    version: str
    features: tuple[str, ...]
    value_fields: tuple[Field, ...]
    filters: tuple[str, ...]
    levels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64]
    template: npt.NDArray[np.int64]
    cells: npt.NDArray[np.int64]
    set_columns: npt.NDArray[np.int64]
    set_limits: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    operations: npt.NDArray[np.int64]
    accumulator: npt.NDArray[np.int64]
    set_room: int
    outputs: npt.NDArray[np.int64]
    scales: npt.NDArray[np.float64]


@dataclass(slots=True)
class _Source:
    """The columns of one (field, filter) while they are being laid out."""

    value: int
    filter: int
    needs: set[Primitive] = field(default_factory=set)
    limit: int = 0


@lru_cache(maxsize=256)
def plan_of(definition: ViewDefinition) -> Plan:
    """Lay the view out; Misconfigured names every mistake in it."""
    view = normalised(checked(definition))
    hops = sorted({hop_of(one) for one in view.aggregations} - {None}, key=lambda hop: hop or 0)
    if any(one.window_us is None for one in view.aggregations):
        hops.append(None)
    names = {one.field for one in view.aggregations if one.field is not None}
    value_fields = tuple(one for one in view.fields if one.name in names)
    filters = tuple(dict.fromkeys(one.filter for one in view.aggregations if one.filter))
    keyed = _sources(view.aggregations, value_fields, filters)
    sources, template = _columns(keyed)
    sets = sources[sources[:, layout.SRC_SET] >= 0]
    cells = np.setdiff1d(
        np.arange(layout.ROW_HEAD, len(template)),
        np.concatenate((sets[:, layout.SRC_SET], sets[:, layout.SRC_SET] + 1)),
    )
    reads = _Reads(view.aggregations, [hop or 0 for hop in hops], list(keyed), sources)
    return Plan(
        definition=definition,
        version=view_version(definition),
        features=tuple(one.name for one in view.aggregations),
        value_fields=value_fields,
        filters=filters,
        levels=reads.levels(view.aggregations),
        sources=sources,
        template=template,
        cells=cells.astype(np.int64),
        set_columns=np.ascontiguousarray(sets[:, layout.SRC_SET]),
        set_limits=np.ascontiguousarray(sets[:, layout.SRC_LIMIT]),
        groups=reads.groups_array(),
        operations=reads.operations_array(),
        accumulator=np.array(reads.accumulator, dtype=np.int64),
        set_room=reads.set_room,
        outputs=reads.outputs(view.aggregations),
        scales=_scales(view.aggregations, value_fields),
    )


def cost(definition: ViewDefinition) -> Cost:
    """Return rows and bytes of one entity with an event in every tile."""
    plan = plan_of(definition)
    rows = 0
    for hop, window in plan.levels[:, [layout.LEVEL_HOP, layout.LEVEL_WINDOW]].tolist():
        rows += 1 if hop == 0 else -(-(window + definition.lateness_us + hop) // hop)
    row = WORD * (len(plan.template) + int(plan.set_limits.sum())) + LINK_BYTES
    entity = WORD * (layout.ENTITY_HEAD + len(plan.levels)) + KEY_BYTES
    return Cost(rows, row, rows * row + 2 * entity, len(plan.levels))


def _source_key(one: Aggregation) -> tuple[str | None, str | None]:
    return one.field, one.filter


def _sources(
    aggregations: tuple[Aggregation, ...], fields: tuple[Field, ...], filters: tuple[str, ...]
) -> dict[tuple[str | None, str | None], _Source]:
    places = {one.name: place for place, one in enumerate(fields)}
    keyed: dict[tuple[str | None, str | None], _Source] = {}
    for one in aggregations:
        value = -1 if one.field is None else places[one.field]
        at = -1 if one.filter is None else filters.index(one.filter)
        source = keyed.setdefault(_source_key(one), _Source(value, at))
        source.needs.update(NEEDS[one.function])
        if one.function is Function.DISTINCT:
            source.limit = max(source.limit, one.bound + 1)
    return keyed


def _columns(
    keyed: dict[tuple[str | None, str | None], _Source],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Place every primitive that is needed, and only those."""
    sources = np.full((len(keyed), layout.SRC_WORDS), -1, dtype=np.int64)
    template = [0] * layout.ROW_HEAD
    template[layout.ROW_NEWEST] = INT64_MIN
    for row, source in zip(sources, keyed.values(), strict=True):
        row[layout.SRC_VALUE], row[layout.SRC_FILTER] = source.value, source.filter
        row[layout.SRC_LIMIT] = source.limit
        for primitive in sorted(source.needs):
            row[primitive] = len(template)
            template.extend(EMPTY[primitive])
    return sources, np.array(template, dtype=np.int64)


class _Reads:
    """What a read merges: a group per (level, window), an operation per primitive of a group."""

    def __init__(
        self,
        aggregations: tuple[Aggregation, ...],
        hops: list[int],
        keys: list[tuple[str | None, str | None]],
        sources: npt.NDArray[np.int64],
    ) -> None:
        self.hops = hops
        self.keys = keys
        self.sources = sources
        self.groups = sorted({self.group_of(one) for one in aggregations})
        self.accumulator: list[int] = []
        self.set_room = 0
        self.places: dict[tuple[int, int, Primitive], int] = {}
        self.operations: list[list[int]] = []
        self.spans: list[tuple[int, int]] = []
        for number, group in enumerate(self.groups):
            start = len(self.operations)
            self._lay(number, [one for one in aggregations if self.group_of(one) == group])
            self.spans.append((start, len(self.operations)))

    def group_of(self, one: Aggregation) -> tuple[int, int]:
        """Return (level, tiles in the window) of an aggregation."""
        hop = hop_of(one)
        if hop is None or one.window_us is None:
            return self.hops.index(0), layout.LIFETIME_TILES
        return self.hops.index(hop), one.window_us // hop

    def _lay(self, group: int, aggregations: list[Aggregation]) -> None:
        for one in aggregations:
            source = self.keys.index(_source_key(one))
            for primitive in NEEDS[one.function]:
                if (group, source, primitive) not in self.places:
                    self.places[group, source, primitive] = len(self.accumulator)
                    self._operate(source, primitive)

    def _operate(self, source: int, primitive: Primitive) -> None:
        row = [int(primitive), int(self.sources[source, primitive]), len(self.accumulator), 0]
        if primitive is Primitive.SET:
            row[layout.OP_LIMIT] = int(self.sources[source, layout.SRC_LIMIT])
            self.accumulator.extend((self.set_room, 0))
            self.set_room += row[layout.OP_LIMIT]
        else:
            self.accumulator.extend(EMPTY[primitive])
        self.operations.append(row)

    def levels(self, aggregations: tuple[Aggregation, ...]) -> npt.NDArray[np.int64]:
        """Return hop, longest window, and the groups of each level."""
        rows = np.zeros((len(self.hops), layout.LEVEL_WORDS), dtype=np.int64)
        for level, hop in enumerate(self.hops):
            mine = [number for number, group in enumerate(self.groups) if group[0] == level]
            windows = [one.window_us or 0 for one in aggregations if (hop_of(one) or 0) == hop]
            rows[level] = (hop, max(windows), mine[0], mine[-1] + 1)
        return rows

    def groups_array(self) -> npt.NDArray[np.int64]:
        """Return level, tiles, and the operations of each group."""
        rows = [(*group, *span) for group, span in zip(self.groups, self.spans, strict=True)]
        return np.array(rows, dtype=np.int64)

    def operations_array(self) -> npt.NDArray[np.int64]:
        """Return primitive, row column, accumulator column and limit of each operation."""
        return np.array(self.operations, dtype=np.int64)

    def outputs(self, aggregations: tuple[Aggregation, ...]) -> npt.NDArray[np.int64]:
        """Return function, group, and the accumulator columns of each feature."""
        rows = np.full((len(aggregations), layout.OUT_WORDS), -1, dtype=np.int64)
        for row, one in zip(rows, aggregations, strict=True):
            group = self.groups.index(self.group_of(one))
            source = self.keys.index(_source_key(one))
            row[layout.OUT_FUNCTION] = CODES[one.function]
            row[layout.OUT_GROUP] = group
            row[layout.OUT_N] = self.places[group, source, Primitive.N]
            rest = NEEDS[one.function][1:]
            for column, primitive in zip((layout.OUT_A, layout.OUT_B), rest, strict=False):
                row[column] = self.places[group, source, primitive]
            row[layout.OUT_LIMIT] = self.sources[source, layout.SRC_LIMIT]
        return rows


def _scales(
    aggregations: tuple[Aggregation, ...], fields: tuple[Field, ...]
) -> npt.NDArray[np.float64]:
    steps = {one.name: one.step for one in fields if one.type is not FieldType.STRING}
    return np.array([steps.get(one.field or "", 1.0) for one in aggregations], dtype=np.float64)
