"""What a read merges and gives: groups of windows, operations on partials, outputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill_tiles.definitions import PAIRS, Function, Gives, hop_of, precision_of
from tidemill_tiles.kernels import layout
from tidemill_tiles.layouts import ExtraKey, SourceKey, source_key
from tidemill_tiles.primitives import EMPTY, RAGGED, Primitive, needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tidemill_tiles.definitions import Aggregation
    from tidemill_tiles.layouts import Layout

CODES: Final = {function: code for code, function in enumerate(Function)}
GIVES: Final = {gives: code for code, gives in enumerate(Gives)}
SECOND_US: Final = 1_000_000
Place = tuple[int, SourceKey, Primitive, ExtraKey | None]


class Reads:
    """What a read merges: a group per (level, window), an operation per primitive of a group."""

    def __init__(
        self, aggregations: Sequence[Aggregation], hops: list[int], placed: Layout
    ) -> None:
        self.aggregations = aggregations
        self.own = [one for one in aggregations if one.function not in PAIRS]
        self.hops = hops
        self.placed = placed
        self.groups = sorted({self.group_of(one) for one in self.own})
        self.accumulator: list[int] = []
        self.set_room = 0
        self.places: dict[Place, int] = {}
        self.operations: list[list[int]] = []
        self.spans: list[tuple[int, int]] = []
        for number, group in enumerate(self.groups):
            start = len(self.operations)
            for one in self.own:
                if self.group_of(one) == group:
                    self._lay(number, one)
            self.spans.append((start, len(self.operations)))

    def group_of(self, one: Aggregation) -> tuple[int, int]:
        """Return (level, tiles in the window) of an aggregation."""
        hop = hop_of(one)
        if hop is None or one.window_us is None:
            return self.hops.index(0), layout.LIFETIME_TILES
        return self.hops.index(hop), one.window_us // hop

    def _place(self, group: int, one: Aggregation, primitive: Primitive) -> Place:
        extra = self.placed.extra_for(one)
        own = extra is not None and extra.primitive is primitive
        return group, source_key(one), primitive, extra.key if extra and own else None

    def _lay(self, group: int, one: Aggregation) -> None:
        for primitive in needs(one):
            place = self._place(group, one, primitive)
            if place not in self.places:
                self.places[place] = len(self.accumulator)
                self._operate(one, primitive)

    def _operate(self, one: Aggregation, primitive: Primitive) -> None:
        column, limit = self.placed.column(one, primitive), self.placed.limit(one, primitive)
        self.operations.append([primitive, column, len(self.accumulator), limit])
        if primitive in RAGGED:
            self.accumulator.extend((self.set_room, 0))
            self.set_room += limit
        elif primitive is Primitive.BINS:
            self.accumulator.extend([0] * limit)
        else:
            self.accumulator.extend(EMPTY[primitive])

    def levels(self) -> npt.NDArray[np.int64]:
        """Return hop, longest window, and the groups of each level."""
        rows = np.zeros((len(self.hops), layout.LEVEL_WORDS), dtype=np.int64)
        for level, hop in enumerate(self.hops):
            mine = [number for number, group in enumerate(self.groups) if group[0] == level]
            windows = [one.window_us or 0 for one in self.own if (hop_of(one) or 0) == hop]
            rows[level] = (hop, max(windows), mine[0], mine[-1] + 1)
        return rows

    def groups_array(self) -> npt.NDArray[np.int64]:
        """Return level, tiles, and the operations of each group."""
        rows = [(*group, *span) for group, span in zip(self.groups, self.spans, strict=True)]
        return np.array(rows, dtype=np.int64)

    def outputs(self) -> npt.NDArray[np.int64]:
        """Return function, group, the accumulator columns, and the place of each feature."""
        names = [one.name for one in self.aggregations]
        rows = np.full((len(names), layout.OUT_WORDS), -1, dtype=np.int64)
        for row, one in zip(rows, self.aggregations, strict=True):
            row[layout.OUT_FUNCTION] = CODES[one.function]
            if one.function in PAIRS:
                row[[layout.OUT_A, layout.OUT_B]] = [names.index(name) for name in one.operands]
            else:
                self._output(row, one)
        return rows

    def _output(self, row: npt.NDArray[np.int64], one: Aggregation) -> None:
        group = self.groups.index(self.group_of(one))
        row[layout.OUT_GROUP] = group
        partials = needs(one)
        columns = (layout.OUT_N, layout.OUT_A, layout.OUT_B)
        for column, primitive in zip(columns, partials, strict=False):
            row[column] = self.places[self._place(group, one, primitive)]
        row[layout.OUT_LIMIT] = self.placed.limit(one, partials[-1])
        if one.function is Function.TOP_K:
            row[layout.OUT_LIMIT] = layout.TALLY_WORDS * one.bound
        if one.function is Function.QUANTILE:
            row[layout.OUT_LIMIT] = precision_of(one.error)
        if one.place is not None:
            row[layout.OUT_PLACE] = one.place
        if one.gives is not None:
            row[layout.OUT_GIVES] = GIVES[one.gives]

    def numbers(self) -> npt.NDArray[np.float64]:
        """Return the unit of each feature's integers, its parameter and its default."""
        rows = np.full((len(self.aggregations), layout.NUM_WORDS), math.nan, dtype=np.float64)
        for row, one in zip(rows, self.aggregations, strict=True):
            row[layout.NUM_SCALE] = self.placed.step(one)
            if one.function is Function.RATE:
                row[layout.NUM_PARAMETER] = (one.window_us or 0) / SECOND_US
            if one.quantile is not None:
                row[layout.NUM_PARAMETER] = one.quantile
            if one.default is not None:
                row[layout.NUM_DEFAULT] = one.default
        return rows
