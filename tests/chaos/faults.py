"""What may strike whom, what that can hold up and for how long, and what a scenario is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from tests.chaos.proxy import Mode

SESSION_S: Final = 6.0
WORKERS: Final = ("worker-a", "worker-b")
THIRD_WORKER: Final = "worker-c"
"""Where there are more changes than two can make; of four partitions it may own none."""
SERVING: Final = ("serving-a", "serving-b")
BROKER_EDGES: Final = ("ingestion", *WORKERS, "server")
"""Between a service and the broker; named after the service."""
FRONTS: Final[tuple[str, ...]] = ("publisher", "reader", "registry", "postgres")
"""Before ingestion, before the features server, before the registry and before PostgreSQL."""
EDGES: Final = (*FRONTS, *BROKER_EDGES)
"""Where a proxy may stand."""


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


REPUBLISHED: Final = 40
"""Records of each partition that are there once more."""
CHANGE_S: Final = 3.0
"""Between two changes of the group in a storm."""
SEEN_S: Final = 2.0
"""For so long at least the load goes on when a fault is over."""
RECOVERY_S: Final = {
    "broker": 20.0,
    "ingestion": 8.0,
    "publisher": 8.0,
    "reader": 8.0,
    "registry": 8.0,
    "postgres": 8.0,
    "worker": 15.0,
    "server": 15.0,
    "serving": 15.0,
}
"""From a fault's end until the lag must be below a second, by what was struck."""
NOTICED_S: Final = 15.0
"""Until a client gives up a connection whose other side is gone and does not say so."""


class Way(Enum):
    """What a fault can hold up, seen by somebody who tries all the while."""

    LAG = "lag"  # what workers have decided is behind the raw topic
    PUBLISH = "publish"
    READ = "read"
    REGISTRY = "registry"


WAYS: Final = {
    "broker": frozenset({Way.LAG, Way.PUBLISH}),
    "ingestion": frozenset({Way.PUBLISH}),
    "publisher": frozenset({Way.PUBLISH}),
    "reader": frozenset({Way.READ}),
    "server": frozenset({Way.READ}),
    "registry": frozenset({Way.REGISTRY}),
    "postgres": frozenset({Way.REGISTRY}),
    "worker": frozenset({Way.LAG, Way.READ}),
}
"""By what was struck; whatever else is struck, events are decided later."""


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
        """Return within how many seconds of its end all must be well, once it is noticed."""
        return RECOVERY_S[self.target.split("-")[0]] if self.target else RECOVERY_S["worker"]

    @property
    def noticed_s(self) -> float:
        """Return after how many seconds those concerned know of it, on whatever machine."""
        return NOTICED_S if self.mode is Mode.HALF_OPEN else 0.0

    @property
    def ways(self) -> frozenset[Way]:
        """Return what it can hold up."""
        return WAYS.get(self.target.split("-")[0], frozenset({Way.LAG}))


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
    asks: bool = False
    """What was published is read all the while, the registry is asked, and tasks are counted."""
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
    own_lane: bool = False
    """It mostly waits, so that something else runs at the same time."""

    def cut(self, seconds: float) -> Scenario:
        """Return its beginning: the same load, so long, and the faults that are over by then."""
        over = tuple(one for one in self.faults if one.at_s + one.for_s < seconds - SEEN_S)
        return replace(self, seconds=seconds, faults=over)

    @property
    def served(self) -> bool:
        """Tell whether predictions are asked for, so that there are vectors to compare."""
        return set(SERVING) <= set(self.beside)
