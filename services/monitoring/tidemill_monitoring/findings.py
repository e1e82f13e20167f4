"""From what was measured to what is said about it: findings with severity, causes, summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidemill_common.reference import PREDICTIONS, Reference
from tidemill_common.topics import events
from tidemill_monitoring import quality
from tidemill_monitoring.alerts import Cause, Finding, FirstBad, Judgement, Kind, Subject

if TYPE_CHECKING:
    from tidemill_monitoring.definitions import ModelDefinition
    from tidemill_monitoring.drift import Judged
    from tidemill_monitoring.fieldstate import Sighting
    from tidemill_monitoring.quality import Cohort

MAX_CAUSES = 5
SPIKE_SEVERITY = 2


def drift_findings(
    model: str, version: int, judged: Sequence[Judged], reference: Reference
) -> list[Finding]:
    """Say of each subject of one window whether it drifted.

    Severity is harm: moved predictions come before moved inputs.
    """
    causes = ranked_causes(judged, reference)
    return [_drift_finding(model, version, one, causes) for one in judged]


def _drift_finding(model: str, version: int, one: Judged, causes: Sequence[Cause]) -> Finding:
    drift = one.drift
    predictions = drift.subject == PREDICTIONS
    kind = Kind.PREDICTION_DRIFT if predictions else Kind.FEATURE_DRIFT
    own = Cause(drift.subject, drift.shape, 1.0, {}, drift.text)
    what = "predictions" if predictions else drift.subject
    return Finding(
        subject=Subject(kind, model, version, drift.subject),
        judgement=Judgement.BAD if one.drifted else Judgement.CLEAN,
        severity=2 if predictions else 3,
        effect=drift.effect,
        p_value=drift.p_value,
        summary=f"{what} of {model} v{version} moved ({drift.shape}): {drift.text}",
        causes=(*(causes if predictions else ()), own)[:MAX_CAUSES],
    )


def ranked_causes(judged: Sequence[Judged], reference: Reference) -> list[Cause]:
    """Rank drifted inputs as causes by effect x importance x coverage, weights adding up to 1."""
    known = reference.importances
    usual = float(np.mean(list(known.values()))) if known else 1.0
    total = max((one.drift.rows for one in judged), default=1)
    weighed = [
        (one.drift, one.drift.effect * known.get(one.drift.subject, usual) * one.drift.rows / total)
        for one in judged
        if one.drifted and one.drift.subject != PREDICTIONS
    ]
    weighed.sort(key=lambda pair: -pair[1])
    whole = sum(weight for _, weight in weighed) or 1.0
    return [
        Cause(drift.subject, drift.shape, weight / whole, {}, drift.text)
        for drift, weight in weighed[:MAX_CAUSES]
    ]


def quality_finding(
    model: ModelDefinition, cohort: Cohort, reference: float, reference_rows: int
) -> Finding | None:
    """Say whether a mature cohort is worse than the reference; None without enough labels."""
    metric = model.quality_metric
    value = cohort.metrics.get(metric)
    if value is None or cohort.labelled < model.min_rows:
        return None
    drop = quality.drop(metric, reference, value)
    # The reference is a sample too: about as noisy per row as the cohort.
    scale = (cohort.labelled / reference_rows) ** 0.5 if reference_rows else 0.0
    p_value = quality.chance(drop - model.quality_drop, cohort.error, cohort.error * scale)
    bad = drop > model.quality_drop
    text = f"{metric} {reference:.4g} -> {value:.4g} on {cohort.labelled} labels"
    return Finding(
        subject=Subject(Kind.QUALITY, model.name, cohort.version, metric),
        judgement=Judgement.BAD if bad else Judgement.CLEAN,
        severity=1,
        effect=drop,
        p_value=p_value,
        summary=f"quality of {model.name} v{cohort.version} fell: {text} ({cohort.coverage:.0%})",
        causes=(Cause(metric, "shift", 1.0, {}, text),),
    )


def data_finding(model: str, stream: str, sighting: Sighting) -> Finding:
    """Say what a look at a raw field means for one model that uses its stream."""
    name = f"{stream}.{sighting.field}"
    odd, shape = sighting.odd, sighting.shape
    subject = Subject(Kind.DATA, model, 0, name)
    if odd is None:
        return Finding(subject, Judgement.CLEAN, 1, 0.0, 1.0, bad_to_us=sighting.bad_to_us)
    judgement = Judgement.CERTAIN if odd.certain else Judgement.BAD
    if shape is None:
        return Finding(subject, judgement, 1, odd.excess, odd.p_value, bad_to_us=sighting.bad_to_us)
    where = _where(sighting.segment.as_dict())
    main = Cause(name, shape.name, 1.0, sighting.segment.as_dict(), shape.text)
    others = tuple(
        Cause(name, shape.name, max(other.contrast, 0.0) / 2, other.segment.as_dict())
        for other in sighting.others
        if other.segment.name
    )
    return Finding(
        subject=subject,
        judgement=judgement,
        severity=SPIKE_SEVERITY if shape.name == "spike" else 1,
        effect=odd.excess,
        p_value=odd.p_value,
        summary=f"{name}{where}: {shape.name}, {shape.text}",
        causes=(main, *others)[:MAX_CAUSES],
        first_bad=_first_bad(stream, sighting),
        bad_from_us=sighting.bad_from_us,
        bad_to_us=sighting.bad_to_us,
    )


def _where(segment: Mapping[str, str]) -> str:
    return "".join(f" where {name} = {value}" for name, value in segment.items())


def _first_bad(stream: str, sighting: Sighting) -> FirstBad | None:
    place = sighting.first
    if place is None:
        return None
    topic = events(stream).name
    return FirstBad(topic, place.partition, place.offset, place.row, place.event_us, place.value)
