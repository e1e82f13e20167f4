"""The events that every peer reads, made from a seed: keys, times and values in columns, or JSON.

Times rise strictly and never fall on a whole multiple of the hop, because engines differ in which
side of a boundary belongs to a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

HOP_MS = 5 * 60 * 1_000
WINDOWS_MINUTES = (60, 360, 1440)
MINUTE_MS = 60_000
PARTITIONS = 2
START_MS = 1_767_571_200_000  # 2026-01-05T00:00:00Z, a whole multiple of every window
SEED = 7
CENTS = 100_000
SENTINEL = "end"


@dataclass(frozen=True)
class Workload:
    """So many events of so many keys, one every `spacing_ms` of event time on average."""

    events: int
    keys: int = 10_000
    spacing_ms: int = 10

    @cached_property
    def key(self) -> NDArray[np.int64]:
        """The number of each event's key."""
        return np.random.default_rng(SEED).integers(0, self.keys, self.events)

    @cached_property
    def at_ms(self) -> NDArray[np.int64]:
        """When each event happened."""
        jitter = np.random.default_rng(SEED + 1).integers(1, self.spacing_ms, self.events)
        return START_MS + np.arange(self.events, dtype=np.int64) * self.spacing_ms + jitter

    @cached_property
    def cents(self) -> NDArray[np.int64]:
        """Each event's value in hundredths."""
        return np.random.default_rng(SEED + 2).integers(0, CENTS, self.events)

    @property
    def end_ms(self) -> int:
        """The end of the hop that holds the last event: values are compared as of then."""
        return (int(self.at_ms[-1]) // HOP_MS + 1) * HOP_MS

    @property
    def records(self) -> int:
        """How many records the topic holds: the events and one sentinel a partition."""
        return self.events + PARTITIONS

    def partition(self) -> NDArray[np.int64]:
        """The partition of each event: one key, one partition."""
        return self.key % PARTITIONS

    def json(self) -> list[bytes]:
        """Each event as the peers read it."""
        columns = zip(self.key.tolist(), self.at_ms.tolist(), self.cents.tolist(), strict=True)
        return [
            b'{"id":"e%d","key":"k%d","at":%d,"value":%d.%02d}'
            % (number, key, at, *divmod(cents, 100))
            for number, (key, at, cents) in enumerate(columns)
        ]

    def sentinel(self, partition: int) -> bytes:
        """An event just past the end, of a key of its own: it moves time and no value."""
        return b'{"id":"%s%d","key":"%s%d","at":%d,"value":0.00}' % (
            SENTINEL.encode(),
            partition,
            SENTINEL.encode(),
            partition,
            self.end_ms + 1,
        )


# Small, sparse and longer than the longest window: shows that each window's tail moves.
CHECK = Workload(events=600, keys=10, spacing_ms=180_001)
