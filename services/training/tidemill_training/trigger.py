"""When to train: a verdict from a policy and what is known, pure and total.

Conditions are SQL expressions over the signals. NULL is unknown: an unknown `fire` does not fire,
an unknown `hold` does not hold. Debounce, cooldown and the daily budget are in stream time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tidemill_common.ids import digest_json
from tidemill_tiles.expressions import compile_expression
from tidemill_tiles.fieldtypes import FieldType
from tidemill_training.signals import SIGNALS

if TYPE_CHECKING:
    from tidemill_tiles.expressions import Expression
    from tidemill_training.signals import Signals, State

DAY_US: Final = 86_400_000_000
_NEVER: Final = "false"


class Verdict(StrEnum):
    """What a policy says."""

    FIRE = "fire"
    HOLD = "hold"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Policy:
    """A retrain policy, compiled; `digest` names it in every decision."""

    model: str
    fire: Expression
    hold: Expression
    debounce_us: int
    cooldown_us: int
    max_runs_per_day: int
    digest: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the two expressions say of the signals."""

    fire: bool | None
    hold: bool | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the queue says of the model."""

    run_open: bool = False
    runs_today: int = 0


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict, why in a word for programs and in words for people, and the debounce's state."""

    verdict: Verdict
    reason: str
    text: str
    fire_since_us: int | None = None


def policy(
    model: str,
    *,
    fire: str,
    hold: str = "",
    debounce_us: int = 0,
    cooldown_us: int = 0,
    max_runs_per_day: int = 0,
) -> Policy:
    """Compile a policy; Misconfigured says what is wrong with an expression.

    An empty `fire` never fires: such a model is trained by hand only.
    """
    named = digest_json([model, fire, hold, debounce_us, cooldown_us, max_runs_per_day])
    return Policy(
        model,
        compile_expression(fire or _NEVER, SIGNALS, FieldType.BOOL),
        compile_expression(hold or _NEVER, SIGNALS, FieldType.BOOL),
        debounce_us,
        cooldown_us,
        max_runs_per_day,
        named,
    )


def conditions(policy: Policy, signals: Signals) -> Conditions:
    """Evaluate both expressions; `hold` only where it matters."""
    fire = _truth(policy.fire, signals)
    return Conditions(fire, _truth(policy.hold, signals) if fire else None)


def _truth(expression: Expression, signals: Signals) -> bool | None:
    value = expression.evaluate_one(signals)
    return value if isinstance(value, bool) else None


def decide(
    policy: Policy, found: Conditions, state: State, traffic: Traffic, *, tick: bool
) -> Decided:
    """Return the verdict at the state's stream time.

    In this order: not asked for, held, not long enough, a run is open, cooling down, budget. A tick
    of stream time does not join an open run again and again; an alert does, once per change.
    """
    if found.fire is not True:
        unknown = "unknown" if found.fire is None else "false"
        return Decided(Verdict.WAIT, f"fire_{unknown}", f"the fire condition is {unknown}")
    since = state.stream_us if state.fire_since_us is None else state.fire_since_us
    return (
        _held(policy, found, state.stream_us, since)
        or _queued(policy, traffic, since, tick=tick)
        or _cooling(policy, state, since)
        or _spent(policy, traffic, since)
        or Decided(Verdict.FIRE, "fires", f"fires: {policy.fire.sql}")
    )


def _held(policy: Policy, found: Conditions, now: int, since: int) -> Decided | None:
    if found.hold is True:
        return Decided(Verdict.HOLD, "held", f"held by: {policy.hold.sql}", since)
    if now - since < policy.debounce_us:
        text = f"true for {_span(now - since)}, must be so for {_span(policy.debounce_us)}"
        return Decided(Verdict.WAIT, "debouncing", text, since)
    return None


def _queued(policy: Policy, traffic: Traffic, since: int, *, tick: bool) -> Decided | None:
    if not traffic.run_open:
        return None
    if tick:
        return Decided(Verdict.WAIT, "run_open", "a run is open already", since)
    return Decided(Verdict.FIRE, "joins", f"joins the open run: {policy.fire.sql}")


def _cooling(policy: Policy, state: State, since: int) -> Decided | None:
    cooldown = policy.cooldown_us * 2**state.doublings
    if state.last_run_us is None or state.stream_us - state.last_run_us >= cooldown:
        return None
    left = _span(cooldown - (state.stream_us - state.last_run_us))
    doubled = f", doubled {state.doublings} times" if state.doublings else ""
    text = f"cooling down for another {left}{doubled}"
    return Decided(Verdict.WAIT, "cooling_down", text, since)


def _spent(policy: Policy, traffic: Traffic, since: int) -> Decided | None:
    if not 0 < policy.max_runs_per_day <= traffic.runs_today:
        return None
    text = f"{traffic.runs_today} runs in the last day, at most {policy.max_runs_per_day}"
    return Decided(Verdict.HOLD, "budget", text, since)


def is_news(decided: Decided, state: State, *, tick: bool) -> bool:
    """Say whether a decision is worth a row: a fire, a change, or a hold that is no mere tick."""
    if decided.verdict is Verdict.FIRE:
        return True
    if (decided.verdict.value, decided.reason) != (state.last_verdict, state.last_reason):
        return True
    return decided.verdict is Verdict.HOLD and not tick


def _span(us: int) -> str:
    """Write a span of stream time for people."""
    seconds = us / 1_000_000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
