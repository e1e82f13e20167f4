"""The profile of the raw streams behind a training set: the monitors' reference of raw fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill_common.reference import TOP, CategoricalBins, bins_to_dict
from tidemill_features.columnbins import NumericColumn
from tidemill_features.spine import micros
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from tidemill_common.feature_views import StreamSpec
    from tidemill_common.reference import Bins
    from tidemill_features.spine import Exclusion
    from tidemill_tiles.definitions import Field

    Column: TypeAlias = "NumericColumn | TextColumn"

FORMAT: Final = 1
MAX_DISTINCT: Final = 1_000
"""Text with more distinct values than this is an identifier, not a category."""
NUMERIC: Final = frozenset({FieldType.FLOAT64, FieldType.INT64, FieldType.BOOL})


def field_bins(column: Column) -> dict[str, Any]:
    """Return what a profile says of a field.

    64 quantile cells with their counts, missing, mean, std and tails (numbers), or the most
    frequent values (text).
    """
    return bins_to_dict(column.bins())


def profiled(spec: StreamSpec) -> list[str]:
    """Return the fields of a stream that a profile reads: keys and times say nothing."""
    return [one.name for one in _profiled(spec)]


def _profiled(spec: StreamSpec) -> list[Field]:
    return [
        one
        for one in spec.fields
        if one.type in NUMERIC or (one.type is FieldType.STRING and one.name not in spec.key)
    ]


@dataclass(frozen=True, slots=True)
class Profile:
    """Looks at events with from <= event time <= to; numbers wait in files of `folder`."""

    from_us: int
    to_us: int
    exclusions: Sequence[Exclusion]
    folder: Path

    def columns(self, spec: StreamSpec, tables: Iterable[pa.Table]) -> list[Column]:
        """Read the fields of one stream, whose events come in any order and in any pieces."""
        columns = {one.name: self._column(spec, one) for one in _profiled(spec)}
        for table in tables:
            events = self._span(table.select(["_time", *columns]))
            for name, column in list(columns.items()):
                values = events[name].combine_chunks()
                if isinstance(column, NumericColumn):
                    column.add(_numbers(values))
                elif not column.add(values):
                    del columns[name]
        return list(columns.values())

    def to_dict(self, fields: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Return {"format", "from_us", "to_us", "fields"}."""
        span = {"from_us": self.from_us, "to_us": self.to_us}
        return {"format": FORMAT, **span, "fields": list(fields)}

    def _column(self, spec: StreamSpec, field: Field) -> Column:
        name = f"{spec.name}.{field.name}"
        if field.type in NUMERIC:
            return NumericColumn(name, self.folder / f"{name}.values")
        return TextColumn(name)

    def _span(self, table: pa.Table) -> pa.Table:
        time = micros(table, "_time")
        keep = (time >= self.from_us) & (time <= self.to_us)
        for one in self.exclusions:
            keep &= ~((time >= one.from_us) & (time < one.to_us))
        return table if keep.all() else table.filter(pa.array(keep))


def _numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))


class TextColumn:
    """Counts texts, until there are too many different ones."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts: dict[str | None, int] = {}

    def add(self, column: pa.Array) -> bool:
        """Count; False if it is an identifier, which shows in its first piece."""
        found = pc.value_counts(column)
        if len(found) <= MAX_DISTINCT:
            pairs = zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)
            for value, count in pairs:
                self._counts[value] = self._counts.get(value, 0) + count
        return len(found) <= MAX_DISTINCT and len(self._counts) <= MAX_DISTINCT

    def bins(self) -> Bins:
        """Return the most frequent texts, ties by text."""
        missing = self._counts.get(None, 0)
        known = sorted(
            ((value, count) for value, count in self._counts.items() if value is not None),
            key=lambda pair: (-pair[1], pair[0]),
        )
        top, rest = known[:TOP], known[TOP:]
        return CategoricalBins(
            self._name,
            tuple(value for value, _ in top),
            tuple(count for _, count in top),
            other=sum(count for _, count in rest),
            missing=missing,
        )
