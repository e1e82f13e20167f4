"""The content hash of a training set: the same rows in the same order give the same digest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill_features.ahead import ahead
from tidemill_tiles.kernels.columns import canonical_floats
from tidemill_tiles.keys import string_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt
    import pyarrow.parquet as pq


def row_hash(table: pa.Table) -> str:
    """Return the sha256 over every value of every row, column by column, rows in order.

    Canonical: names, types and row count first; of each column the presence of every value, then
    the values, missing ones as zeros; every NaN and both zeros are one.
    """

    def parts(place: int) -> Iterator[pa.Array]:
        yield table.column(place).combine_chunks()

    return _digest(table.schema, table.num_rows, parts, whole=set())


def file_hash(file: pq.ParquetFile) -> str:
    """Return the `row_hash` of the rows of a file; one column of one row group is in memory."""
    groups = range(file.num_row_groups)
    schema = file.schema_arrow

    def parts(place: int) -> Iterator[pa.Array]:
        for number in groups:
            table = file.read_row_group(number, columns=[schema.names[place]])
            yield table.column(0).combine_chunks()

    whole = {
        place
        for place in range(len(schema.names))
        if all(_null_count(file, number, place) == 0 for number in groups)
    }
    return _digest(schema, file.metadata.num_rows, parts, whole)


def _null_count(file: pq.ParquetFile, group: int, place: int) -> int | None:
    found = file.metadata.row_group(group).column(place).statistics
    return None if found is None else found.null_count


def _digest(
    schema: pa.Schema, rows: int, parts: Callable[[int], Iterator[pa.Array]], whole: set[int]
) -> str:
    """Hash columns that are given in parts, several times; `whole` ones have no missing value."""
    digest = hashlib.sha256(f"{rows}\n".encode())
    with ahead(_pieces(schema, rows, parts, whole)) as pieces:
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


def _pieces(
    schema: pa.Schema, rows: int, parts: Callable[[int], Iterator[pa.Array]], whole: set[int]
) -> Iterator[bytes | memoryview]:
    """Give what is hashed, in its order."""
    for place, field in enumerate(schema):
        yield f"{field.name}:{field.type}\n".encode()
        if place in whole:
            yield np.packbits(np.ones(rows, dtype=np.bool_)).data
        else:
            yield from _presence(parts(place))
        for kind in _kinds(field.type):
            for part in parts(place):
                yield np.ascontiguousarray(kind(part)).data


def _presence(parts: Iterator[pa.Array]) -> Iterator[bytes | memoryview]:
    """Give a bit for every row, eight a byte, also where a part ends within a byte."""
    left = np.empty(0, dtype=np.bool_)
    for part in parts:
        bits = np.concatenate((left, np.asarray(pc.is_valid(part))))
        full = len(bits) // 8 * 8
        yield np.packbits(bits[:full]).data
        left = bits[full:]
    yield np.packbits(left).data


def _kinds(kind: pa.DataType) -> Sequence[Callable[[pa.Array], npt.NDArray[np.generic]]]:
    """Return what is hashed of all values of a type, one after the other."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _lengths, _text
    if pa.types.is_floating(kind):
        return (_floats,)
    if pa.types.is_boolean(kind):
        return (lambda column: np.asarray(column.cast(pa.uint8()).fill_null(0)),)
    return (lambda column: np.asarray(column.cast(pa.int64()).fill_null(0), dtype=np.int64),)


def _lengths(column: pa.Array) -> npt.NDArray[np.int64]:
    _, offsets, _ = string_parts(column.fill_null(""))
    return np.diff(offsets)


def _text(column: pa.Array) -> npt.NDArray[np.uint8]:
    data, offsets, _ = string_parts(column.fill_null(""))
    return data[offsets[0] : offsets[-1]]


def _floats(column: pa.Array) -> npt.NDArray[np.float64]:
    values = np.empty(len(column), dtype=np.float64)
    canonical_floats(np.asarray(column.fill_null(0.0), dtype=np.float64), values)
    return values
