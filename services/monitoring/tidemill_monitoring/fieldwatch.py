"""The watch over one stream's raw fields: newest rows in, findings out. Pure: no clock, no I/O.

Steps of `judge`, at most once per hour of stream time or thousand rows:
1. a field without an open finding is looked at over its newest rows, in all and per segment;
2. a field with one is looked at over the rows of its segment that came since the last look;
3. rows older than a day become part of the past, unless they lie in a bad span.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from tidemill_common.reference import NumericBins
from tidemill_monitoring import fields
from tidemill_monitoring.fields import HOUR_US, Candidate, Oddity, Past, Segment, Usual
from tidemill_monitoring.fieldstate import (
    CLOCK,
    OFFSET,
    PARTITION,
    ROW,
    TIME,
    FieldState,
    Place,
    Sighting,
    Span,
    Watched,
    inside,
    learn,
    values_of,
)
from tidemill_monitoring.signedlog import Floats

LOOK_US = HOUR_US
LOOK_ROWS = 1_000
SPAN_US = 6 * HOUR_US
MAX_SEGMENT_VALUES = 64
FRESH_ROWS = 10


def next_look(state: FieldState, frontier_us: int) -> int | None:
    """Give the stream time of the next look, None: nothing new is due by the frontier.

    That is an hour, or a thousand rows, after the first row that no look has seen. So it is the
    same whether rows come one by one or, after an outage, a week at once.
    """
    clock = state.rows[CLOCK].to_numpy()
    start, end = state.place(state.looked_us), state.place(frontier_us)
    if start >= end:
        return None
    due = int(clock[start]) + LOOK_US
    if end - start >= LOOK_ROWS:
        due = min(due, int(clock[start + LOOK_ROWS - 1]))
    return due if due <= frontier_us else None


def judge(
    watched: Watched, state: FieldState, now_us: int, profiles: Mapping[str, NumericBins]
) -> tuple[FieldState, list[Sighting]]:
    """Look at every field as of `now_us`; give the state afterwards and what was seen."""
    rows = state.until(now_us)
    spans = list(state.spans)
    known = {
        name: fields.usual(state.pasts.get(name, Past()), profiles.get(name))
        for name in watched.numeric
    }
    opened = {span.field: span for span in spans if span.to_us is None}
    fresh = rows[state.place(state.looked_us) :]
    searched = {
        name: use
        for name, use in known.items()
        if use and name not in opened and fields.is_worth_a_search(values_of(fresh, name), use)
    }
    sightings: list[Sighting] = []
    if searched:
        sightings = _search(watched, rows, searched, state, now_us)
        spans += [_span_of(sighting, now_us) for sighting in sightings]
    for name, span in opened.items():
        usual = known[name]
        again = _again(rows, span, usual) if usual is not None else None
        if again is None:
            continue
        sightings.append(again)
        last = max(span.last_us, again.bad_to_us or 0)
        spans[spans.index(span)] = replace(span, since_us=now_us, last_us=last)
    looked = replace(state, spans=tuple(spans), looked_us=now_us)
    return learn(watched, looked, now_us), sightings


def _span_of(sighting: Sighting, since_us: int) -> Span:
    return Span(
        field=sighting.field,
        segment=sighting.segment,
        from_us=sighting.bad_from_us or 0,
        to_us=None,
        since_us=since_us,
        kind=sighting.odd.kind if sighting.odd else "far",
        level=sighting.level,
        factor=sighting.shape.factor if sighting.shape else 0.0,
        last_us=sighting.bad_to_us or 0,
    )


def _search(
    watched: Watched,
    rows: pl.DataFrame,
    known: Mapping[str, Usual],
    state: FieldState,
    now_us: int,
) -> list[Sighting]:
    """Find fields with too many odd values, and in which segment they are."""
    frame = _flagged(rows, known, state.spans)
    segments = [name for name in watched.strings if rows[name].n_unique() <= MAX_SEGMENT_VALUES]
    candidates: dict[str, list[Candidate]] = {}
    for segment in ("", *segments):
        for name, found in _candidates(frame, segment, known, state, now_us):
            candidates.setdefault(name, []).append(found)
    sightings = [
        _diagnose(rows, name, fields.choose(found), known[name])
        for name, found in candidates.items()
    ]
    return [sighting for sighting in sightings if sighting is not None]


def _flagged(
    rows: pl.DataFrame, known: Mapping[str, Usual], spans: tuple[Span, ...]
) -> pl.DataFrame:
    """Say of each value what is odd about it; rows of a span that is over were judged already."""
    columns = []
    for name, usual in known.items():
        odd = fields.flags(values_of(rows, name), usual)
        told = np.zeros(rows.height, dtype=np.bool_)
        for span in spans:
            if span.field == name and span.to_us is not None:
                told |= rows.select(inside(span)).to_series().to_numpy()
        columns += [
            pl.Series(f"{name}:far", odd.far & ~told),
            pl.Series(f"{name}:small", odd.small & ~told),
            pl.Series(f"{name}:missing", odd.missing & ~told),
        ]
    return rows.with_columns(columns)


def _candidates(
    frame: pl.DataFrame,
    segment: str,
    known: Mapping[str, Usual],
    state: FieldState,
    now_us: int,
) -> list[tuple[str, Candidate]]:
    """Count odd values over each segment's newest rows: six hours, or at least the last few."""
    group = pl.col(segment) if segment else pl.lit("")
    age = pl.int_range(pl.len(), 0, -1, dtype=pl.Int64)
    newest = frame.with_columns(group.alias("_segment")).drop_nulls("_segment")
    newest = newest.with_columns(age.over("_segment").alias("_age"))
    recent = newest.filter(
        (pl.col("_age") <= LOOK_ROWS)
        & ((pl.col("_age") <= fields.MIN_FAR_ROWS) | (pl.col(CLOCK) > now_us - SPAN_US))
    )
    sums = [
        pl.col(f"{name}:{kind}").sum() for name in known for kind in ("far", "small", "missing")
    ]
    table = recent.group_by("_segment", maintain_order=True).agg(
        pl.len().alias("_rows"), (pl.col(CLOCK).max() > state.looked_us).alias("_fresh"), *sums
    )
    total = table.select(pl.exclude("_segment", "_fresh")).sum().row(0, named=True)
    return [
        (name, candidate)
        for counts in table.filter("_fresh").iter_rows(named=True)
        for name, usual in known.items()
        if (candidate := _candidate(segment, counts, name, usual, total)) is not None
    ]


def _candidate(
    segment: str, counts: Mapping[str, object], name: str, usual: Usual, total: Mapping[str, object]
) -> Candidate | None:
    kinds = [f"{name}:{kind}" for kind in ("far", "small", "missing")]
    rows = _int(counts["_rows"])
    odd = fields.oddity(usual, rows, *(_int(counts[kind]) for kind in kinds))
    if odd is None:
        return None
    column = f"{name}:{odd.kind}"
    others = _int(total["_rows"]) - rows
    rest = (_int(total[column]) - _int(counts[column])) / others if others else odd.usual_rate
    chosen = Segment(segment, str(counts["_segment"])) if segment else Segment()
    return Candidate(chosen, rows, odd, odd.share - rest)


def _int(value: object) -> int:
    return int(str(value))


def _of(rows: pl.DataFrame, segment: Segment) -> pl.DataFrame:
    return rows.filter(pl.col(segment.name) == segment.value) if segment.name else rows


def _diagnose(
    rows: pl.DataFrame, name: str, ranked: list[Candidate], known: Usual
) -> Sighting | None:
    """Find the first bad row of the segment that explains it best, and what happened there.

    None when values are small in a way that no other unit explains.
    """
    best = ranked[0]
    mine = _of(rows, best.segment)
    values = values_of(mine, name)
    mask = fields.mask_of(best.odd, values, known)
    start = fields.onset(mask, best.odd.usual_rate)
    shape = fields.shape(best.odd, values[start:], known)
    if best.odd.kind == "small" and not fields.is_scaled_down(values[start:], known):
        return None
    level = float(mask[start:].mean())
    start -= fields.while_multiples(values[:start][::-1], shape.factor)
    first = mine.row(start, named=True)
    return Sighting(
        field=name,
        segment=best.segment,
        odd=best.odd,
        shape=shape,
        first=Place(
            partition=first[PARTITION],
            offset=first[OFFSET],
            row=first[ROW],
            event_us=first[TIME],
            value="missing" if first[name] is None else f"{first[name]:g}",
        ),
        others=tuple(ranked[1:4]),
        bad_from_us=first[TIME],
        level=level,
        bad_to_us=int(mine[TIME].to_numpy()[np.flatnonzero(mask)[-1] :][0]),
    )


def _again(rows: pl.DataFrame, span: Span, known: Usual) -> Sighting | None:
    """Look at the rows of an open span's segment that came since the last look; None: too few."""
    fresh = _of(rows.filter(pl.col(CLOCK) > span.since_us), span.segment)
    if fresh.height < FRESH_ROWS:
        return None
    values = values_of(fresh, span.field)
    rate = {"far": known.far_rate, "small": known.small_rate}.get(span.kind, known.missing_rate)
    seen = Oddity(span.kind, 0.0, rate, 1.0)
    mask = fields.mask_of(seen, values, known)
    share = float(mask.mean())
    bad = share >= max(rate, span.level / 3.0)
    last = _last_bad(fresh, values, mask, span.factor, bad=bad)
    if bad:
        return Sighting(
            span.field, span.segment, replace(seen, share=share, p_value=0.0), bad_to_us=last
        )
    return Sighting(span.field, span.segment, None, bad_to_us=last)


def _last_bad(
    rows: pl.DataFrame, values: Floats, mask: fields.Mask, factor: float, *, bad: bool
) -> int | None:
    """Give the event time of the last bad row, None: none.

    Among good rows only the first ones can be left of a change of unit, and outliers are natural.
    """
    marked = np.flatnonzero(mask)
    start = int(marked[-1]) + 1 if marked.size and (bad or factor == 0.0) else 0
    end = start + fields.while_multiples(values[start:], factor)
    return int(rows[TIME].to_numpy()[:end].max()) if end else None
