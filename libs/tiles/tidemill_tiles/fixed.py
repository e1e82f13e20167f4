"""Columns as exact integers: numbers in units of their resolution, strings as hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from tidemill.errors import Invalid
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.kernels import columns, hashing
from tidemill_tiles.keys import flat, string_parts, validity

if TYPE_CHECKING:
    import numpy.typing as npt

    from tidemill_tiles.definitions import Field

ARROW: Final[dict[FieldType, pa.DataType]] = {
    FieldType.BOOL: pa.bool_(),
    FieldType.INT64: pa.int64(),
    FieldType.FLOAT64: pa.float64(),
    FieldType.STRING: pa.large_string(),
    FieldType.TIMESTAMP: pa.timestamp("us", "UTC"),
}


def representable(column: Any, field: Field) -> npt.NDArray[np.bool_]:
    """Return False where a value is non-finite or 2**48 resolutions or more; null is True."""
    return _fixed(flat(column), field)[1]


def to_fixed(column: Any, field: Field) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the integers of a column and where they hold (neither null nor unrepresentable)."""
    array = flat(column)
    values, good = _fixed(array, field)
    return values, good & validity(array) if array.null_count else good


def _fixed(array: pa.Array, field: Field) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    if field.type is FieldType.STRING:
        return _hashes(array), np.ones(len(array), dtype=np.bool_)
    numbers, valid = _numbers(array, field), validity(array)
    values = np.empty(len(array), dtype=np.int64)
    good = np.empty(len(array), dtype=np.bool_)
    if numbers.dtype == np.int64 and field.step == 1.0:
        columns.fix_integers(numbers, valid, values, good)
    else:
        columns.fix_floats(numbers.astype(np.float64, copy=False), valid, field.step, values, good)
    return values, good


def _hashes(array: pa.Array) -> npt.NDArray[np.int64]:
    data, offsets, valid = string_parts(array)
    out = np.empty(len(valid), dtype=np.uint64)
    hashing.chain_strings(data, offsets, valid, np.zeros(len(valid), dtype=np.uint64), out)
    return out.view(np.int64)


def _numbers(array: pa.Array, field: Field) -> npt.NDArray[Any]:
    """Return the buffer of a number column; slots of nulls hold anything."""
    wanted = ARROW[field.type]
    try:
        if field.type is FieldType.BOOL:
            array = array.cast(pa.bool_()).cast(pa.int8()).cast(pa.int64())
        elif array.type != wanted:
            array = array.cast(wanted)
    except pa.ArrowInvalid as error:
        raise Invalid(f"{field.name}: {array.type} does not become {wanted}: {error}") from error
    dtype = np.float64 if field.type is FieldType.FLOAT64 else np.int64
    buffer = array.buffers()[1]
    if buffer is None:
        return np.zeros(len(array), dtype=dtype)
    return np.frombuffer(buffer, dtype=dtype, count=len(array), offset=array.offset * 8)
