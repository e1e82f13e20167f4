"""Pure: what a version is and the life that it may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from tidemill.errors import IllegalTransition

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
ROLLOUT_ALIASES: Final = frozenset({CHAMPION, CHALLENGER})


class Stage(StrEnum):
    """Where a version is in its life."""

    CANDIDATE = "candidate"
    VALIDATED = "validated"
    REJECTED = "rejected"
    ARCHIVED = "archived"


class Verdict(StrEnum):
    """What a gate says."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    NOT_ENOUGH_DATA = "not_enough_data"


# An archived version passed its gates once and may be promoted again; a rejected one never.
NEXT: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.CANDIDATE: frozenset({Stage.VALIDATED, Stage.REJECTED}),
    Stage.VALIDATED: frozenset({Stage.ARCHIVED}),
    Stage.ARCHIVED: frozenset({Stage.VALIDATED}),
    Stage.REJECTED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a model package."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate found out about a digest; never changed afterwards."""

    gate: str
    verdict: Verdict
    value: float = 0.0
    ci_low: float = 0.0
    ci_high: float = 0.0
    threshold: float = 0.0
    reason: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)
    time: datetime | None = None

    def says_the_same(self, other: GateResult) -> bool:
        """Tell whether a repeat agrees; the time does not count."""
        return (self.verdict, self.value, self.threshold) == (
            other.verdict,
            other.value,
            other.threshold,
        )


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable version of a model, with the little about it that moves."""

    model: str
    number: int
    digest: str
    run_id: str
    artifacts: tuple[Artifact, ...]
    lineage: bytes
    metrics: Mapping[str, float]
    created: datetime
    stage: Stage = Stage.CANDIDATE
    reason: str = ""
    traceparent: str = ""
    data_time: datetime | None = None
    aliases: tuple[str, ...] = ()
    gate_results: tuple[GateResult, ...] = ()

    @property
    def subject(self) -> str:
        """Name it in the audit."""
        return f"{self.model}/{self.number}"


def sources(to: Stage) -> list[Stage]:
    """Return the stages from which `to` may be reached."""
    return [stage for stage, reachable in NEXT.items() if to in reachable]


def check_promotable(version: Version) -> None:
    """IllegalTransition unless the version has passed its gates."""
    if version.stage not in {Stage.VALIDATED, Stage.ARCHIVED}:
        why = f": {version.reason}" if version.reason else ""
        raise IllegalTransition(
            f"{version.subject} is {version.stage} and cannot take traffic{why}",
            hint="only versions that passed every gate can be promoted",
        )
