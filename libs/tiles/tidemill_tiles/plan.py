"""How a view is laid out: its levels, its columns, and what a read merges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill_tiles.definitions import (
    PAIRS,
    Field,
    ViewDefinition,
    hop_of,
    normalised,
    value_fields,
    view_version,
)
from tidemill_tiles.kernels import layout
from tidemill_tiles.layouts import Layout
from tidemill_tiles.primitives import RAGGED, Primitive, words_per_tile
from tidemill_tiles.reading import Reads
from tidemill_tiles.validation import checked

if TYPE_CHECKING:
    import numpy.typing as npt

LINK_BYTES: Final = 4 * (layout.LINK_WORDS + 2 + 1 + 1)  # links, row map, free list, dirty list
WORD: Final = 8
KEY_BYTES: Final = 32


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
    extras: npt.NDArray[np.int64]
    edges: npt.NDArray[np.int64]
    template: npt.NDArray[np.int64]
    cells: npt.NDArray[np.int64]
    set_columns: npt.NDArray[np.int64]
    set_limits: npt.NDArray[np.int64]
    set_kinds: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    operations: npt.NDArray[np.int64]
    accumulator: npt.NDArray[np.int64]
    set_room: int
    outputs: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.float64]

    @property
    def laid(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Return what kernels need to add an event, in the order in which they take it."""
        return self.levels, self.sources, self.template, self.extras, self.edges

    @property
    def has_ties(self) -> bool:
        """Tell whether values depend on the order of events of one time, so on their ids."""
        ends = self.sources[:, [layout.SRC_FIRST, layout.SRC_LAST]]
        newest = self.extras[:, layout.EXTRA_PRIMITIVE] == Primitive.RECENT
        return bool((ends >= 0).any() or newest.any())


@lru_cache(maxsize=256)
def plan_of(definition: ViewDefinition) -> Plan:
    """Lay the view out; Misconfigured names every mistake in it."""
    view = normalised(checked(definition))
    own = tuple(one for one in view.aggregations if one.function not in PAIRS)
    hops = sorted({hop_of(one) for one in own} - {None}, key=lambda hop: hop or 0)
    if any(one.window_us is None for one in own):
        hops.append(None)
    names = {one.field for one in own if one.field is not None}
    values = tuple(one for one in value_fields(view) if one.name in names)
    filters = tuple(dict.fromkeys(one.filter for one in own if one.filter))
    placed = Layout(own, values, filters)
    reads = Reads(view.aggregations, [hop or 0 for hop in hops], placed)
    return Plan(
        definition=definition,
        version=view_version(definition),
        features=tuple(one.name for one in view.aggregations),
        value_fields=values,
        filters=filters,
        levels=reads.levels(),
        sources=placed.sources,
        extras=placed.extras,
        edges=np.array(placed.edges, dtype=np.int64),
        template=np.array(placed.template, dtype=np.int64),
        cells=placed.cells(),
        set_columns=np.array([block.column for block in placed.blocks], dtype=np.int64),
        set_limits=np.array([block.limit for block in placed.blocks], dtype=np.int64),
        set_kinds=np.array([block.primitive for block in placed.blocks], dtype=np.int64),
        groups=reads.groups_array(),
        operations=np.array(reads.operations, dtype=np.int64),
        accumulator=np.array(reads.accumulator, dtype=np.int64),
        set_room=reads.set_room,
        outputs=reads.outputs(),
        numbers=reads.numbers(),
    )


def cost(definition: ViewDefinition) -> Cost:
    """Return rows and bytes of one entity with an event in every tile and every block full.

    Each stream of the view keeps tiles of its own.
    """
    plan = plan_of(definition)
    sets = int(plan.set_limits[plan.set_kinds == Primitive.SET].sum())
    rows, widest, total = 0, 0, 0
    for hop, window in plan.levels[:, [layout.LEVEL_HOP, layout.LEVEL_WINDOW]].tolist():
        count = 1 if hop == 0 else -(-(window + definition.lateness_us + hop) // hop)
        words = sets + sum(
            words_per_tile(primitive, limit, number, hop)
            for primitive, _, limit, number in plan.extras.tolist()
            if primitive in RAGGED
        )
        row = WORD * (len(plan.template) + words) + LINK_BYTES
        rows, widest, total = rows + count, max(widest, row), total + count * row
    entity = WORD * (layout.ENTITY_HEAD + len(plan.levels)) + KEY_BYTES
    logs = len(definition.streams)
    return Cost(logs * rows, widest, logs * (total + 2 * entity), len(plan.levels))
