"""What a policy sees of one model: a few numbers, folded from labels, alerts and registry events.

The state is of constant size, and folding is a pure function of (state, record), so that state and
consumed offset can be saved in one transaction. All times are stream time, in microseconds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SIGNALS: Final[Mapping[str, FieldType]] = {
    "labelled_rows": FieldType.FLOAT64,
    "labelled_rows_total": FieldType.FLOAT64,
    "age_s": FieldType.FLOAT64,
    "quality_drop": FieldType.FLOAT64,
    "quality_labels": FieldType.FLOAT64,
    "drift_alerts": FieldType.FLOAT64,
    "data_alerts": FieldType.FLOAT64,
    "has_champion": FieldType.BOOL,
    "failed_runs": FieldType.FLOAT64,
}
Signals = dict[str, "float | bool | None"]

_SECOND: Final = 1_000_000
MAX_SKEW_US: Final = 300 * _SECOND
MAX_DOUBLINGS: Final = 6


class Kind(StrEnum):
    """What an alert is about."""

    QUALITY = "quality"
    PREDICTION_DRIFT = "prediction_drift"
    FEATURE_DRIFT = "feature_drift"
    DATA = "data"


class AlertState(StrEnum):
    """The life of an alert, as monitoring tells it."""

    OK = "ok"
    SUSPECT = "suspect"
    FIRING = "firing"
    RECOVERING = "recovering"


@dataclass(frozen=True, slots=True)
class Alert:
    """The last that is known of one alert; data alerts are kept for ever, for their spans."""

    alert_id: str
    model: str
    kind: Kind
    state: AlertState
    subject: str = ""
    version: int = 0
    effect: float = 0.0
    bad_from_us: int | None = None
    bad_to_us: int | None = None
    changed_us: int = 0
    fired: bool = False
    """It has fired at some time; else it is, or was, a suspicion."""

    @property
    def stream(self) -> str:
        """The stream that a data alert names."""
        return self.subject.partition(".")[0]

    @property
    def field(self) -> str:
        """The field that a data alert names; empty when it names none."""
        return self.subject.partition(".")[2]


@dataclass(frozen=True, slots=True)
class State:
    """Everything a policy remembers of its model."""

    stream_us: int = 0
    """0: nothing has been seen yet."""
    labelled_total: int = 0
    labelled_base: int = 0
    """The total when the cut of the last finished run was taken."""
    champion: int = 0
    champion_data_us: int = 0
    champion_labels: int = 0
    quality_drop: float | None = None
    failed_runs: int = 0
    """Failed or refused in a row."""
    doublings: int = 0
    """How often the cooldown is doubled; new evidence takes it back."""
    last_run_us: int | None = None
    fire_since_us: int | None = None
    last_verdict: str = ""
    last_reason: str = ""


def signals(state: State, alerts: Iterable[Alert]) -> Signals:
    """Return the value of every signal; None is unknown."""
    known = tuple(alerts)
    has_champion = state.champion > 0
    aged = has_champion and state.champion_data_us > 0 and state.stream_us > 0
    return {
        "labelled_rows": float(state.labelled_total - state.labelled_base),
        "labelled_rows_total": float(state.labelled_total),
        "age_s": (state.stream_us - state.champion_data_us) / _SECOND if aged else None,
        "quality_drop": state.quality_drop,
        "quality_labels": float(state.champion_labels) if has_champion else None,
        "drift_alerts": float(sum(is_drift(alert) for alert in known)),
        "data_alerts": float(sum(is_bad_data(alert) for alert in known)),
        "has_champion": has_champion,
        "failed_runs": float(state.failed_runs),
    }


def is_drift(alert: Alert) -> bool:
    """Say whether an alert is drift that is firing now."""
    drift = alert.kind in (Kind.PREDICTION_DRIFT, Kind.FEATURE_DRIFT)
    return drift and alert.state is AlertState.FIRING


def is_bad_data(alert: Alert) -> bool:
    """Say whether data are, may be, or were until a moment ago, wrong: anything but OK."""
    return alert.kind is Kind.DATA and alert.state is not AlertState.OK


def labelled(
    state: State, *, rows: int, of_champion: int, available_us: int, append_us: int
) -> State:
    """Count a record of labelled rows."""
    return replace(
        advanced(state, available_us, append_us),
        labelled_total=state.labelled_total + rows,
        champion_labels=state.champion_labels + of_champion,
    )


def advanced(state: State, available_us: int, append_us: int) -> State:
    """Move stream time: never back, and never far ahead of the broker's own clock."""
    moved = max(state.stream_us, min(available_us, append_us + MAX_SKEW_US))
    return replace(state, stream_us=moved)


def alerted(state: State, alert: Alert) -> State:
    """Take a change of an alert: quality is remembered, and evidence lowers the bar again."""
    fresh = alert.state is AlertState.FIRING or (
        alert.kind is Kind.DATA and alert.state is AlertState.OK
    )
    state = replace(state, doublings=0) if fresh else state
    if alert.kind is not Kind.QUALITY or alert.version not in (0, state.champion):
        return state
    fell = alert.state in (AlertState.FIRING, AlertState.RECOVERING)
    return replace(state, quality_drop=alert.effect if fell else 0.0)


def crowned(state: State, version: int, data_us: int) -> State:
    """Take a new champion: what was known of the old one's quality says nothing about it."""
    if version == state.champion:
        return replace(state, champion_data_us=data_us or state.champion_data_us)
    return replace(
        state,
        champion=version,
        champion_data_us=data_us,
        champion_labels=0,
        quality_drop=None,
    )


def opened(state: State, at_us: int) -> State:
    """Remember that a run was opened."""
    return replace(state, last_run_us=at_us, fire_since_us=None)


def succeeded(state: State, labelled_at_cut: int) -> State:
    """Count amounts from the cut of a run that has ended well."""
    return replace(state, labelled_base=max(state.labelled_base, labelled_at_cut))


def refused(state: State) -> State:
    """Raise the bar after a run that failed, or a version that its gates refused."""
    return replace(
        state,
        failed_runs=state.failed_runs + 1,
        doublings=min(state.doublings + 1, MAX_DOUBLINGS),
    )


def validated(state: State) -> State:
    """Lower the bar: a version has passed its gates."""
    return replace(state, failed_runs=0, doublings=0)


def to_dict(state: State) -> dict[str, Any]:
    """Give the stored form."""
    return asdict(state)


def from_dict(document: Mapping[str, Any]) -> State:
    """Read the stored form; what an older release did not know has its default."""
    known = {name: document[name] for name in State.__slots__ if name in document}
    return State(**known)
