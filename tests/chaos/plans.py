"""Which faults strike whom and when: every choice comes from the seed."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Final

from tests.chaos.faults import (
    CHANGE_S,
    EDGES,
    FRONTS,
    SERVING,
    SESSION_S,
    THIRD_WORKER,
    WORKERS,
    Do,
    Fault,
    Scenario,
    Skew,
)
from tests.chaos.proxy import Mode

SEED: Final = int(os.environ.get("CHAOS_SEED", "20130101"))
FLUSH_BYTES: Final = 1 << 16
"""The fewest there may be. Of the default nothing that a run can send is more than may wait."""
BACKLOG: Final = 400
"""More than may wait at once in a worker whose flushes have FLUSH_BYTES."""
STORM_S: Final = 60.0
BEFORE_S: Final = 5.0
"""So long it is looked how many tasks services usually have, before a network is struck."""
SHORT_S: Final = (3.0, 2.0)
TAKES_S: Final = {
    Mode.RESET: (0.0, 3.0),
    Mode.BLACK_HOLE: (30.0, 12.0),
    Mode.HALF_OPEN: (0.0, 28.0),
}
"""How long a mode lasts and how long it is calm afterwards: where connections are lost for good so
long that the recovery is judged, also on a machine that is slower by a half."""


def smoke(seed: int = SEED) -> Scenario:
    """One of each, in three quarters of a minute."""
    dice = random.Random(f"{seed}/smoke")
    first, second = dice.sample(WORKERS, 2)
    faults = (
        Fault(2.0 + dice.random(), Do.KILL, first),
        Fault(6.0 + dice.random(), Do.NETWORK, "publisher", 1.0, Mode.DROPPED_REPLIES),
        Fault(8.5 + dice.random(), Do.PAUSE, second, 1.3 * SESSION_S),
        Fault(9.0 + dice.random(), Do.REPUBLISH),
        Fault(18.0 + dice.random(), Do.KILL, "ingestion"),
        Fault(22.0 + dice.random(), Do.KILL, "broker"),
        # Both workers lose their membership meanwhile, and not their processes.
        Fault(27.0 + dice.random(), Do.PAUSE, "broker", 1.3 * SESSION_S),
    )
    return Scenario("smoke", "P1-P4 P7 P8 P10", 42.0, 400, faults, frozenset({"publisher"}))


def full(seed: int = SEED) -> tuple[Scenario, ...]:
    """Return every scenario of the long profile."""
    dice = random.Random(f"{seed}/full")
    return (
        _ingestion_killed(dice),
        _broker_killed(dice),
        _workers_killed(dice),
        _workers_paused(dice),
        network(seed),
        _storm(dice),
        _stopped(dice),
        _mixed(dice),
        _clocks_skewed(dice),
        _worker_slow(dice),
        _poison_burst(dice),
        _schema_changed(dice),
        _vectors(dice),
        _erased(dice),
    )


def mutation(seed: int = SEED) -> Scenario:
    """A short run with what each known mistake needs to show."""
    dice = random.Random(f"{seed}/mutation")
    first, second = dice.sample(WORKERS, 2)
    faults = (
        Fault(2.0, Do.REFUSE),
        # Both are back from what they were refused, and then the other owns all of it for a while.
        Fault(14.0, Do.PAUSE, first, 2 * SESSION_S),
        Fault(27.0, Do.KILL, second),
    )
    return Scenario("mutation", "control", 30.0, 300, faults)


def _ingestion_killed(dice: random.Random) -> Scenario:
    faults = [Fault(at, Do.KILL, "ingestion") for at in _times(dice, 3.0, 38.0, (5.0, 8.0))]
    return Scenario("ingestion-killed", "P1", 45.0, 800, tuple(faults))


def _broker_killed(dice: random.Random) -> Scenario:
    faults = [
        Fault(at, Do.KILL, "broker", dice.uniform(0.0, 2.0))
        for at in _times(dice, 4.0, 40.0, (16.0, 18.0))
    ]
    return Scenario("broker-killed", "P2", 62.0, 600, tuple(faults))


def _workers_killed(dice: random.Random) -> Scenario:
    times = _times(dice, 3.0, 40.0, (4.0, 6.0))
    faults = [Fault(at, Do.KILL, WORKERS[index % 2]) for index, at in enumerate(times)]
    both = times[-1] + 6.0
    faults += [Fault(both, Do.KILL, one) for one in WORKERS]
    return Scenario("workers-killed", "P3", both + 13.0, 800, tuple(faults))


def _workers_paused(dice: random.Random) -> Scenario:
    faults = [Fault(at, Do.PAUSE, dice.choice(WORKERS), 2 * SESSION_S) for at in (3.0, 23.0, 43.0)]
    return Scenario("workers-paused", "P4", 64.0, 600, tuple(faults))


def network(seed: int = SEED) -> Scenario:
    """Strike every edge by every mode, but for one worker's: another seed strikes the other's."""
    at_s, faults = BEFORE_S, []
    for mode, edges in _strikes(seed):
        for_s, calm_s = TAKES_S.get(mode, SHORT_S)
        faults += [Fault(at_s, Do.NETWORK, edge, for_s, mode) for edge in edges]
        at_s += for_s + calm_s
    return Scenario(
        "network",
        "P18",
        at_s,
        300,
        tuple(faults),
        frozenset(EDGES),
        asks=True,
        beside=("registry",),
        own_lane=True,
    )


def _strikes(seed: int) -> list[tuple[Mode, tuple[str, ...]]]:
    """Return what strikes where at once: edges that carry something of their own meanwhile.

    So workers are never struck while nothing is published, and no way is held up from two sides.
    """
    dice = random.Random(f"{seed}/network")
    modes = [mode for mode in Mode if mode is not Mode.OPEN]
    strikes: list[tuple[Mode, tuple[str, ...]]] = []
    for number, mode in enumerate(modes):
        worker = WORKERS[(seed + number) % len(WORKERS)]
        fronts, behind, readers = FRONTS[:3], ("ingestion", "postgres"), (worker, "server")
        if mode is Mode.HALF_OPEN:  # over at once, and calm for long
            strikes += [(mode, fronts), (mode, (*behind, *readers))]
        else:
            strikes += [(mode, fronts), (mode, behind), (mode, readers)]
    dice.shuffle(strikes)
    return strikes


def _storm(dice: random.Random) -> Scenario:
    """Two of three workers leave and join in turn, so that one of them does every three seconds."""
    first, second = dice.sample((*WORKERS, THIRD_WORKER), 2)
    storms = [
        Fault(at_s, Do.STORM, one, STORM_S)
        for at_s, one in ((3.0, first), (3.0 + CHANGE_S, second))
    ]
    faults = (*storms, Fault(30.0 + dice.random(), Do.REPUBLISH))
    seconds = 3.0 + CHANGE_S + STORM_S + 15.0
    return Scenario("rebalance-storm", "P17", seconds, 500, faults, beside=(THIRD_WORKER,))


def _stopped(dice: random.Random) -> Scenario:
    targets = ["worker-a", "ingestion", "worker-b", "server", "worker-a", "ingestion"]
    dice.shuffle(targets)
    faults = [Fault(4.0 + 6.0 * index, Do.STOP, one) for index, one in enumerate(targets)]
    return Scenario("stopped", "P30", 47.0, 800, tuple(faults))


def _mixed(dice: random.Random) -> Scenario:
    faults: list[Fault] = []
    for at in _times(dice, 3.0, 42.0, (5.0, 9.0)):
        target = dice.choice(["ingestion", *WORKERS, "server"])
        do = dice.choice([Do.KILL, Do.KILL, Do.STOP, Do.PAUSE])
        faults.append(Fault(at, do, target, dice.uniform(0.0, 4.0)))
    faults += [Fault(20.0, Do.POISON, "", 3.0), Fault(30.0, Do.REPUBLISH)]
    faults += [Fault(36.0, Do.REFUSE)]
    return Scenario("mixed", "P3 P7 P8 P10", 56.0, 600, tuple(sorted(faults, key=_at)))


def _clocks_skewed(dice: random.Random) -> Scenario:
    ahead = 2 * 3_600.0  # more than the hour by which a broker lets a writer's clock be ahead
    offsets = [ahead, -ahead, dice.choice([ahead, -ahead])]
    dice.shuffle(offsets)
    clocks = (
        Skew("ingestion", offsets[0]),
        Skew(WORKERS[0], offsets[1], drift=dice.choice([-5.0, 5.0])),
        Skew(WORKERS[1], offsets[2]),
        Skew("server", 0.0, drift=5.0),
    )
    faults = (
        Fault(6.0, Do.NETWORK, "publisher", 2.0, Mode.DROPPED_REPLIES),
        Fault(12.0 + dice.random(), Do.REPUBLISH),
        Fault(16.0, Do.KILL, "ingestion"),
    )
    edges = frozenset({"publisher"})
    return Scenario("clocks-skewed", "P7 P9", 30.0, 500, faults, edges, clocks=clocks, counted=True)


def _worker_slow(dice: random.Random) -> Scenario:
    faults = (
        Fault(3.0, Do.SLOW, dice.choice(WORKERS), 60.0),
        Fault(30.0 + dice.random(), Do.REPUBLISH, records=BACKLOG),
    )
    return Scenario(
        "worker-slow", "P7 P15", 67.0, 800, faults, counted=True, flush_bytes=FLUSH_BYTES
    )


def _poison_burst(dice: random.Random) -> Scenario:
    burst = Fault(12.0 + dice.random(), Do.BURST, "", 3.0)
    restarts = [Fault(at, Do.STOP, one) for at, one in zip((25.0, 30.0), WORKERS, strict=True)]
    return Scenario("poison-burst", "P10", 41.0, 300, (burst, *restarts), stops=True)


def _schema_changed(dice: random.Random) -> Scenario:
    faults = (
        Fault(5.0 + dice.random(), Do.APPLY),
        Fault(14.0, Do.REPLAY, "ingestion"),
    )
    return Scenario("schema-changed", "P11 P12", 47.0, 300, faults, ahead=True)


def _vectors(dice: random.Random) -> Scenario:
    first, second = dice.sample(WORKERS, 2)
    one, other = dice.sample(SERVING, 2)
    faults = (
        Fault(5.0 + dice.random(), Do.KILL, first),
        Fault(11.0 + dice.random(), Do.KILL, one),
        Fault(17.0 + dice.random(), Do.KILL, "server"),
        Fault(22.0 + dice.random(), Do.REPUBLISH),
        Fault(25.0 + dice.random(), Do.KILL, second),
        Fault(32.0 + dice.random(), Do.KILL, other),
        Fault(38.0 + dice.random(), Do.STOP, first),
        Fault(44.0 + dice.random(), Do.STOP, one),
    )
    parts = ("postgres", "kafka", "triton")
    beside = ("registry", *SERVING)
    return Scenario("vectors", "P3 P7 P8", 52.0, 400, faults, beside=beside, parts=parts)


def _erased(dice: random.Random) -> Scenario:
    first, second = dice.sample(WORKERS, 2)
    faults = (
        Fault(12.5, Do.KILL, first),
        Fault(16.0 + dice.random(), Do.KILL, "server"),
        Fault(22.0 + dice.random(), Do.STOP, second),
    )
    parts, beside = ("postgres", "kafka"), ("registry", "monitoring")
    return Scenario(
        "erased", "P27", 34.0, 300, faults, beside=beside, parts=parts, erases_at_s=12.0
    )


def _at(fault: Fault) -> float:
    return fault.at_s


def _times(
    dice: random.Random, first: float, last: float, every: tuple[float, float]
) -> Sequence[float]:
    times = [first]
    while (following := times[-1] + dice.uniform(*every)) <= last:
        times.append(following)
    return times
