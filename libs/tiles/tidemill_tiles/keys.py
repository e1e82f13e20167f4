"""Canonical entity keys, their hashes and their partitions, over whole columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from tidemill.errors import Invalid
from tidemill_tiles.canonical import SEPARATOR
from tidemill_tiles.kernels import hashing, layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_FEW: Final = 8
MAX_KEY_BYTES: Final = layout.KEY_ROOM


@dataclass(slots=True, eq=False)
class KeyColumn:
    """Canonical key bytes of many rows, in Arrow's layout, with their 128-bit hashes."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]
    hashes: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.valid)

    def key(self, row: int) -> bytes:
        """Return the canonical key bytes of one row."""
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()


def flat(column: Any) -> pa.Array:
    """Return one contiguous array of an array or a chunked array."""
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def validity(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Return True where a column is not null."""
    if column.null_count == 0:
        every = np.empty(len(column), dtype=np.bool_)
        every[:] = True
        return every
    if column.null_count == len(column):
        return np.zeros(len(column), dtype=np.bool_)
    mask: npt.NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return mask


def string_parts(
    column: pa.Array,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return bytes, offsets and validity of a string or binary column, without copying bytes."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = column.cast(pa.large_string())
    wide = np.int64 if pa.types.is_large_string(column.type) else np.int32
    _, offsets_buffer, data_buffer = column.buffers()
    if offsets_buffer is None or len(column) == 0:
        offsets = np.zeros(len(column) + 1, dtype=np.int64)
    else:
        offsets = np.frombuffer(offsets_buffer, dtype=wide)[
            column.offset : column.offset + len(column) + 1
        ].astype(np.int64)
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)
    return data, offsets, validity(column)


def _text(column: Any) -> pa.Array:
    """Return a column's values as canonical text."""
    array = flat(column)
    if pa.types.is_floating(array.type):
        raise Invalid(f"a {array.type} cannot be part of a key")
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("us", array.type.tz)).cast(pa.int64())
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return array
    return array.cast(pa.string())


def key_column(columns: Sequence[Any]) -> KeyColumn:
    """Return canonical keys and hashes of the rows of key columns; a null part is not valid."""
    if not columns:
        raise Invalid("a key needs at least one column")
    texts = [_text(column) for column in columns]
    if len(texts) == 1:
        joined = texts[0]
    else:
        texts = [text.cast(pa.large_string()) for text in texts]
        separator = pa.scalar(SEPARATOR, pa.large_string())
        joined = flat(pc.binary_join_element_wise(*texts, separator, null_handling="emit_null"))
    return _hashed(*string_parts(joined))


def _hashed(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_]
) -> KeyColumn:
    sizes = offsets[1:] - offsets[:-1]
    if len(sizes) and sizes.max() > MAX_KEY_BYTES:
        valid = valid & (sizes <= MAX_KEY_BYTES)
    hashes = np.empty((len(valid), 2), dtype=np.uint64)
    hashing.hash_strings(data, offsets, valid, hashes)
    return KeyColumn(data, offsets, valid, hashes)


def key_column_of(keys: Sequence[bytes | None]) -> KeyColumn:
    """Return the column of canonical keys that are known as bytes."""
    known = [b"" if key is None else key for key in keys]
    valid = np.ones(len(keys), dtype=np.bool_)
    if None in keys:
        valid = np.array([key is not None for key in keys], dtype=np.bool_)
    offsets = np.zeros(len(keys) + 1, dtype=np.int64)
    np.fromiter(map(len, known), np.int64, len(known)).cumsum(out=offsets[1:])
    return _hashed(np.frombuffer(b"".join(known), dtype=np.uint8), offsets, valid)


def hash_keys(keys: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """Return the 128-bit hashes of canonical keys."""
    return key_column_of(keys).hashes


def hash_key(key: bytes) -> npt.NDArray[np.uint64]:
    """Return the 128-bit hash of one canonical key."""
    hashed: npt.NDArray[np.uint64] = hash_keys([key])[0]
    return hashed


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that owns a key: xxh3_64 of its canonical bytes, modulo."""
    return int(xxhash.xxh3_64_intdigest(key)) % partitions


def partitions_of(keys: KeyColumn, partitions: int) -> npt.NDArray[np.int32]:
    """Return the partition of every row; -1 where the key is not valid.

    xxh3_64 is called once for each different key, so the cost follows keys and not rows; among a
    few rows finding the different ones would cost more.
    """
    if len(keys) <= _FEW:
        return np.array(
            [
                partition_of(keys.key(row), partitions) if valid else -1
                for row, valid in enumerate(keys.valid.tolist())
            ],
            dtype=np.int32,
        )
    _, firsts, inverse = np.unique(keys.hashes[:, 0], return_index=True, return_inverse=True)
    raw = keys.data.tobytes()
    spans = zip(keys.offsets[firsts].tolist(), keys.offsets[firsts + 1].tolist(), strict=True)
    owners = np.fromiter(
        (xxhash.xxh3_64_intdigest(raw[start:end]) % partitions for start, end in spans),
        np.int32,
        len(firsts),
    )
    found = owners[inverse] if len(owners) else np.zeros(0, dtype=np.int32)
    return np.where(keys.valid, found, np.int32(-1))


def stream_salt(stream: str) -> int:
    """Return what tells the ids of one stream from those of another."""
    return int(xxhash.xxh3_64_intdigest(stream.encode()))


def event_id_hashes(source: Any, id: Any, replay_of: Any | None = None) -> npt.NDArray[np.uint64]:  # noqa: A002
    """Return the 64-bit hash of (source, id, replay of) of every row."""
    columns = [source, id] if replay_of is None else [source, id, replay_of]
    hashes = np.zeros(len(id), dtype=np.uint64)
    for column in columns:
        out = np.empty(len(hashes), dtype=np.uint64)
        hashing.chain_strings(*string_parts(flat(column)), hashes, out)
        hashes = out
    return hashes
