"""The profile of the raw streams behind a training set: the monitors' reference of raw fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill_common.reference import TOP, CategoricalBins, bins_to_dict, numeric_bins
from tidemill_features.spine import micros
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tidemill_common.feature_views import StreamSpec
    from tidemill_common.reference import Bins
    from tidemill_features.spine import Exclusion

FORMAT: Final = 1
MAX_DISTINCT: Final = 1_000
"""Text with more distinct values than this is an identifier, not a category."""


def profile_of(
    streams: Mapping[str, tuple[StreamSpec, pa.Table]],
    from_us: int,
    to_us: int,
    exclusions: Sequence[Exclusion],
) -> dict[str, Any]:
    """Return {"format", "from_us", "to_us", "fields"} over events with from <= event time <= to.

    Each field has 64 quantile cells with their counts, missing, mean, std and tails (numbers), or
    the most frequent values (text).
    """
    fields = [
        bins_to_dict(bins)
        for spec, table in streams.values()
        for bins in _fields(spec, _span(table, from_us, to_us, exclusions))
    ]
    return {"format": FORMAT, "from_us": from_us, "to_us": to_us, "fields": fields}


def _span(table: pa.Table, from_us: int, to_us: int, exclusions: Sequence[Exclusion]) -> pa.Table:
    time = micros(table, "_time")
    keep = (time >= from_us) & (time <= to_us)
    for one in exclusions:
        keep &= ~((time >= one.from_us) & (time < one.to_us))
    return table if keep.all() else table.filter(pa.array(keep))


def _fields(spec: StreamSpec, table: pa.Table) -> Iterator[Bins]:
    for field in spec.fields:
        if field.name not in table.column_names:
            continue
        name, column = f"{spec.name}.{field.name}", table[field.name].combine_chunks()
        if field.type in (FieldType.FLOAT64, FieldType.INT64, FieldType.BOOL):
            numbers = (
                column.cast(pa.float64()) if field.type is not FieldType.BOOL else _bits(column)
            )
            yield numeric_bins(name, np.asarray(numbers.to_numpy(zero_copy_only=False)))
        elif field.type is FieldType.STRING and field.name not in spec.key:
            bins = _categories(name, column)
            if bins is not None:
                yield bins


def _bits(column: pa.Array) -> pa.Array:
    return column.cast(pa.int8()).cast(pa.float64())


def _categories(name: str, column: pa.Array) -> CategoricalBins | None:
    """Count the most frequent texts, ties by text; None for identifiers."""
    counted = pc.value_counts(column)
    if len(counted) > MAX_DISTINCT:
        return None
    pairs = [(one["values"], one["counts"]) for one in counted.to_pylist()]
    missing = sum(count for value, count in pairs if value is None)
    known = sorted(
        ((value, count) for value, count in pairs if value is not None),
        key=lambda pair: (-pair[1], pair[0]),
    )
    top, rest = known[:TOP], known[TOP:]
    return CategoricalBins(
        name,
        tuple(value for value, _ in top),
        tuple(count for _, count in top),
        other=sum(count for _, count in rest),
        missing=missing,
    )
