"""Decide about a canary from counts alone: an anytime-valid test, so that looking is free.

Two Bernoulli streams are compared, the challenger's and the champion's. Under the null "the
challenger's rate is at most the champion's plus the accepted increase", the product of two beta
mixtures over the likelihood is a test martingale for each pair of true rates; its infimum over
the null is an e-process. So P(e ever reaches 1/alpha) <= alpha, however often it is looked at.
The counts of one table version are all that is needed: order does not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

PATIENCE = 5
"""A canary that is neither harmful nor harmless after so many times its requests is given up."""
LEAST_CHAMPION = 20
"""Answers of the champion under the same table before the two may be compared."""
_PRIOR = 0.5
_EDGE = 1e-12
_STEPS = 60
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Counts:
    """What one version answered under one table version."""

    requests: int = 0
    errors: int = 0
    slow: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.requests + other.requests, self.errors + other.errors, self.slow + other.slow
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """The declared rollout of a model."""

    min_requests: int = 200
    max_increase: float = 0.02
    alpha: float = 0.01


class Move(StrEnum):
    """What is to be asked of the registry."""

    HOLD = "hold"
    PROMOTE = "promote"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Decision:
    """A move, why, and the numbers that it stands on."""

    move: Move
    reason: str
    evidence: dict[str, float] = field(default_factory=dict)


def decide(champion: Counts, challenger: Counts, rules: Rules, trip: str = "") -> Decision:
    """Promote, abort or hold; a replica's trip aborts at once."""
    signals = {
        "errors": (champion.errors, challenger.errors),
        "slow": (champion.slow, challenger.slow),
    }
    e_values = {
        name: e_value(bad_old, champion.requests, bad_new, challenger.requests, rules.max_increase)
        for name, (bad_old, bad_new) in signals.items()
    }
    evidence = _evidence(champion, challenger, e_values)
    if trip:
        return Decision(Move.ABORT, f"a replica stopped routing to it: {trip}", evidence)
    bound = len(signals) / rules.alpha
    for name, value in e_values.items():
        if value >= bound:
            reason = f"more {name} than the champion is shown: e = {value:.3g} >= {bound:.3g}"
            return Decision(Move.ABORT, reason, evidence)
    return _without_harm(champion, challenger, rules, signals, evidence)


def _without_harm(
    champion: Counts,
    challenger: Counts,
    rules: Rules,
    signals: dict[str, tuple[int, int]],
    evidence: dict[str, float],
) -> Decision:
    seen, needed = challenger.requests, max(rules.min_requests, 1)
    if seen < needed:
        return Decision(Move.HOLD, f"{seen} of {needed} requests answered", evidence)
    if champion.requests < LEAST_CHAMPION and evidence["challenger_errors"] > 0:
        return Decision(Move.HOLD, "too few answers of the champion to compare", evidence)
    worse = [
        name
        for name, (bad_old, bad_new) in signals.items()
        if _rate(bad_new, seen) > _rate(bad_old, champion.requests) + rules.max_increase
    ]
    if not worse:
        return Decision(Move.PROMOTE, f"{seen} requests answered without shown harm", evidence)
    if seen >= PATIENCE * needed:
        reason = f"after {seen} requests still more {' and '.join(worse)} than accepted"
        return Decision(Move.ABORT, reason, evidence)
    return Decision(Move.HOLD, f"more {' and '.join(worse)} than accepted, not yet shown", evidence)


def e_value(bad_old: int, n_old: int, bad_new: int, n_new: int, increase: float) -> float:
    """Return the evidence that the new rate exceeds the old one by more than `increase`."""
    if not n_new or not bad_new:
        return 0.0
    constant = _log_mixture(bad_old, n_old) + _log_mixture(bad_new, n_new)
    if bad_new / n_new <= _rate(bad_old, n_old) + increase:
        # What was observed lies in the null: nothing in it is more likely.
        best = _log_likelihood(bad_old, n_old, _rate(bad_old, n_old))
        return math.exp(constant - best - _log_likelihood(bad_new, n_new, bad_new / n_new))

    def log_null(p_old: float) -> float:
        # For a given old rate, the null's best new rate is the observed one or its upper edge.
        p_new = min(bad_new / n_new, p_old + increase)
        return _log_likelihood(bad_old, n_old, p_old) + _log_likelihood(bad_new, n_new, p_new)

    # The null's likelihood is unimodal in the old rate, so golden section finds its maximum.
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if log_null(left) < log_null(right):
            low = left
        else:
            high = right
    return math.exp(min(constant - log_null((low + high) / 2), 700.0))


def _log_mixture(bad: int, n: int) -> float:
    """Return the log of the likelihood averaged over a Jeffreys prior."""
    return _log_beta(bad + _PRIOR, n - bad + _PRIOR) - _log_beta(_PRIOR, _PRIOR)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_likelihood(bad: int, n: int, p: float) -> float:
    p = min(max(p, _EDGE), 1 - _EDGE)
    return bad * math.log(p) + (n - bad) * math.log1p(-p)


def _rate(bad: int, n: int) -> float:
    return bad / n if n else 0.0


def _evidence(champion: Counts, challenger: Counts, e_values: dict[str, float]) -> dict[str, float]:
    return {
        "champion_requests": champion.requests,
        "champion_errors": champion.errors,
        "champion_slow": champion.slow,
        "challenger_requests": challenger.requests,
        "challenger_errors": challenger.errors,
        "challenger_slow": challenger.slow,
        **{f"e_{name}": value for name, value in e_values.items()},
    }
