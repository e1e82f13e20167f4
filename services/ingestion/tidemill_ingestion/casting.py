"""Columns that come as Arrow become those of the stream, where that is no guess."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

_NUMBERS: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_TEXTS: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Bring a column to the type of its field; pa.ArrowInvalid says why that cannot be done.

    A number may be wider or narrower as long as every value stays itself, and text may be encoded
    by a dictionary. Text is no number, a number no text, no truth value and no time, and a time
    needs its zone: each would be a guess, and the same value in JSON is refused.
    """
    found = column.type
    if pa.types.is_dictionary(found):
        found = found.value_type
    if pa.types.is_timestamp(found) and pa.types.is_timestamp(wanted) and found.tz is None:
        raise pa.ArrowInvalid("its times have no time zone")
    if not pa.types.is_null(found) and _kind(found) != _kind(wanted):
        raise pa.ArrowInvalid(f"a {found} is no {wanted}")
    return column.cast(wanted)


def _kind(of: pa.DataType) -> str:
    """Name what values of a type are, whatever their width."""
    if any(is_one(of) for is_one in _NUMBERS):
        return "number"
    if any(is_one(of) for is_one in _TEXTS):
        return "text"
    return "time" if pa.types.is_timestamp(of) else str(of)
