"""Keys of erased entities: kept as keyed digests, held against rows and keys, followed by services.

An entity is a set of key fields with their values, in whatever stream, view or key they appear.
Its digest is BLAKE2b, keyed with a secret of the stack, over the sorted names of the fields and
the canonical key of their values in that order. Whoever has the secret can recognise a key that
comes by; nobody can read one out of the list.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson
import pyarrow as pa

from tidemill.errors import Transient
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill.registry.v1.erasure_service_pb2_grpc import ErasureServiceStub
from tidemill_common import rpc
from tidemill_common.app import until
from tidemill_common.erased_entity import digest_of
from tidemill_tiles.canonical import SEPARATOR
from tidemill_tiles.keys import key_column

if TYPE_CHECKING:
    import asyncio

    import numpy.typing as npt

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
"""A key is refused everywhere so much later at most, while the registry answers."""
REASON: Final = "ERASED: its entity was erased, and is refused since"
"""What a publisher is told; the word before the colon is for programs."""


@dataclass(frozen=True, slots=True)
class ErasedKey:
    """One entry of the list; `state_clean`: no state and no log of a view holds it any more."""

    fields: tuple[str, ...]
    digest: bytes
    state_clean: bool = False
    complete: bool = False

    @property
    def erasure_id(self) -> str:
        """Return the id of the erasure."""
        return self.digest.hex()


class Erased:
    """The list as it is at one moment; false when it is empty."""

    def __init__(self, secret: bytes, keys: Sequence[ErasedKey]) -> None:
        """Sort the entries by their fields."""
        self.keys = tuple(keys)
        self._secret = secret
        self._wanted: dict[tuple[str, ...], dict[bytes, ErasedKey]] = {}
        for one in keys:
            self._wanted.setdefault(one.fields, {})[one.digest] = one

    def __bool__(self) -> bool:
        """Say whether anything is refused."""
        return bool(self.keys)

    def open_keys(self) -> list[ErasedKey]:
        """Return those whose erasure is under way."""
        return [one for one in self.keys if not one.complete]

    def only(self, keys: Sequence[ErasedKey]) -> Erased:
        """Return a list of some of the entries."""
        return Erased(self._secret, keys)

    def rows(self, table: pa.Table | pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Say which rows are of an erased entity: their fields of its names hold its key."""
        erased = np.zeros(table.num_rows, dtype=np.bool_)
        for _, rows in self.found(table):
            erased |= rows
        return erased

    def found(
        self, table: pa.Table | pa.RecordBatch
    ) -> Iterator[tuple[ErasedKey, npt.NDArray[np.bool_]]]:
        """Give each entity that has rows, with its rows."""
        if not table.num_rows:
            return
        for fields, wanted in self._wanted.items():
            columns = [table.column(name) for name in fields if name in table.schema.names]
            if len(columns) < len(fields) or any(map(_is_float, columns)):
                continue
            keys = key_column(columns)
            _, firsts, inverse = np.unique(
                keys.hashes[:, 0], return_index=True, return_inverse=True
            )
            for place, first in enumerate(firsts.tolist()):
                if not keys.valid[first]:
                    continue
                hit = wanted.get(digest_of(self._secret, fields, keys.key(first)))
                if hit is not None:
                    yield hit, (inverse == place) & keys.valid

    def of_key(self, names: Sequence[str], key: bytes) -> list[ErasedKey]:
        """Return the entities that a composite key of parts `names` holds."""
        hits = []
        parts: list[bytes] | None = None
        for fields, wanted in self._wanted.items():
            if not set(fields) <= set(names):
                continue
            if parts is None:
                parts = key.split(SEPARATOR.encode())
                if len(parts) != len(names):
                    return []
            mine = SEPARATOR.encode().join(parts[names.index(name)] for name in fields)
            hit = wanted.get(digest_of(self._secret, fields, mine))
            if hit is not None:
                hits.append(hit)
        return hits

    def may_be_in(self, names: Sequence[str]) -> bool:
        """Say whether any entity's fields are among these names."""
        return any(set(fields) <= set(names) for fields in self._wanted)


NOTHING_ERASED: Final = Erased(b"", ())


def request_table(requests: Sequence[str | None]) -> pa.Table:
    """Return the fields of requests (a JSON object each) as columns of text, a row a request.

    A key's text is canonical, whatever its type was.
    """
    rows = [orjson.loads(one) if one else {} for one in requests]
    names = sorted({name for one in rows for name in one})
    table = pa.table({name: pa.array([_text(one.get(name)) for one in rows]) for name in names})
    return table if names else pa.table({"": pa.nulls(len(rows), pa.string())})


def _text(value: object) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def _is_float(column: pa.Array | pa.ChunkedArray) -> bool:
    return bool(pa.types.is_floating(column.type))


@dataclass(slots=True)
class Refusing:
    """The list as this process knows it now; replaced whole."""

    now: Erased = NOTHING_ERASED


async def erasures(
    registry: str, stop: asyncio.Event, *, every: float = POLL_SECONDS
) -> AsyncGenerator[Erased]:
    """Give the list as soon as the registry has told it, and again after every change."""
    revision, away = -1, False
    async with rpc.connected(registry) as channel:
        stub = ErasureServiceStub(channel)
        while not stop.is_set():
            request = pb.ListErasedKeysRequest(known_revision=revision)
            try:
                reply = await rpc.call(stub.ListErasedKeys, request)
            except Transient as error:
                if not away:
                    logger.warning("erasures.registry_away", extra={"error": error.message})
                away = True
            else:
                away = False
                if reply.revision != revision:
                    revision = reply.revision
                    yield from_reply(reply)
            if await until(stop, every):
                return


async def refuse(registry: str, refusing: Refusing, stop: asyncio.Event) -> None:
    """Keep the list of a process fresh until told to stop."""
    async for erased in erasures(registry, stop):
        refusing.now = erased


async def first_list(registry: str, stop: asyncio.Event) -> Refusing:
    """Wait for the list: who takes or reads events must not begin without it."""
    source = erasures(registry, stop)
    try:
        return Refusing(await anext(source, NOTHING_ERASED))
    finally:
        await source.aclose()


def from_reply(reply: pb.ListErasedKeysResponse) -> Erased:
    """Read the list as the registry sent it."""
    keys = [
        ErasedKey(tuple(one.fields), one.digest, one.state_clean, one.complete)
        for one in reply.keys
    ]
    return Erased(reply.secret, keys)
