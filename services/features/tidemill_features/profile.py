"""The profile of the raw streams behind a training set: the monitors' reference of raw fields."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill_common.reference import TOP, CategoricalBins, bins_to_dict, numeric_bins
from tidemill_features.spine import micros
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from tidemill_common.feature_views import StreamSpec
    from tidemill_common.reference import Bins
    from tidemill_features.spine import Exclusion
    from tidemill_tiles.definitions import Field

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
    spans = [(spec, _span(table, from_us, to_us, exclusions)) for spec, table in streams.values()]
    columns = [(spec, field, table) for spec, table in spans for field in spec.fields]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # sorting holds no lock
        found = pool.map(lambda one: _bins(*one), columns)
    fields = [bins_to_dict(bins) for bins in found if bins is not None]
    return {"format": FORMAT, "from_us": from_us, "to_us": to_us, "fields": fields}


def _span(table: pa.Table, from_us: int, to_us: int, exclusions: Sequence[Exclusion]) -> pa.Table:
    time = micros(table, "_time")
    keep = (time >= from_us) & (time <= to_us)
    for one in exclusions:
        keep &= ~((time >= one.from_us) & (time < one.to_us))
    return table if keep.all() else table.filter(pa.array(keep))


def _bins(spec: StreamSpec, field: Field, table: pa.Table) -> Bins | None:
    """Return the bins of one column; None if it says nothing: a key, an identifier, a time."""
    name, column = f"{spec.name}.{field.name}", table[field.name].combine_chunks()
    match field.type:
        case FieldType.FLOAT64 | FieldType.INT64:
            return numeric_bins(name, _numbers(column))
        case FieldType.BOOL:
            return numeric_bins(name, _numbers(column.cast(pa.int8())))
        case FieldType.STRING if field.name not in spec.key:
            return _categories(name, column)
        case _:
            return None


def _numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))


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
