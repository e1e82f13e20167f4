"""Which faults strike whom and when: every choice comes from the seed."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from tests.chaos.proxy import Mode

SEED: Final = int(os.environ.get("CHAOS_SEED", "20130101"))
SESSION_S: Final = 6.0
WORKERS: Final = ("worker-a", "worker-b")
SERVING: Final = ("serving-a", "serving-b")
EDGES: Final = ("publisher", "ingestion", "worker-a", "worker-b", "server")
"""Where a proxy may stand: before ingestion, and between each service and the broker."""


class Do(Enum):
    """What a fault does to its target."""

    KILL = "kill"  # SIGKILL, away for `for_s`
    PAUSE = "pause"  # SIGSTOP, SIGCONT after `for_s`
    STOP = "stop"  # SIGTERM, started again after `for_s`
    STORM = "storm"  # leaves and joins again and again for `for_s`
    NETWORK = "network"  # `mode` on the target's edge for `for_s`
    REPUBLISH = "republish"  # the newest records once more
    POISON = "poison"  # nothing but garbage for `for_s`, beside the load
    REFUSE = "refuse"  # the broker takes no record of the feature logs and of late rows
    BURST = "burst"  # so much garbage for `for_s` that partitions stop
    SLOW = "slow"  # a tenth of its time for `for_s`
    APPLY = "apply"  # the stream gets a field more
    REPLAY = "replay"  # dead letters are put back, the target killed twice meanwhile


FLUSH_BYTES: Final = 1 << 16
"""The fewest there may be. Of the default nothing that a run can send is more than may wait."""
REPUBLISHED: Final = 40
"""Records of each partition that are there once more."""
BACKLOG: Final = 400
"""More than may wait at once in a worker whose flushes have FLUSH_BYTES."""
SEEN_S: Final = 2.0
"""For so long at least the load goes on when a fault is over."""
RECOVERY_S: Final = {
    "broker": 20.0,
    "ingestion": 8.0,
    "publisher": 8.0,
    "worker": 15.0,
    "server": 15.0,
    "serving": 15.0,
}
"""From a fault's end until the lag must be below a second, by what was struck."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, so many seconds after the load began."""

    at_s: float
    do: Do
    target: str = ""
    for_s: float = 0.0
    mode: Mode = Mode.OPEN
    records: int = REPUBLISHED

    @property
    def name(self) -> str:
        """Say it in a few words."""
        mode = self.mode.value if self.do is Do.NETWORK else ""
        words = [self.do.value, mode, self.target, f"at {self.at_s:.1f} s"]
        words += [f"for {self.for_s:.1f} s"] if self.for_s else []
        return " ".join(word for word in words if word)

    @property
    def recovery_s(self) -> float:
        """Return within how many seconds of its end all must be well."""
        return RECOVERY_S[self.target.split("-")[0]] if self.target else RECOVERY_S["worker"]


@dataclass(frozen=True, slots=True)
class Skew:
    """The wall clock of a service: seconds ahead at its start, and more of them in each second."""

    role: str
    ahead_s: float
    drift: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load and the faults that strike while it runs."""

    name: str
    promises: str
    seconds: float
    rate: int
    faults: tuple[Fault, ...]
    edges: frozenset[str] = frozenset()
    settle_s: float = 5.0
    clocks: tuple[Skew, ...] = ()
    counted: bool = False
    """No worker ends, so that their counters tell of every row."""
    stops: bool = False
    """Partitions must stop, until workers are started again."""
    reads: bool = False
    """What was published is read all the while, and the tasks of services are counted."""
    ahead: bool = False
    """Writers of a newer schema write beside those of the present one."""
    beside: tuple[str, ...] = ()
    """Roles that run too; without the registry a stand-in tells services what the project is."""
    parts: tuple[str, ...] = ()
    """Parts of the scenario's own; none: those that the others share."""
    flush_bytes: int = 0
    """Source bytes in a flush of a worker; 0: as many as by default."""
    erases_at_s: float = 0.0
    """When people ask to be erased; 0: nobody does."""

    def cut(self, seconds: float) -> Scenario:
        """Return its beginning: the same load, so long, and the faults that are over by then."""
        over = tuple(one for one in self.faults if one.at_s + one.for_s < seconds - SEEN_S)
        return replace(self, seconds=seconds, faults=over)

    @property
    def served(self) -> bool:
        """Tell whether predictions are asked for, so that there are vectors to compare."""
        return set(SERVING) <= set(self.beside)


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
        _network(dice),
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


def _network(dice: random.Random) -> Scenario:
    modes = [
        Mode.LATENCY,
        Mode.SLOW,
        Mode.BLACK_HOLE,
        Mode.DROPPED_REPLIES,
        Mode.RESET,
        Mode.SLICED,
    ]
    dice.shuffle(modes)
    edges = list(EDGES)
    dice.shuffle(edges)
    faults = [
        Fault(3.0 + 9.0 * index, Do.NETWORK, edges[index % len(edges)], _length(mode), mode)
        for index, mode in enumerate(modes)
    ]
    return Scenario("network", "P18", 62.0, 500, tuple(faults), frozenset(EDGES), reads=True)


def _length(mode: Mode) -> float:
    return 0.0 if mode is Mode.RESET else 6.0


def _storm(dice: random.Random) -> Scenario:
    storm = Fault(3.0, Do.STORM, dice.choice(WORKERS), 33.0)
    faults = (storm, Fault(20.0 + dice.random(), Do.REPUBLISH))
    return Scenario("rebalance-storm", "P17", 51.0, 500, faults)


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
