"""Where things stand in the arrays that kernels share; plain numbers, known when they compile."""

from __future__ import annotations

from typing import Final

# A tile row: int64 words before its cells.
ROW_KEY: Final = 0  # entity slot << 8 | level
ROW_TILE: Final = 1
ROW_NEWEST: Final = 2
ROW_HEAD: Final = 3
ROW_NEWER: Final = ROW_KEY  # of a replay, which needs no key: row of the next newer tile, -1: none
LEVEL_BITS: Final = 8
LEVEL_MASK: Final = 255

# The links of a tile row: int32.
LINK_NEXT: Final = 0  # older tile of the same entity and level
LINK_PREVIOUS: Final = 1  # newer one
LINK_PEER: Final = 2  # same level and tile, another entity
LINK_DIRTY: Final = 3
LINK_NAMED: Final = 4  # snapshot that last named the row
LINK_WORDS: Final = 5

# An entity: int64 words before the newest tile of each level.
ENTITY_HASH: Final = 0
ENTITY_LIVE: Final = 2
ENTITY_KEY: Final = 3
ENTITY_KEY_LENGTH: Final = 4
ENTITY_TILES: Final = 5
ENTITY_ANNOUNCED: Final = 6
ENTITY_HEAD: Final = 7

KEY_ROOM: Final = 4_096  # bytes of the longest key

# Counters of a table.
META_ENTITIES: Final = 0
META_TILES: Final = 1
META_FREE: Final = 2  # rows on the free list
META_DIRTY: Final = 3
META_CURSOR: Final = 4  # where the next free slot is looked for
META_KEYS: Final = 5  # bytes used of the key arena
META_KEYS_DEAD: Final = 6
META_POOL: Final = 7  # words used of the set pool
META_BUCKETS: Final = 8
META_POOL_NEED: Final = 9  # words that one event may take at most
META_EPOCH: Final = 10  # entities announced in it need not be announced again
META_FREE_SETS: Final = 16  # heads of the free lists of set blocks, by size class
META_OLDEST: Final = 32  # a lower bound of the oldest tile, by level
META_WORDS: Final = 48

# A bucket: all rows of one level and tile.
BUCKET_LEVEL: Final = 0  # level + 1, 0 is empty
BUCKET_TILE: Final = 1
BUCKET_ROW: Final = 2

# A level.
LEVEL_HOP: Final = 0  # 0 is lifetime
LEVEL_WINDOW: Final = 1
LEVEL_GROUPS: Final = 2
LEVEL_GROUPS_END: Final = 3
LEVEL_WORDS: Final = 4
LIFETIME_TILES: Final = 1

# A source: the columns of one (field, filter).
SRC_VALUE: Final = 0
SRC_FILTER: Final = 1
SRC_N: Final = 2
SRC_SUM: Final = 3
SRC_SQUARES: Final = 4
SRC_MIN: Final = 5
SRC_MAX: Final = 6
SRC_FIRST: Final = 7
SRC_LAST: Final = 8
SRC_SET: Final = 9
SRC_LIMIT: Final = 10
SRC_EXTRAS: Final = 11
SRC_EXTRAS_END: Final = 12
SRC_WORDS: Final = 13

# Partials with parameters: the extras of a source.
NEWEST: Final = 20  # time of the newest value
BINS: Final = 21  # a count per bin of a histogram
BLOCKS: Final = 22  # ewma: weighted sums by half-life
BUCKETS: Final = 23  # quantile: counts by size
RECENT: Final = 24  # the last events
TALLY: Final = 25  # counts by value
EXTRA_PRIMITIVE: Final = 0
EXTRA_COLUMN: Final = 1
EXTRA_LIMIT: Final = 2  # the most words of a block; bins
EXTRA_NUMBER: Final = 3  # half-life; bits of a bucket; where the edges begin
EXTRA_WORDS: Final = 4

# Entries of the blocks.
BLOCK_WORDS: Final = 4  # half-life number, weights, weighted sum (low, high)
RECENT_WORDS: Final = 3  # time, event id, value
TALLY_WORDS: Final = 2  # value, count
MAX_BLOCKS: Final = 64  # half-lives that an ewma looks back from the newest value

# A group of a read, an operation of a group, an output of a read.
GROUP_LEVEL: Final = 0
GROUP_TILES: Final = 1
GROUP_START: Final = 2
GROUP_END: Final = 3
OP_PRIMITIVE: Final = 0
OP_COLUMN: Final = 1
OP_PLACE: Final = 2
OP_LIMIT: Final = 3
OUT_FUNCTION: Final = 0
OUT_GROUP: Final = 1
OUT_N: Final = 2
OUT_A: Final = 3
OUT_B: Final = 4
OUT_LIMIT: Final = 5
OUT_PLACE: Final = 6  # bin or place
OUT_GIVES: Final = 7
OUT_WORDS: Final = 8
NUM_SCALE: Final = 0
NUM_PARAMETER: Final = 1  # of a rate its seconds, of a quantile its rank
NUM_DEFAULT: Final = 2  # NaN: none
NUM_WORDS: Final = 3

NOTHING: Final = -(2**63)

# What a replay keeps of an entity's windows, in words: whether that is up to date; for every group
# of a read the two below; the merged integers; for every operation the tile of its extreme.
KEPT_LIVE: Final = 0
KEPT_GROUPS: Final = 1
KEPT_TAIL: Final = 0  # the newest tile that is older than the window
KEPT_OLDEST: Final = 1  # row of the oldest tile in the window, -1: none
KEPT_WORDS: Final = 2
NOBODY: Final = NOTHING  # no tile has a value
UNKNOWN: Final = NOTHING + 1  # the tile that had the extreme has left
