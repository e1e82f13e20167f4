"""What a run says afterwards: a JSON document, and a line of a table."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from tests.chaos.checkers import Finding
from tests.chaos.course import Course
from tests.chaos.enduring import Call
from tests.chaos.faults import Do
from tests.chaos.forgetting import PEOPLE
from tests.chaos.oracle import Expected
from tests.chaos.striking import Struck, alone
from tests.chaos.watching import Watch

MIB: Final = 1 << 20
AFTER_MS: Final = 12_000.0
"""How long after a fault a silence of a feature log still counts as its doing."""


HEADS: Final = (
    "scenario",
    "promises",
    "events",
    "attempts ok / fail / unknown",
    "rows applied · duplicate · late · dead",
    "faults",
    "slowest recovery",
    "longest silence of a log",
    "quiet to exact",
    "machine slower by",
    "findings",
)


@dataclass(frozen=True, slots=True)
class Report:
    """How a run went. `faults` name, for each, seconds to recover and the longest silence.

    By `slower` the limits of time were stretched (see pace.py). A fault that another followed within
    its time to recover is not judged alone.
    """

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
    slower: float
    findings: Sequence[Finding]
    wall_s: float
    figures: Mapping[str, float] = field(default_factory=dict)
    """What else a scenario has measured, by name."""

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
        what = f"mutant {self.mutant}" if self.mutant else self.scenario
        head = f"{what} with CHAOS_SEED={self.seed}"
        return "\n".join([f"{head}: {'passed' if self.passed else 'FAILED'}", *lines])


def reported(course: Course, wall_s: float) -> Report:
    """Gather a report."""
    scenario, publisher, watch = course.scenario, course.publisher, course.watch
    expected = Expected() if course.evidence is None else course.evidence.expected
    sent = 0 if publisher is None else publisher.sent
    return Report(
        scenario=scenario.name,
        promises=scenario.promises,
        seed=course.seed,
        mutant=course.mutant,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=f"{os.cpu_count()} cores, {platform.machine()}",
        load={
            "seconds": scenario.seconds,
            "events_per_s": round(sent / scenario.seconds),
            "published": sent,
            "attempts": {one.value: count for one, count in course.ledger.attempts.items()},
            "errors": {} if publisher is None else dict(publisher.errors),
            "kinds": {} if publisher is None else dict(sorted(publisher.kinds.items())),
        },
        rows={
            "raw": sum(expected.ids.values()),
            "applied": len(expected.applied),
            "duplicate": expected.duplicates,
            "late": len(expected.late),
            "dead": len(expected.dead),
        },
        faults=[] if watch is None else _faults(course, watch),
        settled_s={name: _rounded(seconds) for name, seconds in course.settled_s.items()},
        slower=round(course.pace.worst, 1),
        findings=course.findings,
        wall_s=round(wall_s, 1),
        figures=figures(course),
    )


def figures(course: Course) -> dict[str, float]:
    """Say what a scenario measures that others do not."""
    found: dict[str, float] = {}
    evidence, predictor, publisher = course.evidence, course.predictor, course.publisher
    if evidence is not None and evidence.vectors is not None and predictor and publisher:
        vectors = evidence.vectors
        found |= {
            "vectors": vectors.vectors,
            "values": vectors.values,
            "values that differ": vectors.mismatches,
            "vectors that differ from the harness's": len(vectors.differing),
            "requests": predictor.answered.total(),
            "requests without an answer": predictor.failed.total(),
            **_calls(course.calls),
            **_restarts(course.struck),
            **{f"{kind} events": count for kind, count in sorted(publisher.kinds.items())},
        }
    if (beside := course.neighbours) is not None:
        for name, pair in (("read", beside.read_p99_s), ("readable", beside.readable_p99_s)):
            for when, seconds in zip(("before", "beside a stopped partition"), pair, strict=True):
                found[f"{name} p99 ms {when}"] = round(seconds * 1_000, 1)
    found |= _endured(course)
    if course.forgotten is not None and course.forgetting is not None:
        forgotten = course.forgotten
        found |= {
            "erased": PEOPLE,
            "places that hold one of them": len(forgotten.places),
            "events accepted for s after the request": round(forgotten.accepted_for_s, 2),
            "events refused after it": forgotten.refused,
            "events brought in around the edge after it": course.forgetting.around,
            "dead letters put back": forgotten.put_back,
            "complete after s": round(forgotten.completed_after_s or -1.0, 1),
            **_restarts(course.struck),
        }
    return found


def _endured(course: Course) -> dict[str, float]:
    """Say how it went while a fault lasted."""
    found: dict[str, float] = {}
    if (storm := course.throughput) is not None:
        found |= {
            "records/s before": round(storm.before),
            "records/s that came in during the storm": round(storm.offered),
            "records/s decided in it": round(storm.during),
            f"records/s decided in its worst {storm.stretch_s:.0f} s": round(storm.worst),
            "changes of the group": storm.changes,
            "s between changes": round(storm.change_s, 1),
        }
    if course.asker is not None and course.inquirer is not None:
        found |= {
            **_calls(course.calls),
            "reads without an answer": course.asker.failed,
            "calls of the registry without an answer": course.inquirer.failed,
        }
    if (left := course.tasks_left) is not None:
        for when, counts in zip(("before", "after"), left, strict=True):
            found |= {f"tasks of {role} {when}": tasks or -1 for role, tasks in counts.items()}
    for one in course.slowed:
        found |= {
            "pauses of partitions": one.holds,
            "resident MiB before": round(one.resident_before / MIB),
            "resident MiB at most": round(one.resident_peak / MIB),
        }
    return found


def _calls(calls: Sequence[Call]) -> dict[str, float]:
    overs = [one.over_s for one in calls if one.over_s is not None]
    return {
        **{f"calls of {name}": count for name, count in Counter(c.name for c in calls).items()},
        "ms that a call went on after its deadline, at most": round(max(0.0, *overs) * 1_000),
        "calls that never ended": len(calls) - len(overs),
    }


def _restarts(struck: Sequence[Struck]) -> dict[str, int]:
    ended = Counter(
        one.fault.target.partition("-")[0] for one in struck if one.fault.do in {Do.KILL, Do.STOP}
    )
    return {f"restarts of {role}": count for role, count in sorted(ended.items())}


def _faults(course: Course, watch: Watch) -> list[dict[str, Any]]:
    judged = alone(course.struck, course.pace.worst)
    return [
        {
            "fault": one.fault.name,
            "judged": one in judged and one.fault.ways & course.samples.keys() != set(),
            "recovered_after_s": _rounded(course.recovered_after(one)),
            "longest_silence_s": _rounded(watch.silence_s(one.began_ms, one.ended_ms + AFTER_MS)),
        }
        for one in course.struck
    ]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def write(reports: Sequence[Report], path: Path) -> None:
    """Write reports as one document."""
    path.write_bytes(orjson.dumps([asdict(one) for one in reports], option=orjson.OPT_INDENT_2))


def read(path: Path) -> list[Report]:
    """Return the reports of a document; none if it is not there."""
    if not path.exists():
        return []
    return [
        Report(**{**one, "findings": [Finding(**found) for found in one["findings"]]})
        for one in orjson.loads(path.read_bytes())
    ]


def merged(old: Sequence[Report], new: Sequence[Report]) -> list[Report]:
    """Return the new reports in the places of the old ones of the same name, others behind."""
    fresh = {(one.scenario, one.mutant): one for one in new}
    kept = [fresh.pop((one.scenario, one.mutant), one) for one in old]
    return [*kept, *fresh.values()]


def facts(reports: Sequence[Report], took_s: float | None = None) -> str:
    """Say when and on what it ran, and how long all of it took: `took_s` if it ran as one."""
    days = sorted({one.when[:10] for one in reports})
    seeds = ", ".join(sorted({str(one.seed) for one in reports}))
    found = sum(not one.passed for one in reports if not one.mutant)
    result = f"findings in {found} scenarios" if found else "no finding"
    return (
        f"{' to '.join(dict.fromkeys((days[0], days[-1])))}, `CHAOS_SEED` {seeds}, {reports[0].hardware}: {result};"
        f" {sum(one.wall_s for one in reports) / 60:.0f} minutes of scenarios, some of them beside"
        f" others{'' if took_s is None else f'; {took_s / 60:.1f} by the clock'}."
        " Every figure is in [chaos-report.json](chaos-report.json)."
    )


def table(reports: Sequence[Report]) -> str:
    """Return what people read of it: a table of runs, one of faults, one of mutants."""
    runs = [one for one in reports if not one.mutant]
    lines = [
        f"| {' | '.join(HEADS)} |",
        "|---" * len(HEADS) + "|",
        *(_run_line(one) for one in runs),
        "",
        *(_figures_line(one) for one in runs if one.figures),
        "",
        "| known mistake, put back | found by | after |",
        "|---|---|---|",
        *(_mutant_line(one) for one in reports if one.mutant),
    ]
    return "\n".join(lines) + "\n"


def _run_line(report: Report) -> str:
    attempts, rows = report.load["attempts"], report.rows
    settled = [seconds for seconds in report.settled_s.values() if seconds is not None]
    cells = (
        report.scenario,
        report.promises,
        f"{report.load['published']:,} at {report.load['events_per_s']}/s",
        " / ".join(f"{attempts[one]:,}" for one in ("ok", "fail", "unknown")),
        " · ".join(f"{rows[one]:,}" for one in ("applied", "duplicate", "late", "dead")),
        str(len(report.faults)),
        _slowest(report, "recovered_after_s"),
        _slowest(report, "longest_silence_s"),
        f"{max(settled):.1f} s" if settled else "never",
        f"{report.slower:.1f}",
        "none" if report.passed else ", ".join(sorted(report.broken())),
    )
    return f"| {' | '.join(cells)} |"


def _figures_line(report: Report) -> str:
    figures = "; ".join(f"{name} {value:,}" for name, value in report.figures.items())
    return f"- **{report.scenario}**: {figures}."


def _slowest(report: Report, what: str) -> str:
    known = [fault[what] for fault in report.faults if fault["judged"]]
    if None in known:
        return "never"
    return f"{max(known):.1f} s" if known else "-"


def _mutant_line(report: Report) -> str:
    found = ", ".join(sorted(report.broken())) or "nothing"
    return f"| {report.mutant} | {found} | {report.wall_s:.0f} s |"
