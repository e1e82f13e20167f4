"""Windows: drift counted per batch and judged when a window is over, cohorts as labels come."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tidemill_common import metrics
from tidemill_monitoring import drift, findings, quality, rows
from tidemill_monitoring.alerts import Kind, Moment
from tidemill_monitoring.driftcount import Layout, WindowCounts
from tidemill_monitoring.quality import Cohort

if TYPE_CHECKING:
    from tidemill_monitoring.announcing import Announcer
    from tidemill_monitoring.decoding import Decoded
    from tidemill_monitoring.definitions import ModelDefinition
    from tidemill_monitoring.references import References
    from tidemill_monitoring.store import DriftKey, Step

GRACE_PARTS = 24
LOOK_PARTS = 8
SAMPLE_ROWS = 2_000
SILENT_WINDOWS = 1


def window_of(t_us: int, window_us: int) -> int:
    """Give the start of the window in which a time lies."""
    return t_us - t_us % window_us


def is_over(start_us: int, model: ModelDefinition, frontier_us: int) -> bool:
    """Say whether a window is over: rows of its last moments have had time to arrive."""
    return start_us + model.window_us + model.window_us // GRACE_PARTS <= frontier_us


class Drifts:
    """Counts of the windows that are not judged yet."""

    def __init__(
        self, open_: dict[DriftKey, WindowCounts], judged: dict[tuple[str, int], int]
    ) -> None:
        """Go on from what the database has."""
        self._open = open_
        self._judged = judged
        self._sampled: dict[tuple[str, int], int] = defaultdict(int)

    async def count(
        self, step: Step, model: ModelDefinition, decoded: Decoded, references: References
    ) -> None:
        """Add a step's predictions to their windows; keep some with their inputs for reports."""
        if model.name not in decoded.predictions:
            return
        answered = decoded.predictions[model.name].rows
        sampled = decoded.predictions[model.name].sampled
        samples = _by_window(sampled, model.window_us)
        for frame_key, part in _by_window(answered, model.window_us).items():
            version, start = frame_key
            layout = references.known(model.name, version)
            if layout is None:
                continue
            ours = samples.get(frame_key, sampled.clear())
            key = (model.name, version, start)
            self._open[key] = _counted(self._open.get(key), layout, part, ours)
            await step.save_drift_count(key, self._open[key], judged=False)
        await self._sample(step, model, sampled)

    async def _sample(self, step: Step, model: ModelDefinition, sampled: pl.DataFrame) -> None:
        if not sampled.height:
            return
        key = (model.name, window_of(int(str(sampled["t"].max())), model.window_us))
        room = SAMPLE_ROWS - self._sampled[key]
        kept = sampled.head(max(room, 0))
        if kept.height:
            self._sampled[key] += kept.height
            await step.add_sample(model.name, kept)

    async def judge(
        self,
        step: Step,
        model: ModelDefinition,
        references: References,
        announcer: Announcer,
        frontier_us: int,
        at: Moment,
    ) -> None:
        """Judge every window of a model that is over, oldest first."""
        over = sorted(
            (
                key
                for key in self._open
                if key[0] == model.name and is_over(key[2], model, frontier_us)
            ),
            key=lambda key: (key[2], key[1]),
        )
        for start in sorted({key[2] for key in over}):
            window = {key: self._open.pop(key) for key in over if key[2] == start}
            for key, counted in window.items():
                await step.save_drift_count(key, counted, judged=True)
                layout = references.known(key[0], key[1])
                if layout is not None:
                    whole = counted.covers(list(window.values()))
                    await self._judge_window(
                        step, model, key, counted, layout, announcer, at, whole=whole
                    )
            await _retire(step, model, {key[1] for key in window}, announcer, at)
        self._sampled = defaultdict(
            int, {k: n for k, n in self._sampled.items() if not is_over(k[1], model, frontier_us)}
        )

    async def _judge_window(
        self,
        step: Step,
        model: ModelDefinition,
        key: DriftKey,
        counted: WindowCounts,
        layout: Layout,
        announcer: Announcer,
        at: Moment,
        *,
        whole: bool,
    ) -> None:
        before = self._judged.get(key[:2], 0)
        self._judged[key[:2]] = before + 1
        drifts = layout.drifts(counted.counts, model.min_rows)
        if not drifts or not whole:
            return
        alpha = drift.alpha_of(model.window_us, model.quiet_days)
        judged = drift.judge(drifts, alpha=alpha, floor=model.effect_floor)
        lines = [
            (one.drift.subject, one.drift.rows, one.drift.effect, one.drift.p_value, one.drifted)
            for one in judged
        ]
        await step.save_drift_windows(key, key[2] + model.window_us, lines)
        for one in sorted(judged, key=lambda one: one.rank)[:10]:
            labels = {"model": model.name, "feature": one.drift.subject}
            metrics.gauge("tidemill_drift_effect_ratio", **labels).set(one.drift.effect)
            metrics.gauge("tidemill_drift_pvalue", **labels).set(one.drift.p_value)
        if before < SILENT_WINDOWS or announcer.data_is_bad(model.name):
            return
        told = findings.drift_findings(model.name, key[1], judged, layout.reference)
        await announcer.tell(step, told, at)


def _by_window(frame: pl.DataFrame, window_us: int) -> dict[tuple[int, int], pl.DataFrame]:
    """Split rows by version and window."""
    start = pl.col("t") - pl.col("t") % window_us
    parts = frame.with_columns(start.alias("_window")).partition_by(
        "version", "_window", as_dict=True
    )
    return {(int(key[0]), int(key[1])): part for key, part in parts.items()}


def _counted(
    before: WindowCounts | None, layout: Layout, answered: pl.DataFrame, sampled: pl.DataFrame
) -> WindowCounts:
    if before is None or before.counts.size != layout.size:
        before = WindowCounts(np.zeros(layout.size, dtype=np.int64))
    fitting, vectors = layout.vectors(sampled)
    known = rows.categories(fitting, layout.categorical) if fitting.height else {}
    counts = layout.count(answered["score"].to_numpy(), vectors, known)
    return before.plus(counts, answered["t"].to_numpy(), fitting.height)


async def _retire(
    step: Step, model: ModelDefinition, versions: set[int], announcer: Announcer, at: Moment
) -> None:
    """End alerts of versions that answered nothing in a whole window."""
    gone = [
        alert
        for alert in announcer.open()
        if alert.subject.model == model.name
        and alert.subject.kind is not Kind.DATA
        and alert.subject.version not in versions
    ]
    await announcer.dismiss(step, gone, at)


class Cohorts:
    """Cohorts that may still change, and the coverage that is usual."""

    def __init__(self) -> None:
        """Begin with nothing; `load` fills it."""
        self._known: dict[tuple[str, int, int], Cohort] = {}
        self._finals: dict[str, list[float]] = defaultdict(list)
        self._looked: dict[str, int] = {}

    def load(self, cohorts: list[Cohort]) -> None:
        """Take over the newest revisions that the database has (newest first)."""
        for cohort in reversed(cohorts):
            self._keep(cohort)

    def _keep(self, cohort: Cohort) -> None:
        self._known[cohort.model, cohort.version, cohort.from_us] = cohort
        if cohort.final:
            self._finals[cohort.model] = [*self._finals[cohort.model], cohort.coverage][-14:]

    async def judge(
        self,
        step: Step,
        model: ModelDefinition,
        references: References,
        announcer: Announcer,
        frontier_us: int,
        at: Moment,
    ) -> None:
        """Look at every window of a model that is over and not final, eight times a window."""
        part = frontier_us // (model.window_us // LOOK_PARTS)
        if self._looked.get(model.name) == part:
            return
        self._looked[model.name] = part
        newest = window_of(frontier_us, model.window_us)
        oldest = window_of(frontier_us - model.max_delay_us - model.window_us, model.window_us)
        for start in range(oldest - model.window_us, newest + 1, model.window_us):
            if is_over(start, model, frontier_us) and not self._is_final(model.name, start):
                await self._window(step, model, start, references, announcer, frontier_us, at)

    def _is_final(self, model: str, start: int) -> bool:
        known = [cohort for key, cohort in self._known.items() if key[::2] == (model, start)]
        return bool(known) and all(cohort.final for cohort in known)

    async def _window(
        self,
        step: Step,
        model: ModelDefinition,
        start: int,
        references: References,
        announcer: Announcer,
        frontier_us: int,
        at: Moment,
    ) -> None:
        end = start + model.window_us
        table = await step.cohort_rows(model.name, start, end, model.max_delay_us)
        passed = is_over(start + model.max_delay_us, model, frontier_us)
        for (version,), part in table.partition_by("version", as_dict=True).items():
            before = self._known.get((model.name, int(version), start))
            cohort = self._cohort(model, int(version), start, part, before, passed=passed)
            if cohort is None:
                continue
            await step.save_cohort(cohort, at.stream_us)
            self._keep(cohort)
            _show(model, cohort)
            if cohort.mature and (before is None or not before.mature):
                await self._tell(step, model, cohort, references, announcer, at)

    def _cohort(
        self,
        model: ModelDefinition,
        version: int,
        start: int,
        part: pl.DataFrame,
        before: Cohort | None,
        *,
        passed: bool,
    ) -> Cohort | None:
        """Give the next revision of a cohort; None when it says nothing new."""
        known = part.filter(pl.col("value").is_not_null())
        label, score = known["value"].to_numpy(), known["score"].to_numpy()
        expected = quality.expected_coverage(self._finals[model.name])
        coverage = known.height / part.height
        mature = quality.is_mature(coverage, expected, delay_passed=passed)
        if before is not None and (
            before.final or (before.mature, before.final) == (mature, passed)
        ):
            return None
        error = quality.standard_error(model.quality_metric, label, score)
        return Cohort(
            model=model.name,
            version=version,
            from_us=start,
            to_us=start + model.window_us,
            predictions=part.height,
            labelled=known.height,
            metrics=quality.metrics(model.task, label, score),
            mature=mature,
            final=passed,
            error=error if math.isfinite(error) else math.inf,
            revision=before.revision + 1 if before else 0,
        )

    async def _tell(
        self,
        step: Step,
        model: ModelDefinition,
        cohort: Cohort,
        references: References,
        announcer: Announcer,
        at: Moment,
    ) -> None:
        reference = self._reference(model, cohort, references)
        if reference is None:
            return
        finding = findings.quality_finding(model, cohort, *reference)
        if finding is not None:
            await announcer.tell(step, [finding], at)

    def _reference(
        self, model: ModelDefinition, cohort: Cohort, references: References
    ) -> tuple[float, int] | None:
        """Give the version's quality on its test rows, else in its first mature cohort."""
        layout = references.known(model.name, cohort.version)
        if layout is not None and model.quality_metric in layout.reference.metrics:
            return layout.reference.metrics[model.quality_metric], layout.reference.metric_rows
        first = min(
            (
                known
                for key, known in self._known.items()
                if key[:2] == (model.name, cohort.version)
                and known.mature
                and known.labelled >= model.min_rows
                and key[2] < cohort.from_us
            ),
            key=lambda known: known.from_us,
            default=None,
        )
        if first is None or model.quality_metric not in first.metrics:
            return None
        return first.metrics[model.quality_metric], first.labelled


def _show(model: ModelDefinition, cohort: Cohort) -> None:
    if not cohort.mature:
        return
    metrics.gauge("tidemill_label_coverage_ratio", model=model.name).set(cohort.coverage)
    values: Mapping[str, float] = cohort.metrics
    for name, value in values.items():
        metrics.gauge(
            "tidemill_model_quality",
            model=model.name,
            version=str(cohort.version),
            measure=name,
        ).set(value)
