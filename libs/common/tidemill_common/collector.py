"""Python's collector of cycles, set for processes that handle batches of many small objects.

Tens of thousands of records live together for a moment and die by themselves. With the defaults
the collector would look through all of them, and through what start-up made, again and again, and
find nothing: half of the processor time of a bridge that takes up a backlog.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (100_000, 20, 100)
"""Objects made before the youngest are looked through, and how often the older ones are."""


def collect_seldom() -> None:
    """Forget start-up's garbage, keep the rest out of every later look, and look seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
