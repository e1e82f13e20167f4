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
from tidemill_common.computed_names import Computed
from tidemill_common.entity_names import (
    NO_NAMES,
    Name,
    Names,
    columns_among,
    from_proto,
    namings,
)
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
KEY_TYPES: Final = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_integer,
    pa.types.is_boolean,
    pa.types.is_timestamp,
    pa.types.is_dictionary,
    pa.types.is_null,
)
"""Of columns with keys: texts of files may be dictionaries, a column of nothing has no type."""


@dataclass(frozen=True, slots=True)
class ErasedKey:
    """One entry of the list; `state_clean`: no state and no log of a view holds it any more.

    `beginning` rises when its erasure begins again, because its fields got a further name.
    """

    fields: tuple[str, ...]
    digest: bytes
    state_clean: bool = False
    complete: bool = False
    beginning: int = 0

    @property
    def erasure_id(self) -> str:
        """Return the id of the erasure."""
        return self.digest.hex()


class Erased:
    """The list as it is at one moment; false when it is empty.

    It knows fields by their own names. Rows of a stream, and keys made of its fields, are held
    against the list `of_stream`, which knows what they are called there.
    """

    def __init__(
        self, secret: bytes, keys: Sequence[ErasedKey], names: Names = NO_NAMES, *, stream: str = ""
    ) -> None:
        """Sort the entries by their fields; `names` are those of all streams."""
        self.keys = tuple(keys)
        self.names = names
        self._secret = secret
        self._stream = stream
        self._wanted: dict[tuple[str, ...], dict[bytes, ErasedKey]] = {}
        for one in keys:
            self._wanted.setdefault(one.fields, {})[one.digest] = one
        called = names.get(stream, {})
        self._namings = {fields: namings(fields, called) for fields in self._wanted}
        self._of_streams: dict[str, Erased] = {}

    def __bool__(self) -> bool:
        """Say whether anything is refused."""
        return bool(self.keys)

    def open_keys(self) -> list[ErasedKey]:
        """Return those whose erasure is under way."""
        return [one for one in self.keys if not one.complete]

    def only(self, keys: Sequence[ErasedKey]) -> Erased:
        """Return a list of some of the entries."""
        return Erased(self._secret, keys, self.names, stream=self._stream)

    def of_stream(self, stream: str) -> Erased:
        """Return the list that knows the names which fields of entities have in a stream."""
        called = self.names.get(stream, {})
        known_as = stream if any(set(fields) & set(called) for fields in self._wanted) else ""
        if known_as == self._stream:
            return self
        if known_as not in self._of_streams:
            one = Erased(self._secret, self.keys, self.names, stream=known_as)
            self._of_streams[known_as] = one
        return self._of_streams[known_as]

    def goes_beyond(self, other: Erased) -> bool:
        """Say whether it may find what the other one does not find, or not find what that does."""
        known = {(one.digest, one.beginning) for one in other.keys}
        mine = {(one.digest, one.beginning) for one in self.keys}
        return self.names != other.names or not mine <= known

    def rows(self, table: pa.Table | pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Say which rows are of an erased entity: their fields of its names hold its key."""
        erased = np.zeros(table.num_rows, dtype=np.bool_)
        for _, _, rows in self.named(table):
            erased |= rows
        return erased

    def found(
        self, table: pa.Table | pa.RecordBatch
    ) -> Iterator[tuple[ErasedKey, npt.NDArray[np.bool_]]]:
        """Give each entity that has rows, once, with its rows."""
        found: dict[ErasedKey, npt.NDArray[np.bool_]] = {}
        for one, _, rows in self.named(table):
            found[one] = found[one] | rows if one in found else rows
        yield from found.items()

    def named(
        self, table: pa.Table | pa.RecordBatch
    ) -> Iterator[tuple[ErasedKey, tuple[str, ...], npt.NDArray[np.bool_]]]:
        """Give each entity that has rows, with the columns that name it there, and these rows.

        One that is named otherwise in other rows is given again.
        """
        if not table.num_rows:
            return
        computed: dict[Computed, pa.Array] = {}
        for fields, choice, named_by in self._there(table.schema.names):
            columns = [_values(table, name, computed) for name in choice]
            if any(map(_is_no_key, columns)):
                continue
            wanted, keys = self._wanted[fields], key_column(columns)
            _, firsts, inverse = np.unique(
                keys.hashes[:, 0], return_index=True, return_inverse=True
            )
            for place, first in enumerate(firsts.tolist()):
                if not keys.valid[first]:
                    continue
                hit = wanted.get(digest_of(self._secret, fields, keys.key(first)))
                if hit is not None:
                    yield hit, named_by, (inverse == place) & keys.valid

    def may_be_in(self, names: Sequence[str]) -> bool:
        """Say whether any entity's fields are among these names."""
        return any(True for _ in self._there(names))

    def columns_in(self, names: Sequence[str]) -> list[str]:
        """Return those of the names that say whose a row is."""
        wanted = {column for *_, columns in self._there(names) for column in columns}
        return [name for name in names if name in wanted]

    def in_doubt(self, names: Sequence[str]) -> list[ErasedKey]:
        """Return the entities of which rows with these columns alone do not say what is theirs.

        A name of theirs is computed from these columns and from others.
        """
        known = set(names)
        fields = {
            fields
            for fields, choice, _ in self._there(names)
            for name in choice
            if isinstance(name, Computed) and not known.issuperset(name.columns)
        }
        return [one for one in self.keys if one.fields in fields]

    def computed_from(self) -> set[tuple[str, str]]:
        """Return the streams with their columns of which names of entities are computed."""
        fields = {field for one in self._wanted for field in one}
        return {
            (stream, column)
            for stream, called in self.names.items()
            for field in fields & called.keys()
            for name in called[field]
            if isinstance(name, Computed)
            for column in name.columns
        }

    def _there(
        self, names: Sequence[str]
    ) -> Iterator[tuple[tuple[str, ...], tuple[Name, ...], tuple[str, ...]]]:
        """Give fields, a choice of what holds them, and what of the names that reads, if it can."""
        known = set(names)
        for fields, choices in self._namings.items():
            for choice in choices:
                columns = columns_among(choice, known)
                if columns is not None:
                    yield fields, choice, columns


NOTHING_ERASED: Final = Erased(b"", ())


def request_table(requests: Sequence[str | None]) -> pa.Table:
    """Return the fields of requests (a JSON object each) as columns of text, a row a request.

    A key's text is canonical, whatever its type was.
    """
    rows = [orjson.loads(one) if one else {} for one in requests]
    names = sorted({name for one in rows for name in one})
    table = pa.table({name: pa.array([_text(one.get(name)) for one in rows]) for name in names})
    return table if names else pa.table({"": pa.nulls(len(rows), pa.string())})


def key_table(names: Sequence[str], keys: Sequence[str | None]) -> pa.Table:
    """Return the parts, called `names`, of composite keys as columns of text, a row a key."""
    if len(names) == 1:
        whole = [None if key is None or SEPARATOR in key else key for key in keys]
        return pa.table({names[0]: pa.array(whole, pa.string())})
    nothing = [None] * len(names)
    rows: list[Sequence[str | None]] = [
        nothing if key is None else key.split(SEPARATOR) for key in keys
    ]
    parts = [row if len(row) == len(names) else nothing for row in rows]
    return pa.table(
        {name: pa.array([row[at] for row in parts], pa.string()) for at, name in enumerate(names)}
    )


def _values(
    table: pa.Table | pa.RecordBatch, name: Name, computed: dict[Computed, pa.Array]
) -> pa.Array | pa.ChunkedArray:
    """Return what a name holds; an expression is evaluated once for a table."""
    if isinstance(name, str):
        return table.column(name)
    if name not in computed:
        computed[name] = name.values(table)
    return computed[name]


def _text(value: object) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def _is_no_key(column: pa.Array | pa.ChunkedArray) -> bool:
    """Say whether a column has no keys; any type may be in a record that was set aside."""
    return not any(kind(column.type) for kind in KEY_TYPES)


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
        ErasedKey(
            tuple(one.fields),
            one.digest,
            state_clean=one.state_clean,
            complete=one.complete,
            beginning=one.true_beginning or one.beginning,
        )
        for one in reply.keys
    ]
    return Erased(reply.secret, keys, from_proto(reply.names))
