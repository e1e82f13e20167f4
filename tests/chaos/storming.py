"""How much is decided in a storm, by the positions in the feature logs and the ends of the raw topic."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Sequence
from typing import Final

from tests.chaos.enduring import Throughput
from tests.chaos.faults import Do
from tests.chaos.striking import Struck
from tests.chaos.watching import Watch

STRETCH_S: Final = 10.0
"""Longer than a session: until that has ended nobody knows that a killed worker is away."""
STEP_MS: Final = 500.0
STARTING_MS: Final = 1_000.0
"""Of a run, in which nothing has been decided yet."""
_MS: Final = 1_000


def throughput_of(
    watch: Watch, struck: Sequence[Struck], changes: Sequence[float], slower: float
) -> Throughput | None:
    """Return what was decided before and in the storm of a run; None: it had none.

    `changes` are the moments at which members of the group left it or joined it again.
    """
    storms = [one for one in struck if one.fault.do is Do.STORM]
    if not storms:
        return None
    began_ms = min(one.began_ms for one in storms)
    ended_ms = max(one.ended_ms for one in storms)
    stretch_ms = min(slower * STRETCH_S * _MS, ended_ms - began_ms)
    first_ms = watch.appended[0][0] + STARTING_MS
    return Throughput(
        before=_rate(watch.decided, first_ms, began_ms),
        offered=_rate(_appended(watch), began_ms, ended_ms),
        during=_rate(watch.decided, began_ms, ended_ms),
        worst=_worst(watch.decided, began_ms, ended_ms, stretch_ms),
        stretch_s=stretch_ms / _MS,
        changes=len(changes),
        change_s=(max(changes) - min(changes)) / (len(changes) - 1) if changes[1:] else math.inf,
    )


def _appended(watch: Watch) -> Callable[[float], int]:
    """Return what says how many records the raw topic had at a moment."""
    moments = [at_ms for at_ms, _ in watch.appended]
    return lambda at_ms: watch.appended[max(0, bisect(moments, at_ms) - 1)][1]


def _rate(count: Callable[[float], int], from_ms: float, to_ms: float) -> float:
    return (count(to_ms) - count(from_ms)) / (to_ms - from_ms) * _MS


def _worst(count: Callable[[float], int], from_ms: float, to_ms: float, stretch_ms: float) -> float:
    """Return the lowest rate of all stretches of this length between two moments."""
    steps = int((to_ms - from_ms - stretch_ms) / STEP_MS) + 1
    begins = (from_ms + step * STEP_MS for step in range(steps))
    return min(_rate(count, begin, begin + stretch_ms) for begin in begins)
