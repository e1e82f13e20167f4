"""The bytes of the feature log: a fixed header, then columns, little-endian.

    header  128 bytes: magic "TMFL", format u16, kind u8, flags u8, crc32 u32 (of all but itself),
            body length u32, position i64, watermark i64, newest available i64, snapshot u64,
            view version (12 characters), generation length u32, generation (64 bytes, zeros after)
    body    rows, chunk: entities E u32, rows R u32, key bytes K u32, set values V u32, then
            entity hashes u64 [E, 2], tiles i64 [R], newest i64 [R], cells i64 [cells, R],
            set values u64 [V], entity slots u32 [E], key lengths u32 [E], row slots u32 [R],
            set counts u32 [sets, R], levels u8 [R], key bytes [K]
            gone: slots u32 [n]
            others: empty

A body of 4 KiB or more travels as one LZ4 block, flagged so, where that is shorter: whoever writes
and reads records does it in the thread that makes or applies them. The length in the header is that
of the body as it is above.

Every length is checked against the record before anything is allocated.
"""

from __future__ import annotations

import math
import struct
import sys
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from tidemill.errors import Corrupt, Misconfigured
from tidemill_tiles.kernels import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from tidemill_tiles.plan import Plan

MAGIC: Final = b"TMFL"
FORMAT: Final = 1
MAX_RECORD_BYTES: Final = 512 * 1024
MAX_SLOTS: Final = 1 << 27
MAX_KEY_BYTES: Final = layout.KEY_ROOM
MAX_GENERATION_BYTES: Final = 64
LAST: Final = 1
PACKED: Final = 2
PACKED_BYTES: Final = 4 * 1024
"""Of a body that is packed; a smaller one is not worth the call."""
HEADER: Final = struct.Struct("<4sHBBIIqqqQ12sI64s")
COUNTS: Final = struct.Struct("<IIII")
FLAGS_AT: Final = 7
CRC_START: Final = 8
CRC_END: Final = 12
LENGTH_START: Final = 12
_PACKING: Final = pa.Codec("lz4_raw")
BODY_LIMIT: Final = MAX_RECORD_BYTES - HEADER.size - COUNTS.size

if sys.byteorder != "little":
    raise Misconfigured("the feature log is little-endian, and so must this machine be")


class Kind(IntEnum):
    """What a record says."""

    ROWS = 1
    GONE = 2
    SNAPSHOT_BEGIN = 3
    CHUNK = 4
    SNAPSHOT_END = 5
    GENESIS = 6


@dataclass(frozen=True, slots=True)
class Header:
    """What every record carries; `last` marks the end of a flush."""

    kind: Kind
    position: int
    watermark_us: int
    newest_available_us: int
    generation: str
    view_version: str
    snapshot: int
    last: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The counts that decide how long the columns of a body are."""

    entities: int
    rows: int
    key_bytes: int
    values: int

    def columns(self, plan: Plan) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
        """Name the columns of a body in their order, with type and shape."""
        yield "hashes", np.uint64, (self.entities, 2)
        yield "tiles", np.int64, (self.rows,)
        yield "newest", np.int64, (self.rows,)
        yield "cells", np.int64, (len(plan.cells), self.rows)
        yield "values", np.uint64, (self.values,)
        yield "slots", np.uint32, (self.entities,)
        yield "lengths", np.uint32, (self.entities,)
        yield "row_slots", np.uint32, (self.rows,)
        yield "counts", np.uint32, (len(plan.set_columns), self.rows)
        yield "levels", np.uint8, (self.rows,)
        yield "keys", np.uint8, (self.key_bytes,)


COLUMNS: Final = (
    "slots",
    "hashes",
    "lengths",
    "keys",
    "tiles",
    "newest",
    "cells",
    "row_slots",
    "levels",
    "counts",
    "values",
)
"""The order in which kernels take the columns of a body."""


def row_bytes(plan: Plan) -> int:
    """Return the bytes of one row in a body, set values and its entity not counted."""
    return 8 * (2 + len(plan.cells)) + 4 + 4 * len(plan.set_columns) + 1


def body_bytes(plan: Plan, shape: Shape) -> int:
    """Return the length of a body with these counts."""
    return (
        COUNTS.size
        + row_bytes(plan) * shape.rows
        + 24 * shape.entities
        + 8 * shape.values
        + shape.key_bytes
    )


def new_body(plan: Plan, shape: Shape) -> tuple[bytearray, tuple[npt.NDArray[Any], ...]]:
    """Return a whole record with an empty header, and its columns for a kernel to fill."""
    record = bytearray(HEADER.size + body_bytes(plan, shape))
    COUNTS.pack_into(record, HEADER.size, shape.entities, shape.rows, shape.key_bytes, shape.values)
    return record, _views(memoryview(record)[HEADER.size :], plan, shape)


def _views(body: memoryview, plan: Plan, shape: Shape) -> tuple[npt.NDArray[Any], ...]:
    start, named = COUNTS.size, {}
    for name, dtype, sizes in shape.columns(plan):
        column = np.frombuffer(body, dtype=dtype, count=math.prod(sizes), offset=start).reshape(
            sizes
        )
        named[name] = column if column.flags.aligned else column.copy()
        start += column.nbytes
    return tuple(named[name] for name in COLUMNS)


def sealed(plain: bytearray, header: Header) -> bytes:
    """Return a record: its body packed if that is worth it, its header with the checksum of all."""
    generation = header.generation.encode()
    length = len(plain) - HEADER.size
    record = _packed(plain) if length >= PACKED_BYTES else plain
    flags = (LAST if header.last else 0) | (0 if record is plain else PACKED)
    HEADER.pack_into(
        record,
        0,
        MAGIC,
        FORMAT,
        header.kind,
        flags,
        0,
        length,
        header.position,
        header.watermark_us,
        header.newest_available_us,
        header.snapshot,
        header.view_version.encode(),
        len(generation),
        generation,
    )
    struct.pack_into("<I", record, CRC_START, _checksum(record))
    return bytes(record)


def _packed(plain: bytearray) -> bytearray:
    """Return a record with its body packed, or the same one where that is no shorter."""
    packed = _PACKING.compress(memoryview(plain)[HEADER.size :])
    if packed.size >= len(plain) - HEADER.size:
        return plain
    record = bytearray(HEADER.size)
    record += packed
    return record


def plain_bytes(record: bytes) -> int:
    """Return the length that a record has when nothing is packed: what it costs to restore."""
    return HEADER.size + int.from_bytes(record[LENGTH_START : LENGTH_START + 4], "little")


def body_of(record: bytes) -> memoryview:
    """Return the body of a record whose header was decoded, unpacked; Corrupt if it cannot be."""
    given = memoryview(record)[HEADER.size :]
    if not record[FLAGS_AT] & PACKED:
        return given
    try:
        unpacked = _PACKING.decompress(given, plain_bytes(record) - HEADER.size)
    except OSError as error:
        raise Corrupt("the packed body of a feature-log record cannot be unpacked") from error
    return memoryview(unpacked).toreadonly()


def _checksum(record: bytes | bytearray | memoryview) -> int:
    view = memoryview(record)
    return zlib.crc32(view[CRC_END:], zlib.crc32(view[:CRC_START]))


def decode_header(record: bytes) -> Header:
    """Check a record's length and checksum and return its header; Corrupt if they are wrong."""
    if not HEADER.size <= len(record) <= MAX_RECORD_BYTES:
        raise Corrupt(f"a record of {len(record)} bytes, not in {HEADER.size}..{MAX_RECORD_BYTES}")
    (magic, version, kind, flags, checksum, length, position, watermark, newest, snapshot, view,
     size, generation) = HEADER.unpack_from(record)  # fmt: skip
    if magic != MAGIC or version != FORMAT:
        raise Corrupt(f"magic {magic!r} format {version}, not {MAGIC!r} format {FORMAT}")
    if not flags & PACKED and length != len(record) - HEADER.size:
        raise Corrupt(f"a body of {len(record) - HEADER.size} bytes, the header says {length}")
    if HEADER.size + length > MAX_RECORD_BYTES:
        raise Corrupt(f"a packed body of {length} bytes, a record has at most {MAX_RECORD_BYTES}")
    if checksum != _checksum(record):
        raise Corrupt("the checksum of a feature-log record does not match its bytes")
    if kind not in set(Kind) or size > MAX_GENERATION_BYTES or flags & ~(LAST | PACKED):
        raise Corrupt(f"a record of kind {kind}, flags {flags}, generation length {size}")
    try:
        words = generation[:size].decode(), view.decode("ascii")
    except UnicodeDecodeError as error:
        raise Corrupt("the generation or view version is not text") from error
    return Header(Kind(kind), position, watermark, newest, *words, snapshot, bool(flags & LAST))


def decode_gone(record: bytes) -> npt.NDArray[np.int64]:
    """Return the slots that a gone record names."""
    slots = body_of(record)
    if len(slots) % 4:
        raise Corrupt(f"a gone body of {len(slots)} bytes is not a list of slots")
    return np.frombuffer(slots, dtype="<u4").astype(np.int64)


def decode_body(plan: Plan, record: bytes) -> tuple[Shape, tuple[npt.NDArray[Any], ...]]:
    """Return the columns of a rows or chunk record; Corrupt if the counts do not fill it."""
    given = body_of(record)
    if len(given) < COUNTS.size:
        raise Corrupt("a body without its counts")
    shape = Shape(*COUNTS.unpack_from(given))
    if body_bytes(plan, shape) != len(given):
        raise Corrupt(f"{shape} does not fill a body of {len(given)} bytes")
    columns = _views(given, plan, shape)
    slots, lengths = columns[COLUMNS.index("slots")], columns[COLUMNS.index("lengths")]
    if shape.entities and (slots.max() >= MAX_SLOTS or lengths.max() > MAX_KEY_BYTES):
        raise Corrupt(f"slot {slots.max()} or key of {lengths.max()} bytes is beyond its limit")
    if int(lengths.sum(dtype=np.int64)) != shape.key_bytes:
        raise Corrupt("the key lengths do not add up to the key bytes")
    return shape, columns
