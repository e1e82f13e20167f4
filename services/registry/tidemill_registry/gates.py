"""Pure: the tests that a version must pass before it may take traffic, and the decision.

A gate says pass, fail or "not enough data". The last is a verdict of its own: the version is not
promoted, because nothing was shown, and it is not asked again, because the rows of its digest are
frozen. A later version brings new rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill_registry import scores
from tidemill_registry.scores import Column
from tidemill_registry.versions import GateResult, Stage, Verdict

SEED_DIGITS: Final = 16
SHOWN_NAMES: Final = 3


@dataclass(frozen=True, slots=True)
class Rows:
    """The frozen, fresh test rows of a version: truth, its scores, the champion's scores."""

    label: Column
    candidate: Column
    champion: Column | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.label)


@dataclass(frozen=True, slots=True)
class Champion:
    """Who takes traffic now, and who it was when the rows were scored; 0: nobody."""

    now: int
    scored_by: int

    def __str__(self) -> str:
        """Name the one that was compared, and its successor if there is one by now."""
        after = f" ({self.now} is champion by now)" if self.now != self.scored_by else ""
        return f"champion {self.scored_by}{after}"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Names of a model's inputs in the order of its two tensors, and its task."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    task: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What the real model server did with a version."""

    max_difference: float
    latency_p50_ms: float
    latency_p99_ms: float
    golden_rows: int
    requests: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a version, and why."""

    stage: Stage
    reason: str


def schema(name: str, expected: Inputs, packaged: Inputs, problems: Sequence[str]) -> GateResult:
    """Inputs, their order, the task, and every file's content agree with the definition."""
    found = list(problems)
    if packaged.task != expected.task:
        found.append(f"the task is {packaged.task}, the project says {expected.task}")
    for kind in ("numeric", "categorical"):
        found += _order(kind, getattr(expected, kind), getattr(packaged, kind))
    count = len(expected.numeric) + len(expected.categorical)
    if found:
        reason = "; ".join(found)
        return GateResult(name, Verdict.FAIL, value=len(found), reason=reason)
    reason = f"{count} inputs in the declared order, every file is what its digest says"
    return GateResult(name, Verdict.PASS, reason=reason, evidence={"inputs": count})


def _order(kind: str, expected: tuple[str, ...], packaged: tuple[str, ...]) -> list[str]:
    missing = [name for name in expected if name not in packaged]
    surplus = [name for name in packaged if name not in expected]
    found = []
    if missing:
        found.append(f"{kind} inputs missing: {_some(missing)}")
    if surplus:
        found.append(f"{kind} inputs that the model does not declare: {_some(surplus)}")
    if not found and expected != packaged:
        at = next(i for i, (a, b) in enumerate(zip(expected, packaged, strict=True)) if a != b)
        text = f"{kind} input {at + 1} is {packaged[at]}, expected {expected[at]}"
        found.append(f"{text}: the order differs")
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def metric_floor(name: str, gate: pb.MetricFloor, rows: Rows) -> GateResult:
    """Compare a metric on the test rows with its bound."""
    metric, bound = gate.metric, gate.bound
    short = _too_few(name, rows, gate.min_rows, bound)
    if short is not None:
        return short
    value = scores.value(metric, rows.label, rows.candidate)
    evidence = {"rows": float(rows.count)}
    if not np.isfinite(value):
        reason = f"{metric} cannot be computed: the {rows.count:,} test rows hold one class only"
        return _undecided(name, reason, bound, evidence)
    higher = metric in scores.HIGHER_IS_BETTER
    good = value >= bound if higher else value <= bound
    side = ("above" if good else "below") if higher else ("below" if good else "above")
    edge = "floor" if higher else "ceiling"
    reason = f"{metric} {value:.4g} on {rows.count:,} test rows is {side} the {edge} {bound:g}"
    verdict = Verdict.PASS if good else Verdict.FAIL
    return GateResult(name, verdict, value, value, value, bound, reason, evidence)


def non_inferiority(
    name: str, gate: pb.NonInferiority, rows: Rows, digest: str, champion: Champion
) -> GateResult:
    """Show by a paired bootstrap that the version is not worse than the champion by the margin."""
    if not champion.now:
        return GateResult(
            name, Verdict.PASS, threshold=gate.margin, reason="there is no champion yet"
        )
    if rows.champion is None:
        reason = f"champion {champion.now} has not scored these test rows"
        return _undecided(name, reason, gate.margin, {})
    known = np.isfinite(rows.champion)
    both = Rows(rows.label[known], rows.candidate[known], rows.champion[known])
    short = _too_few(name, both, gate.min_rows, gate.margin)
    if short is not None:
        return short
    return _bootstrapped(name, gate, both, digest, champion)


def _bootstrapped(
    name: str, gate: pb.NonInferiority, rows: Rows, digest: str, champion: Champion
) -> GateResult:
    metric, theirs = gate.metric, rows.champion
    assert theirs is not None  # noqa: S101 - the caller kept rows that the champion has scored
    drawn = scores.paired_bootstrap(
        metric,
        rows.label,
        rows.candidate,
        theirs,
        resamples=gate.resamples,
        seed=seed_of(digest),
    )
    drawn = drawn[np.isfinite(drawn)]
    ours_value = scores.value(metric, rows.label, rows.candidate)
    their_value = scores.value(metric, rows.label, theirs)
    evidence = {
        "rows": float(rows.count),
        "candidate": ours_value,
        "champion": their_value,
        "champion_version": float(champion.scored_by),
        "resamples": float(len(drawn)),
    }
    if len(drawn) < gate.resamples / 2 or not np.isfinite(ours_value - their_value):
        reason = f"{metric} cannot be compared on {rows.count:,} rows of one class"
        return _undecided(name, reason, gate.margin, _finite(evidence))
    low, high = (float(q) for q in np.quantile(drawn, [1 - gate.confidence, gate.confidence]))
    value = float(scores.worse_by(metric, np.array(ours_value), np.array(their_value)))
    good = high <= gate.margin
    how = "worse" if value > 0 else "better"
    compared = "within" if good else "more than"
    reason = (
        f"{metric} {ours_value:.4g} against {their_value:.4g} of {champion} on "
        f"{rows.count:,} fresh rows: {how} by {abs(value):.4g}; with {gate.confidence:.0%} "
        f"confidence worse by at most {high:.4g}, {compared} the margin {gate.margin:g}"
    )
    verdict = Verdict.PASS if good else Verdict.FAIL
    return GateResult(name, verdict, value, low, high, gate.margin, reason, evidence)


def server(name: str, gate: pb.ServerGate, measured: Measured) -> GateResult:
    """Judge numeric parity and latency in the real model server."""
    found = []
    if not measured.max_difference <= gate.max_difference:
        found.append(
            f"golden answers differ by {measured.max_difference:.3g}, "
            f"more than {gate.max_difference:g}"
        )
    if not measured.latency_p99_ms <= gate.max_latency_p99_ms:
        found.append(
            f"latency p99 {measured.latency_p99_ms:.1f} ms, more than {gate.max_latency_p99_ms:g}"
        )
    evidence = {
        "golden_rows": float(measured.golden_rows),
        "latency_p50_ms": measured.latency_p50_ms,
        "latency_p99_ms": measured.latency_p99_ms,
        "requests": float(measured.requests),
    }
    fine = (
        f"{measured.golden_rows} golden answers within {measured.max_difference:.3g}, "
        f"latency p99 {measured.latency_p99_ms:.1f} ms over {measured.requests} requests"
    )
    value, bound = measured.max_difference, gate.max_difference
    verdict = Verdict.FAIL if found else Verdict.PASS
    reason = "; ".join(found) or fine
    return GateResult(name, verdict, value, value, value, bound, reason, _finite(evidence))


def failed(name: str, why: str) -> GateResult:
    """Refuse a version that could not be tested, by its own fault."""
    return GateResult(name, Verdict.FAIL, reason=why)


def decide(results: Sequence[GateResult]) -> Decision:
    """A version is validated only if every gate passed."""
    failed = [result for result in results if result.verdict is Verdict.FAIL]
    unsure = [result for result in results if result.verdict is Verdict.NOT_ENOUGH_DATA]
    if failed or unsure:
        said = [f"gate {one.gate} failed: {one.reason}" for one in failed]
        said += [f"gate {one.gate} had not enough data: {one.reason}" for one in unsure]
        return Decision(Stage.REJECTED, "; ".join(said))
    passed = ", ".join(result.gate for result in results)
    return Decision(Stage.VALIDATED, f"passed {passed}" if passed else "the model has no gates")


def seed_of(digest: str) -> int:
    """Return the bootstrap's seed: the same digest always gets the same answer."""
    return int(digest[:SEED_DIGITS], 16)


def _too_few(name: str, rows: Rows, needed: int, threshold: float) -> GateResult | None:
    if rows.count >= max(needed, 1):
        return None
    reason = f"{rows.count:,} usable test rows, {needed:,} are needed"
    return _undecided(name, reason, threshold, {"rows": float(rows.count)})


def _undecided(name: str, reason: str, threshold: float, evidence: dict[str, float]) -> GateResult:
    return GateResult(
        name, Verdict.NOT_ENOUGH_DATA, threshold=threshold, reason=reason, evidence=evidence
    )


def _finite(evidence: dict[str, float]) -> dict[str, float]:
    return {name: number for name, number in evidence.items() if np.isfinite(number)}
