"""Rows for a report: what is compared with what. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from tidemill_common.reference import PREDICTIONS, Bins, NumericBins
from tidemill_monitoring import rows
from tidemill_monitoring.driftcount import Layout
from tidemill_monitoring.fieldstate import CLOCK, TIME, Watched
from tidemill_monitoring.signedlog import Floats

REFERENCE_ROWS = 2_000
MAX_ROWS = 10_000


def reference_rows(
    layout: Layout, names: Sequence[str], count: int = REFERENCE_ROWS
) -> pl.DataFrame:
    """Draw rows from a version's bins: each column's distribution is right, joint ones are not."""
    generator = np.random.default_rng(7)
    columns = {
        bins.name: _column(bins, count, generator)
        for bins in layout.subjects
        if bins.name in names and bins.rows
    }
    return pl.DataFrame(columns)


def _column(bins: Bins, count: int, generator: np.random.Generator) -> pl.Series:
    if not isinstance(bins, NumericBins):
        values = [*bins.values, "(other)", None]
        weights = np.asarray([*bins.counts, bins.other, bins.missing], dtype=np.float64)
        chosen = generator.choice(len(values), count, p=weights / weights.sum())
        return pl.Series(bins.name, [values[i] for i in chosen], dtype=pl.String)
    drawn = _numbers(bins, count, generator)
    drawn[generator.random(count) < bins.missing / bins.rows] = np.nan
    return pl.Series(bins.name, drawn).fill_nan(None)


def _numbers(bins: NumericBins, count: int, generator: np.random.Generator) -> Floats:
    weights = np.asarray(bins.counts[1:-1], dtype=np.float64)
    if not bins.edges or weights.sum() == 0:
        return np.full(count, np.nan)
    cells = generator.choice(weights.size, count, p=weights / weights.sum())
    edges = np.asarray(bins.edges)
    drawn: Floats = edges[cells] + (edges[cells + 1] - edges[cells]) * generator.random(count)
    return drawn


def prediction_rows(layout: Layout, samples: Sequence[pl.DataFrame], version: int) -> pl.DataFrame:
    """Give sampled predictions of one version as columns: score, numeric inputs, categories."""
    if not samples:
        return pl.DataFrame()
    sampled = pl.concat(samples).filter(pl.col("version") == version).head(MAX_ROWS)
    fitting, vectors = layout.vectors(sampled)
    if not fitting.height:
        return pl.DataFrame()
    numeric = {name: vectors[:, i] for i, name in enumerate(layout.numeric)}
    texts = rows.categories(fitting, layout.categorical)
    frame = pl.DataFrame({PREDICTIONS: fitting["score"], **numeric}).fill_nan(None)
    return frame.with_columns(pl.Series(name, column, pl.String) for name, column in texts.items())


def field_rows(
    watched: Watched, kept: pl.DataFrame, bad_from_us: int, segment: dict[str, str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split a stream's newest rows: those before a fault, and those of its segment since then."""
    since = kept.filter(pl.col(TIME) >= bad_from_us)
    for name, value in segment.items():
        since = since.filter(pl.col(name) == value)
    few = [name for name in watched.strings if kept[name].n_unique() <= 64]
    columns = [*watched.numeric, *few]
    before = kept.filter(pl.col(TIME) < bad_from_us).sort(CLOCK)
    return before.select(columns).tail(MAX_ROWS), since.select(columns).tail(MAX_ROWS)
