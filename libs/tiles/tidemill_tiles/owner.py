"""The one writer of a view's log of one partition: its state, and the records of a flush."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill.errors import Misconfigured
from tidemill_tiles import codec
from tidemill_tiles.codec import Header, Kind
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.kernels import layout, log, update
from tidemill_tiles.table import TileTable

if TYPE_CHECKING:
    import numpy.typing as npt

    from tidemill_tiles.columns import EventBatch
    from tidemill_tiles.plan import Plan

CHUNK_BYTES: Final = 1 << 20
"""Of a snapshot, with one flush: what that flush waits for, beside its own rows."""
GONE_SLOTS: Final = 100_000


class Owner:
    """State that is changed by events and told to followers by `flush`.

    After a transaction that did not commit this object is ahead of its log: drop it, and promote a
    replica that has read the log again.
    """

    def __init__(self, plan: Plan, generation: str) -> None:
        """Begin a fresh log: the first flush writes its genesis."""
        if len(generation.encode()) > codec.MAX_GENERATION_BYTES:
            raise Misconfigured(f"the generation {generation!r} is longer than 64 bytes")
        self.plan = plan
        self.generation = generation
        self.table = TileTable(plan)
        self.position = -1
        self.watermark_us = NO_TIME
        self.newest_available_us = NO_TIME
        self._fresh = True
        self._snapshot = 0
        self._begin = False
        self._cursor = -1
        self._gone: list[npt.NDArray[np.uint32]] = []

    @classmethod
    def resumed(
        cls,
        plan: Plan,
        generation: str,
        table: TileTable,
        snapshot: int,
        times: tuple[int, int, int],
    ) -> Owner:
        """Go on with a log whose records made this table; it names every entity of it."""
        owner = cls(plan, generation)
        owner.table = table
        owner.position, owner.watermark_us, owner.newest_available_us = times
        owner._fresh = False
        owner._snapshot = snapshot
        log.announce_all(table.store.entity, table.store.meta[layout.META_EPOCH])
        return owner

    @property
    def snapshotting(self) -> bool:
        """Tell whether a snapshot is under way."""
        return self._begin or self._cursor >= 0

    @property
    def state_bytes(self) -> int:
        """Return the bytes of state: a log of twice that deserves a snapshot."""
        return self.table.state_bytes

    def apply(self, batch: EventBatch, mask: npt.NDArray[np.bool_] | None = None) -> int:
        """Add events; followers see them after the next flush."""
        return self.table.apply(batch, mask)

    def erase(self, entities: npt.NDArray[np.uint64]) -> int:
        """Remove entities with all they have; return how many there were."""
        slots = np.empty(len(entities), dtype=np.int64)
        count = update.erase_entities(
            self.table.store.arrays, self.plan.set_columns, entities, slots
        )
        if count:
            self._gone.append(slots[:count].astype(np.uint32))
        return int(count)

    def begin_snapshot(self) -> None:
        """Let chunks of the whole state travel with the next flushes."""
        self._begin = True

    def flush(
        self,
        *,
        position: int,
        watermark_us: int,
        newest_available_us: int,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> list[bytes]:
        """Return the records that bring followers to this state, to be written in this order.

        1. evict by the watermark, as followers will; 2. name what was erased; 3. begin a snapshot
        if one was asked for; 4. write changed rows; 5. write the next chunk; 6. end the snapshot.
        """
        self.position = position
        self.watermark_us = max(self.watermark_us, watermark_us)
        self.newest_available_us = max(self.newest_available_us, newest_available_us)
        self.table.evict(self.watermark_us)
        drafts: list[tuple[Kind, bytearray]] = []
        if self._fresh:
            drafts.append((Kind.GENESIS, _plain()))
            self._fresh = False
        drafts.extend((Kind.GONE, body) for body in self._gone_bodies())
        if self._begin:
            self._start_snapshot()
            drafts.append((Kind.SNAPSHOT_BEGIN, _plain()))
        drafts.extend((Kind.ROWS, body) for body in self._bodies(self._dirty_rows()))
        if self._cursor >= 0:
            chosen = self._chunk_rows(chunk_bytes)
            drafts.extend((Kind.CHUNK, body) for body in self._bodies(chosen))
            if self._cursor >= len(self.table.store.rows):
                self._cursor = -1
                drafts.append((Kind.SNAPSHOT_END, _plain()))
        if not drafts:
            drafts.append((Kind.ROWS, codec.new_body(self.plan, codec.Shape(0, 0, 0, 0))[0]))
        last = len(drafts) - 1
        return [
            codec.sealed(body, self._header(kind, last=number == last))
            for number, (kind, body) in enumerate(drafts)
        ]

    def _header(self, kind: Kind, *, last: bool) -> Header:
        return Header(
            kind,
            self.position,
            self.watermark_us,
            self.newest_available_us,
            self.generation,
            self.plan.version,
            self._snapshot,
            last,
        )

    def _gone_bodies(self) -> list[bytearray]:
        if not self._gone:
            return []
        slots = np.concatenate(self._gone)
        self._gone = []
        return [
            _plain() + slots[start : start + GONE_SLOTS].astype("<u4").tobytes()
            for start in range(0, len(slots), GONE_SLOTS)
        ]

    def _start_snapshot(self) -> None:
        self._begin = False
        self._snapshot += 1
        self._cursor = 0
        self.table.store.meta[layout.META_EPOCH] += 1

    def _dirty_rows(self) -> npt.NDArray[np.int32]:
        store = self.table.store
        chosen = np.empty(int(store.meta[layout.META_DIRTY]), dtype=np.int32)
        return chosen[: log.take_dirty(store.arrays, chosen)]

    def _chunk_rows(self, limit: int) -> npt.NDArray[np.int32]:
        size = codec.row_bytes(self.plan)
        chosen = np.empty(1 + limit // size, dtype=np.int32)
        found, self._cursor = log.take_chunk(
            self.table.store.arrays, self.plan.set_columns, self._cursor, chosen, size, limit
        )
        return chosen[:found]

    def _bodies(self, chosen: npt.NDArray[np.int32]) -> list[bytearray]:
        """Cut rows into bodies of at most 512 KiB and fill them."""
        plan, arrays, bodies, start = self.plan, self.table.store.arrays, [], 0
        size = codec.row_bytes(plan)
        while start < len(chosen):
            end, *counts, _ = log.cut(
                arrays, plan.set_columns, chosen, start, len(chosen), size, codec.BODY_LIMIT
            )
            entities, key_bytes, values = counts
            shape = codec.Shape(entities, end - start, key_bytes, values)
            body, columns = codec.new_body(plan, shape)
            log.gather(arrays, plan.cells, plan.set_columns, chosen, start, end, columns)
            bodies.append(body)
            start = end
        return bodies


def _plain() -> bytearray:
    return bytearray(codec.HEADER.size)
