"""Names that are never chosen twice, and digests that are the same for the same content."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
import uuid
from typing import NewType

import orjson

Digest = NewType("Digest", str)

_DIGEST = re.compile(r"[0-9a-f]{64}")
_RANDOM_BITS = 62
_COUNTER_BITS = 12
_lock = threading.Lock()
_last = 0


def _next_stamp() -> int:
    """Return milliseconds and a 12-bit counter as one integer that only grows."""
    global _last  # noqa: PLW0603 (the order within a process is the point)
    with _lock:
        _last = max(_last + 1, (time.time_ns() // 1_000_000) << _COUNTER_BITS)
        return _last


def new_id() -> str:
    """Return a new UUID of version 7 as text; ids of one process sort in the order of making."""
    stamp = _next_stamp()
    milliseconds, counter = stamp >> _COUNTER_BITS, stamp & ((1 << _COUNTER_BITS) - 1)
    high = (milliseconds << 16) | (0x7 << 12) | counter
    low = (0b10 << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    return str(uuid.UUID(int=(high << 64) | low))


def digest(data: bytes) -> Digest:
    """Return the sha256 of `data` as 64 lower-case hex digits."""
    return Digest(hashlib.sha256(data).hexdigest())


def canonical_json(value: object) -> bytes:
    """Return the one JSON text of `value`: keys sorted, no spaces, UTF-8.

    Not-a-number and infinities have no JSON text and become null: keep them out of digests.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest_json(value: object) -> Digest:
    """Return the digest of the canonical JSON of `value`."""
    return digest(canonical_json(value))


def is_digest(text: str) -> bool:
    """Say whether `text` has the form of a digest; nothing else may name a blob."""
    return _DIGEST.fullmatch(text) is not None
