"""What is known of a run while it goes on, and what it amounts to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.calling import Asker, Inquirer
from tests.chaos.checkers import Finding, Sample, recovered_after
from tests.chaos.enduring import Call, Throughput
from tests.chaos.evidence import Evidence
from tests.chaos.faults import Scenario, Way
from tests.chaos.forgetting import Forgetting
from tests.chaos.ledger import Ledger
from tests.chaos.neighbours import Neighbour, compared
from tests.chaos.pace import Pace
from tests.chaos.particular import Forgotten, Neighbours, Replayed, Slowed
from tests.chaos.predicting import Predictor
from tests.chaos.publishing import Publisher
from tests.chaos.scraping import TaskCount
from tests.chaos.storming import throughput_of
from tests.chaos.striking import Struck
from tests.chaos.watching import Watch

LOADED_S: Final = 1.0
"""After so much load every service has opened what it opens at its first use."""


@dataclass(slots=True)
class Course:
    """What is known of a run while it goes on; `findings` grow at its end."""

    scenario: Scenario
    seed: int
    mutant: str = ""
    ledger: Ledger = field(default_factory=Ledger)
    publisher: Publisher | None = None
    asker: Asker | None = None
    inquirer: Inquirer | None = None
    calls: list[Call] = field(default_factory=list)
    tasks: TaskCount | None = None
    quiet_s: float = 0.0
    predictor: Predictor | None = None
    neighbour: Neighbour | None = None
    forgetting: Forgetting | None = None
    forgotten: Forgotten | None = None
    struck: list[Struck] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    slowed: list[Slowed] = field(default_factory=list)
    replayed: list[Replayed] = field(default_factory=list)
    watch: Watch | None = None
    settled_s: dict[str, float | None] = field(default_factory=dict)
    evidence: Evidence | None = None
    pace: Pace = field(default_factory=Pace)
    findings: list[Finding] = field(default_factory=list)

    @property
    def throughput(self) -> Throughput | None:
        """Return what was decided in a storm, if a run had one."""
        if self.watch is None:
            return None
        return throughput_of(self.watch, self.struck, self.changes, self.pace.worst)

    @property
    def samples(self) -> dict[Way, Sequence[Sample]]:
        """Return what was seen of every way that somebody tried all the while."""
        seen = {
            Way.LAG: self.watch,
            Way.PUBLISH: self.publisher,
            Way.READ: self.asker,
            Way.REGISTRY: self.inquirer,
        }
        return {way: one.samples for way, one in seen.items() if one is not None}

    def recovered_after(self, one: Struck) -> float | None:
        """Return the seconds from a fault's end until all its ways were free; None: never."""
        found = [
            recovered_after(one.recovery(1.0), samples)
            for way, samples in self.samples.items()
            if way in one.fault.ways
        ]
        known = [seconds for seconds in found if seconds is not None]
        return max(known, default=0.0) if len(known) == len(found) else None

    @property
    def tasks_left(self) -> tuple[dict[str, int | None], dict[str, int | None]] | None:
        """Return the usual tasks of services before the first fault, the fewest when it was quiet."""
        if self.tasks is None or self.publisher is None:
            return None
        loaded = self.publisher.began + LOADED_S
        first = min((one.began_s for one in self.struck), default=math.inf)
        return self.tasks.usual(loaded, first), self.tasks.fewest(self.quiet_s, math.inf)

    @property
    def neighbours(self) -> Neighbours | None:
        """Return how entities beside a stopped partition fared, if a run has looked."""
        return None if self.neighbour is None else compared(self.neighbour.took, self.struck)
