"""What a run says afterwards: a JSON document, and a line of a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from tests.chaos.checkers import Finding, recovered_after
from tests.chaos.evidence import Evidence
from tests.chaos.ledger import Ledger
from tests.chaos.plans import Scenario
from tests.chaos.publishing import Publisher
from tests.chaos.striking import Striker, Struck
from tests.chaos.watching import Watch

AFTER_MS: Final = 12_000.0
"""How long after a fault a silence of a feature log still counts as its doing."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a run went. `faults` name, for each, seconds to recover and the longest silence."""

    scenario: str
    promises: str
    seed: int
    mutant: str
    when: str
    hardware: str
    load: Mapping[str, Any]
    rows: Mapping[str, int]
    faults: Sequence[Mapping[str, Any]]
    settled_s: Mapping[str, float | None]
    findings: Sequence[Finding]
    wall_s: float

    @property
    def passed(self) -> bool:
        """Tell whether no checker found anything."""
        return not self.findings

    def broken(self) -> set[str]:
        """Return the checkers that found something."""
        return {one.checker.split()[0] for one in self.findings}

    def text(self) -> str:
        """Say what was found, and how to do it again."""
        lines = [f"  {one.checker} ({one.count}): {one.text}" for one in self.findings]
        head = f"{self.scenario} with CHAOS_SEED={self.seed}"
        return "\n".join([f"{head}: {'passed' if self.passed else 'FAILED'}", *lines])


def reported(
    *,
    scenario: Scenario,
    seed: int,
    mutant: str,
    ledger: Ledger,
    evidence: Evidence,
    publisher: Publisher,
    striker: Striker,
    watch: Watch,
    settled: Mapping[str, float | None],
    findings: Sequence[Finding],
    wall_s: float,
) -> Report:
    """Gather a report."""
    expected = evidence.expected
    return Report(
        scenario=scenario.name,
        promises=scenario.promises,
        seed=seed,
        mutant=mutant,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=f"{os.cpu_count()} cores, {platform.machine()}",
        load={
            "seconds": scenario.seconds,
            "events_per_s": round(publisher.sent / scenario.seconds),
            "published": publisher.sent,
            "attempts": {one.value: count for one, count in ledger.attempts.items()},
            "errors": dict(publisher.errors),
        },
        rows={
            "raw": sum(expected.ids.values()),
            "applied": len(expected.applied),
            "duplicate": expected.duplicates,
            "late": len(expected.late),
            "dead": len(expected.dead),
        },
        faults=[_fault(one, watch) for one in striker.struck],
        settled_s={name: _rounded(seconds) for name, seconds in settled.items()},
        findings=list(findings),
        wall_s=round(wall_s, 1),
    )


def _fault(struck: Struck, watch: Watch) -> dict[str, Any]:
    return {
        "fault": struck.fault.name,
        "recovered_after_s": _rounded(recovered_after(struck.recovery, watch.samples)),
        "longest_silence_s": _rounded(
            watch.silence_s(struck.began_ms, struck.ended_ms + AFTER_MS)
        ),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def write(reports: Sequence[Report], path: Path) -> None:
    """Write reports as one document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps([asdict(one) for one in reports], option=orjson.OPT_INDENT_2))
