"""The words of a tile row: which partials a view needs, and where each of them stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tidemill_tiles.definitions import Function
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.kernels import layout
from tidemill_tiles.primitives import EMPTY, INT64_MIN, RAGGED, Extra, Primitive, extra_of, needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tidemill_tiles.definitions import Aggregation, Field

SourceKey = tuple[str | None, str | None]
ExtraKey = tuple[Primitive, int, tuple[int, ...]]


def source_key(one: Aggregation) -> SourceKey:
    """Return what the values of an aggregation are: its field and its filter."""
    return one.field, one.filter


@dataclass(slots=True)
class _Source:
    """The partials of one (field, filter) while they are being laid out."""

    value: int
    filter: int
    needs: set[Primitive] = field(default_factory=set)
    limit: int = 0
    extras: dict[ExtraKey, Extra] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """A partial that is kept in the pool: the column that says where, and its most words."""

    column: int
    limit: int
    primitive: Primitive


class Layout:
    """Where everything stands in a row; only what some aggregation needs is there."""

    def __init__(
        self,
        aggregations: Sequence[Aggregation],
        fields: Sequence[Field],
        filters: Sequence[str],
    ) -> None:
        self.steps = {one.name: one.step for one in fields if one.type is not FieldType.STRING}
        self._fields = [one.name for one in fields]
        self._filters = list(filters)
        self._keyed: dict[SourceKey, _Source] = {}
        self.template = [0] * layout.ROW_HEAD
        self.template[layout.ROW_NEWEST] = INT64_MIN
        self.edges: list[int] = []
        self.blocks: list[Block] = []
        self._extras: list[list[int]] = []
        self._places: dict[tuple[SourceKey, ExtraKey], int] = {}
        for one in aggregations:
            self._need(one)
        self.keys = list(self._keyed)
        self.sources = np.full((len(self.keys), layout.SRC_WORDS), -1, dtype=np.int64)
        for row, (key, source) in zip(self.sources, self._keyed.items(), strict=True):
            self._place(row, key, source)
        self.extras = np.array(self._extras, dtype=np.int64).reshape(-1, layout.EXTRA_WORDS)

    def step(self, one: Aggregation) -> float:
        """Return the unit of an aggregation's integers."""
        return self.steps.get(one.field or "", 1.0)

    def extra_for(self, one: Aggregation) -> Extra | None:
        """Return the extra that an aggregation is read from; None if a row has it anyway."""
        extra = extra_of(one, self.step(one))
        if extra is not None and extra.primitive is Primitive.NEWEST:
            return None if source_key(one) == (None, None) else extra
        return extra

    def column(self, one: Aggregation, primitive: Primitive) -> int:
        """Return the column of a partial of an aggregation."""
        extra = self.extra_for(one)
        if extra is not None and extra.primitive is primitive:
            return self._extras[self._places[source_key(one), extra.key]][layout.EXTRA_COLUMN]
        if primitive is Primitive.NEWEST:
            return layout.ROW_NEWEST
        return int(self.sources[self.keys.index(source_key(one)), primitive])

    def limit(self, one: Aggregation, primitive: Primitive) -> int:
        """Return the most words of a partial's block, or the bins of a histogram."""
        extra = self.extra_for(one)
        if extra is not None and extra.primitive is primitive:
            return self._keyed[source_key(one)].extras[extra.key].limit
        limit = self.sources[self.keys.index(source_key(one)), layout.SRC_LIMIT]
        return int(limit) if primitive is Primitive.SET else 0

    def cells(self) -> npt.NDArray[np.int64]:
        """Return the columns that a record holds as they are."""
        blocks = {block.column for block in self.blocks}
        words = range(layout.ROW_HEAD, len(self.template))
        kept = [word for word in words if word not in blocks and word - 1 not in blocks]
        return np.array(kept, dtype=np.int64)

    def _need(self, one: Aggregation) -> None:
        value = -1 if one.field is None else self._fields.index(one.field)
        at = -1 if one.filter is None else self._filters.index(one.filter)
        source = self._keyed.setdefault(source_key(one), _Source(value, at))
        source.needs.update(each for each in needs(one) if each <= Primitive.SET)
        if one.function is Function.DISTINCT:
            source.limit = max(source.limit, one.bound + 1)
        extra = self.extra_for(one)
        if extra is not None:
            known = source.extras.get(extra.key, extra)
            source.extras[extra.key] = max(known, extra, key=lambda each: each.limit)

    def _place(self, row: npt.NDArray[np.int64], key: SourceKey, source: _Source) -> None:
        row[layout.SRC_VALUE], row[layout.SRC_FILTER] = source.value, source.filter
        row[layout.SRC_LIMIT] = source.limit
        for primitive in sorted(source.needs):
            row[primitive] = self._column(primitive, EMPTY[primitive], source.limit)
        row[layout.SRC_EXTRAS] = len(self._extras)
        for extra in source.extras.values():
            number = extra.number
            if extra.primitive is Primitive.BINS:
                number = len(self.edges)
                self.edges.extend(extra.edges)
            column = self._column(extra.primitive, extra.empty, extra.limit)
            self._places[key, extra.key] = len(self._extras)
            self._extras.append([extra.primitive, column, extra.limit, number])
        row[layout.SRC_EXTRAS_END] = len(self._extras)

    def _column(self, primitive: Primitive, empty: tuple[int, ...], limit: int) -> int:
        column = len(self.template)
        if primitive in RAGGED:
            self.blocks.append(Block(column, limit, primitive))
        self.template.extend(empty)
        return column
