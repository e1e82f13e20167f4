"""Records of the feature log as bytes: their headers, and bodies that travel packed."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from tidemill.errors import Corrupt
from tidemill_tiles import codec
from tidemill_tiles.codec import Header, Kind, decode_header
from tidemill_tiles.owner import Owner
from tidemill_tiles.plan import plan_of
from tidemill_tiles.replica import Replica
from tidemill_tiles.testing.builders import SECOND, Event, a_batch, a_view
from tidemill_tiles.testing.oracle import dump

PLAN = plan_of(a_view())


def flushed(owner: Owner, position: int) -> list[bytes]:
    return owner.flush(position=position, watermark_us=0, newest_available_us=0)


def claiming(packed: bytes, length: int) -> bytes:
    """Return a record with a packed body that says how long it is, its checksum right."""
    header = Header(Kind.GONE, 1, 2, 3, "", PLAN.version, 0)
    record = bytearray(codec.sealed(bytearray(codec.HEADER.size) + packed, header))
    record[codec.FLAGS_AT] |= codec.PACKED
    struct.pack_into("<I", record, codec.LENGTH_START, length)
    checksum = zlib.crc32(record[codec.CRC_END :], zlib.crc32(record[: codec.CRC_START]))
    struct.pack_into("<I", record, codec.CRC_START, checksum)
    return bytes(record)


def test_a_header_says_what_its_record_is() -> None:
    header = Header(Kind.SNAPSHOT_END, 2**40, -5, 7, "génération", PLAN.version, 3, last=True)
    plain = bytearray(codec.HEADER.size)
    assert decode_header(codec.sealed(plain, header)) == header
    slots = np.array([5, 1], dtype="<u4").tobytes()
    gone = codec.sealed(plain + slots, Header(Kind.GONE, 1, 2, 3, "", PLAN.version, 0))
    assert codec.decode_gone(gone).tolist() == [5, 1]


def test_a_large_body_travels_packed_and_is_the_same() -> None:
    owner = Owner(PLAN, "g")
    genesis = flushed(owner, 0)
    owner.apply(
        a_batch(
            PLAN,
            [Event(f"A{one}", 0, SECOND, one, 1.5, one % 7, True, "G", 0) for one in range(100)],
        )
    )
    (record,) = flushed(owner, 1)
    assert len(record) < codec.plain_bytes(record) / 2
    given = codec.body_of(record)
    assert codec.HEADER.size + len(given) == codec.plain_bytes(record)
    replica = Replica(PLAN)
    for one in (*genesis, record):
        replica.apply(one)
    assert dump(replica.table) == dump(owner.table)


def test_a_body_that_packing_does_not_shorten_travels_as_it_is() -> None:
    header = Header(Kind.GONE, 1, 2, 3, "", PLAN.version, 0)
    noise = np.random.default_rng(1).integers(0, 2**32, codec.PACKED_BYTES, dtype="<u4")
    record = codec.sealed(bytearray(codec.HEADER.size) + noise.tobytes(), header)
    assert len(record) == codec.plain_bytes(record)
    assert codec.decode_gone(record).tolist() == noise.tolist()


@pytest.mark.parametrize("packed", [b"no block", b"\0" * 40])
def test_a_packed_body_that_cannot_be_unpacked_is_refused(packed: bytes) -> None:
    with pytest.raises(Corrupt, match="unpacked"):
        codec.decode_gone(claiming(packed, 4 * codec.PACKED_BYTES))


def test_a_packed_body_that_claims_to_be_too_large_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(Corrupt, match="at most"):
        decode_header(claiming(b"a block", codec.MAX_RECORD_BYTES))
