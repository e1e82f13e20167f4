"""The life of an alert: a pure state machine with two-of-three hysteresis.

Laws: one bad finding alone never fires, unless it is certain; what fires goes back to ok only over
three clean findings in a row; a finding that says nothing (not enough rows) changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

WINDOW = 3
BAD_TO_FIRE = 2
CLEAN_TO_RESOLVE = 3


class State(Enum):
    """Where an alert is."""

    OK = "ok"
    SUSPECT = "suspect"
    FIRING = "firing"
    RECOVERING = "recovering"


class Judgement(Enum):
    """What one window says about one subject."""

    CLEAN = "clean"
    BAD = "bad"
    CERTAIN = "certain"


@dataclass(frozen=True, slots=True)
class Machine:
    """The state of one alert and what it remembers of the windows before."""

    state: State = State.OK
    recent: tuple[bool, ...] = ()
    clean: int = 0

    @property
    def open(self) -> bool:
        """Whether anything is or may be wrong."""
        return self.state is not State.OK


def step(machine: Machine, judgement: Judgement) -> Machine:
    """Give the machine after one more window."""
    bad = judgement is not Judgement.CLEAN
    recent = (*machine.recent, bad)[-WINDOW:]
    clean = 0 if bad else machine.clean + 1
    state = _next(machine.state, judgement, recent, clean)
    if state is State.OK:
        return Machine(State.OK, () if machine.open else recent, 0)
    return Machine(state, recent, clean)


def _next(state: State, judgement: Judgement, recent: tuple[bool, ...], clean: int) -> State:
    """Give the next state; `recent` and `clean` already hold this window."""
    if state in {State.FIRING, State.RECOVERING}:
        if judgement is not Judgement.CLEAN:
            return State.FIRING
        return State.OK if clean >= CLEAN_TO_RESOLVE else State.RECOVERING
    if judgement is Judgement.CERTAIN or sum(recent) >= BAD_TO_FIRE:
        return State.FIRING
    return State.SUSPECT if any(recent) else State.OK


class Kind(Enum):
    """What an alert is about."""

    QUALITY = "quality"
    PREDICTION_DRIFT = "prediction_drift"
    FEATURE_DRIFT = "feature_drift"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged; at most one alert of a subject is open at a time. Version 0: any."""

    kind: Kind
    model: str
    version: int
    name: str


@dataclass(frozen=True, slots=True)
class Cause:
    """One likely reason, with the part of the traffic in which it is strongest."""

    subject: str
    shape: str
    weight: float
    segment: dict[str, str] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True)
class FirstBad:
    """The first record in which it can be seen."""

    topic: str
    partition: int
    offset: int
    row: int
    event_us: int
    value: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One judgement of one subject, with what a person wants to know about it."""

    subject: Subject
    judgement: Judgement
    severity: int
    effect: float
    p_value: float
    summary: str = ""
    causes: tuple[Cause, ...] = ()
    first_bad: FirstBad | None = None
    bad_from_us: int | None = None
    bad_to_us: int | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands: `machine` decides, the rest is told. Times are stream time in us."""

    alert_id: str
    subject: Subject
    machine: Machine
    severity: int
    effect: float
    p_value: float
    opened_us: int
    changed_us: int
    changed_wall_us: int
    summary: str = ""
    causes: tuple[Cause, ...] = ()
    first_bad: FirstBad | None = None
    bad_from_us: int | None = None
    bad_to_us: int | None = None
    resolved_us: int | None = None
    report_path: str = ""
    acknowledged_by: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What one finding did: the alert after it (None: nothing is open), and its state before."""

    alert: Alert | None
    previous: State

    @property
    def announced(self) -> bool:
        """Whether the state changed, so that others must know."""
        return self.alert is not None and self.alert.machine.state is not self.previous


@dataclass(frozen=True, slots=True)
class Moment:
    """When a finding is made: stream time and wall time."""

    stream_us: int
    wall_us: int


def apply(alert: Alert | None, finding: Finding, at: Moment, new_id: str) -> Change:
    """Fold a finding into the open alert of its subject (or none); `new_id` names a new alert."""
    machine = alert.machine if alert is not None else Machine()
    after = step(machine, finding.judgement)
    if alert is None:
        if not after.open:
            return Change(None, State.OK)
        return Change(_opened(finding, after, at, new_id), State.OK)
    told = _told(alert, finding) if finding.judgement is not Judgement.CLEAN else alert
    if after.state is not machine.state:
        told = replace(told, changed_us=at.stream_us, changed_wall_us=at.wall_us)
    if not after.open:
        told = replace(told, resolved_us=at.stream_us)
    if finding.judgement is Judgement.CLEAN and finding.bad_to_us is not None:
        told = replace(told, bad_to_us=finding.bad_to_us)
    return Change(replace(told, machine=after), machine.state)


def dismiss(alert: Alert, at: Moment) -> Change:
    """End an alert whose subject is not watched any more, or takes no traffic."""
    over = replace(
        alert,
        machine=Machine(),
        changed_us=at.stream_us,
        changed_wall_us=at.wall_us,
        resolved_us=at.stream_us,
    )
    return Change(over, alert.machine.state)


def _opened(finding: Finding, machine: Machine, at: Moment, new_id: str) -> Alert:
    return Alert(
        alert_id=new_id,
        subject=finding.subject,
        machine=machine,
        severity=finding.severity,
        effect=finding.effect,
        p_value=finding.p_value,
        opened_us=at.stream_us,
        changed_us=at.stream_us,
        changed_wall_us=at.wall_us,
        summary=finding.summary,
        causes=finding.causes,
        first_bad=finding.first_bad,
        bad_from_us=finding.bad_from_us,
        bad_to_us=finding.bad_to_us,
    )


def _told(alert: Alert, finding: Finding) -> Alert:
    """Keep what was first seen (record, begin), take the rest from the newest bad window."""
    return replace(
        alert,
        severity=min(alert.severity, finding.severity),
        effect=finding.effect,
        p_value=finding.p_value,
        summary=finding.summary or alert.summary,
        causes=finding.causes or alert.causes,
        first_bad=alert.first_bad or finding.first_bad,
        bad_from_us=alert.bad_from_us if alert.bad_from_us is not None else finding.bad_from_us,
        bad_to_us=finding.bad_to_us if finding.bad_to_us is not None else alert.bad_to_us,
    )
