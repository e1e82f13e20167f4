"""The content hash of a training set: the same rows in the same order give the same digest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt

_NAN = np.float64("nan").view(np.int64)


def row_hash(table: pa.Table) -> str:
    """Return the sha256 over every value of every row, column by column, rows in order.

    Canonical: names, types and row count first; of each column the presence of every value, then
    the values, missing ones as zeros; every NaN and both zeros are one.
    """
    digest = hashlib.sha256(f"{table.num_rows}\n".encode())
    for field, column in zip(table.schema, table.columns, strict=True):
        digest.update(f"{field.name}:{field.type}\n".encode())
        whole = column.combine_chunks()
        digest.update(np.packbits(np.asarray(pc.is_valid(whole))).tobytes())
        for part in _values(whole):
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _values(column: pa.Array) -> list[npt.NDArray[np.generic]]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        filled = column.fill_null("").cast(pa.large_binary())
        joined = pa.concat_arrays([filled])
        data = np.frombuffer(joined.buffers()[2] or b"", dtype=np.uint8)
        lengths = np.asarray(pc.binary_length(joined), dtype=np.int64)
        return [lengths, data[: int(lengths.sum())]]
    if pa.types.is_floating(kind):
        values = np.asarray(column.fill_null(0.0), dtype=np.float64) + 0.0
        bits = values.view(np.int64).copy()
        bits[np.isnan(values)] = _NAN
        return [bits]
    if pa.types.is_boolean(kind):
        return [np.asarray(column.cast(pa.uint8()).fill_null(0))]
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    return [np.asarray(column.fill_null(0), dtype=np.int64)]
