"""The tiles of one view that come from one input partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.kernels import layout, update
from tidemill_tiles.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from tidemill_tiles.columns import EventBatch
    from tidemill_tiles.plan import Plan


class TileTable:
    """A sparse table of mergeable partial results: a pure function of what was applied."""

    __slots__ = ("plan", "store", "watermark_us")

    def __init__(self, plan: Plan) -> None:
        """Begin without entities."""
        self.plan = plan
        self.store = Store(plan)
        self.watermark_us = NO_TIME

    @property
    def entities(self) -> int:
        """Return how many entities have a tile."""
        return int(self.store.meta[layout.META_ENTITIES])

    @property
    def tiles(self) -> int:
        """Return how many tiles are held."""
        return int(self.store.meta[layout.META_TILES])

    @property
    def state_bytes(self) -> int:
        """Return the bytes in use."""
        return self.store.bytes

    def apply(self, batch: EventBatch, mask: npt.NDArray[np.bool_] | None = None) -> int:
        """Add the kept rows of a batch to every level; return how many that were.

        Verdicts are the caller's: pass them as the mask. The order of rows does not matter, so they
        are taken entity by entity: each one's tiles are then fetched once, which halves the time.
        """
        plan, events, start = self.plan, batch.grouped(mask), 0
        count = len(events[3])
        while True:
            start = update.apply_events(self.store.arrays, plan.laid, events, start)
            if start == count:
                return count
            self.store.make_room()

    def evict(self, watermark_us: int, *, keep_entities: bool = False) -> int:
        """Remove tiles older than window + lateness + hop; return how many.

        Pure in the state and the watermark, so owner and followers do the same at a record. A
        follower that is not complete keeps entities without tiles: their owner may still know some.
        """
        self.watermark_us = max(self.watermark_us, watermark_us)
        gone = update.evict_tiles(
            self.store.arrays,
            self.plan.levels,
            self.plan.set_columns,
            self.watermark_us,
            self.plan.definition.lateness_us,
            keep_entities,
        )
        if gone:
            self.store.drop_gone_buckets()
        return int(gone)

    def entity_keys(self) -> list[bytes]:
        """Return the canonical keys of all entities, in no promised order."""
        return list(self.keys_now())

    def keys_now(self) -> EntityKeys:
        """Return the keys as they are now; the table may change while they are looked through."""
        store = self.store
        spans = self._live()[:, [layout.ENTITY_KEY, layout.ENTITY_KEY_LENGTH]]
        return EntityKeys(spans, store.keys[: int(store.meta[layout.META_KEYS])].copy())

    def hashes_now(self) -> npt.NDArray[np.uint64]:
        """Return the hashes [n, 2] of the keys, in the order of `keys_now` of the same moment."""
        hashes = self._live()[:, layout.ENTITY_HASH : layout.ENTITY_HASH + 2]
        return np.ascontiguousarray(hashes).view(np.uint64)

    def _live(self) -> npt.NDArray[np.int64]:
        entity = self.store.entity
        live: npt.NDArray[np.int64] = entity[entity[:, layout.ENTITY_LIVE] != 0]
        return live


@dataclass(frozen=True, slots=True, eq=False)
class EntityKeys:
    """Canonical keys of the entities of a table at one moment: starts and lengths in `data`."""

    spans: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]

    def __iter__(self) -> Iterator[bytes]:
        for start, size in self.spans.tolist():
            yield self.data[start : start + size].tobytes()

    def key(self, row: int) -> bytes:
        """Return one of them."""
        start, size = self.spans[row].tolist()
        return self.data[start : start + size].tobytes()
