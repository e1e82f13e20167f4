"""The arrays of one table and how they grow; what is in them is the kernels' business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from tidemill_tiles.kernels import layout, places

if TYPE_CHECKING:
    import numpy.typing as npt

    from tidemill_tiles.plan import Plan

T = TypeVar("T", bound=np.generic)

FIRST_ENTITIES: Final = 64
FIRST_ROWS: Final = 64
FIRST_BUCKETS: Final = 256
FIRST_KEY_BYTES: Final = 2 * layout.KEY_ROOM
FIRST_WORDS: Final = 64
FAR_FUTURE_TILE: Final = 2**62


class Store:
    """Flat arrays that kernels share; every one of them doubles when it is full."""

    __slots__ = (
        "buckets",
        "dirty",
        "entity",
        "entity_map",
        "free",
        "keys",
        "levels",
        "links",
        "meta",
        "pool",
        "row_map",
        "rows",
        "width",
    )

    def __init__(self, plan: Plan) -> None:
        self.levels = len(plan.levels)
        self.width = len(plan.template)
        self.meta = np.zeros(layout.META_WORDS, dtype=np.int64)
        self.meta[layout.META_FREE_SETS : layout.META_OLDEST] = -1
        self.meta[layout.META_OLDEST :] = FAR_FUTURE_TILE
        self.meta[layout.META_POOL_NEED] = self.levels * sum(
            _power_of_two(int(limit)) for limit in plan.set_limits
        )
        self.entity = np.zeros((FIRST_ENTITIES, layout.ENTITY_HEAD + self.levels), dtype=np.int64)
        self.entity_map = np.full(2 * FIRST_ENTITIES, -1, dtype=np.int32)
        self.keys = np.zeros(FIRST_KEY_BYTES, dtype=np.uint8)
        self.rows = np.zeros((0, self.width), dtype=np.int64)
        self.links = np.zeros((0, layout.LINK_WORDS), dtype=np.int32)
        self.row_map = np.full(2, -1, dtype=np.int32)
        self.free = np.zeros(0, dtype=np.int32)
        self.dirty = np.zeros(FIRST_ROWS, dtype=np.int32)
        self.buckets = np.zeros((FIRST_BUCKETS, 3), dtype=np.int64)
        self.pool = np.zeros(FIRST_WORDS, dtype=np.uint64)
        self._grow_rows(max(FIRST_ROWS, _power_of_two(2 * self.levels)))

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Return the arrays in the order in which kernels take them."""
        return (
            self.meta,
            self.entity,
            self.entity_map,
            self.keys,
            self.rows,
            self.links,
            self.row_map,
            self.buckets,
            self.free,
            self.dirty,
            self.pool,
        )

    @property
    def bytes(self) -> int:
        """Return the bytes that entities and tiles use, free room not counted."""
        meta, row = self.meta, self.width * 8 + layout.LINK_WORDS * 4 + 16
        return int(
            meta[layout.META_TILES] * row
            + meta[layout.META_ENTITIES] * (self.entity.shape[1] * 8 + 8)
            + meta[layout.META_KEYS]
            - meta[layout.META_KEYS_DEAD]
            + meta[layout.META_POOL] * 8
        )

    def make_room(
        self,
        *,
        entities: int = 1,
        slots: int = 0,
        rows: int = 0,
        key_bytes: int = layout.KEY_ROOM,
        words: int = 0,
    ) -> None:
        """Let that much more fit; what fits already is left as it is."""
        meta = self.meta
        rows = max(rows, self.levels)
        words = max(words, int(meta[layout.META_POOL_NEED]))
        needed = max(2 * (int(meta[layout.META_ENTITIES]) + entities), slots)
        if needed > len(self.entity):
            self._grow_entities(_power_of_two(needed))
        if meta[layout.META_FREE] < rows:
            used = len(self.rows) - int(meta[layout.META_FREE])
            self._grow_rows(_power_of_two(used + rows))
        if meta[layout.META_DIRTY] + rows > len(self.dirty):
            self.dirty = _longer(self.dirty, _power_of_two(int(meta[layout.META_DIRTY]) + rows))
        if (meta[layout.META_BUCKETS] + rows) * 2 > len(self.buckets):
            self._grow_buckets(_power_of_two(2 * (int(meta[layout.META_BUCKETS]) + rows)))
        if meta[layout.META_KEYS] + key_bytes > len(self.keys):
            self._tidy_keys(key_bytes)
        if meta[layout.META_POOL] + words > len(self.pool):
            self.pool = _longer(self.pool, _power_of_two(int(meta[layout.META_POOL]) + words))

    def _grow_entities(self, count: int) -> None:
        self.entity = _longer(self.entity, count)
        self.entity_map = np.full(2 * count, -1, dtype=np.int32)
        places.fill_entity_map(self.entity_map, self.entity)

    def _grow_rows(self, count: int) -> None:
        before, free = len(self.rows), int(self.meta[layout.META_FREE])
        self.rows = _longer(self.rows, count)
        self.rows[before:, layout.ROW_KEY] = -1
        self.links = _longer(self.links, count)
        self.free = _longer(self.free, count)
        self.free[free : free + count - before] = np.arange(count - 1, before - 1, -1)
        self.meta[layout.META_FREE] = free + count - before
        self.row_map = np.full(2 * count, -1, dtype=np.int32)
        places.fill_row_map(self.row_map, self.rows)

    def drop_gone_buckets(self) -> None:
        """Close the gaps that eviction has marked."""
        held = int(np.count_nonzero(self.buckets[:, layout.BUCKET_LEVEL] > 0))
        self.meta[layout.META_BUCKETS] = held
        self._grow_buckets(max(FIRST_BUCKETS, _power_of_two(2 * held)))

    def _grow_buckets(self, count: int) -> None:
        old, self.buckets = self.buckets, np.zeros((count, 3), dtype=np.int64)
        places.fill_buckets(self.buckets, old)

    def _tidy_keys(self, key_bytes: int) -> None:
        """Drop the keys of removed entities; grow if that does not free half of the arena."""
        used = int(self.meta[layout.META_KEYS] - self.meta[layout.META_KEYS_DEAD])
        fresh = np.zeros(_power_of_two(max(2 * used, used + key_bytes, 1)), dtype=np.uint8)
        self.meta[layout.META_KEYS] = places.move_keys(self.entity, self.keys, fresh)
        self.meta[layout.META_KEYS_DEAD] = 0
        self.keys = fresh


def _power_of_two(count: int) -> int:
    return 1 << max(2, (count - 1).bit_length())


def _longer(array: npt.NDArray[T], count: int) -> npt.NDArray[T]:
    grown = np.zeros((count, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
