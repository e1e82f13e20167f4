"""A follower of one feature log: applies records strictly in their order, the last one wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tidemill.errors import Corrupt, FailedPrecondition
from tidemill_tiles import codec
from tidemill_tiles.codec import Header, Kind
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.kernels import log, update
from tidemill_tiles.owner import Owner
from tidemill_tiles.table import TileTable

if TYPE_CHECKING:
    from tidemill_tiles.plan import Plan

MISTAKES: Final = {
    log.UNKNOWN_SLOT: "a row of an entity that was never announced",
    log.SLOT_TAKEN: "an entity in the slot of another that still has tiles",
    log.HASH_TAKEN: "an entity with tiles announced in another slot",
    log.BAD_SET: "a set or sketch that is too large, not ascending or not complete",
    log.BAD_LEVEL: "a level that the view does not have",
}


class Replica:
    """What the log says so far.

    Not ready before its genesis or its first complete snapshot; records from before either are
    passed over. Times and position move at the last record of a flush.
    """

    def __init__(self, plan: Plan) -> None:
        """Begin before the first record; to restore, read the log from its start."""
        self.plan = plan
        self.table = TileTable(plan)
        self.ready = False
        self.position = -1
        self.watermark_us = NO_TIME
        self.newest_available_us = NO_TIME
        self.generation = ""
        self._started = False
        self._snapshot = 0
        self._open = False

    def apply(self, record: bytes) -> Header:
        """Apply the next record of the log; Corrupt if it is not what an owner writes."""
        header = codec.decode_header(record)
        if header.view_version != self.plan.version:
            raise Corrupt(
                f"a record of view version {header.view_version} in the log of {self.plan.version}"
            )
        self._started = self._started or header.kind in {Kind.GENESIS, Kind.SNAPSHOT_BEGIN}
        if self._started:
            self._apply(header, record)
        return header

    def _apply(self, header: Header, record: bytes) -> None:
        match header.kind:
            case Kind.GENESIS:
                self.table = TileTable(self.plan)
                self.ready = True
            case Kind.SNAPSHOT_BEGIN:
                self._snapshot, self._open = header.snapshot, True
            case Kind.ROWS | Kind.CHUNK:
                self._place(record)
            case Kind.GONE:
                arrays = self.table.store.arrays
                slots = codec.decode_gone(record)
                update.erase_slots(arrays, self.plan.set_columns, slots)
            case Kind.SNAPSHOT_END:
                self._end(header.snapshot)
        if header.last:
            self.position = header.position
            self.watermark_us = header.watermark_us
            self.newest_available_us = header.newest_available_us
            self.generation = header.generation
            self.table.evict(header.watermark_us, keep_entities=not self.ready)

    def _place(self, record: bytes) -> None:
        plan, store = self.plan, self.table.store
        shape, given = codec.decode_body(plan, record)
        code, highest = log.check_given(given, plan.set_limits, plan.set_kinds, len(plan.levels))
        _refuse(code)
        store.make_room(
            entities=shape.entities,
            slots=int(highest) + 1,
            rows=shape.rows,
            key_bytes=shape.key_bytes,
            words=2 * shape.values + 4 * shape.rows * len(plan.set_columns),
        )
        _refuse(log.place_entities(store.arrays, given))
        _refuse(
            log.place_rows(
                store.arrays, plan.template, plan.cells, plan.set_columns, given, self._snapshot
            )
        )

    def _end(self, snapshot: int) -> None:
        """Drop what nothing named since the begin; an end without its begin says nothing."""
        if self._open and snapshot == self._snapshot:
            log.drop_unnamed(self.table.store.arrays, self.plan.set_columns, snapshot)
            self._open, self.ready = False, True

    def promote(self, generation: str) -> Owner:
        """Become the writer of this log; the replica must not be used again."""
        if not self.ready:
            raise FailedPrecondition("a log without genesis or a complete snapshot has no state")
        times = (self.position, self.watermark_us, self.newest_available_us)
        owner = Owner.resumed(self.plan, generation, self.table, self._snapshot, times)
        self.table = TileTable(self.plan)
        self.ready = False
        return owner


def _refuse(code: Any) -> None:
    if code != log.OK:
        raise Corrupt(f"the feature log holds {MISTAKES[int(code)]}")
