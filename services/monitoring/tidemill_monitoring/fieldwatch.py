"""The watch over one stream's raw fields: newest rows in, findings out. Pure: no clock, no I/O.

Steps of `judge`, at most once per hour of stream time or thousand rows:
1. a field without an open finding is looked at over its newest rows, in all and per segment;
2. a field with one is looked at over the rows of its segment that came since the last look;
3. rows older than a day become part of the past, unless they lie in a bad span.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from tidemill_common.reference import NumericBins
from tidemill_monitoring import fields
from tidemill_monitoring.fields import (
    DAY_US,
    HOUR_US,
    Candidate,
    Oddity,
    Past,
    Segment,
    Shape,
    Usual,
)
from tidemill_monitoring.signedlog import Floats

LOOK_US = HOUR_US
LOOK_ROWS = 1_000
SPAN_US = 6 * HOUR_US
QUARANTINE_US = DAY_US
KEEP_US = 3 * DAY_US
KEEP_ROWS = 50_000
MAX_SEGMENT_VALUES = 64
FRESH_ROWS = 10
CLOCK, TIME, PARTITION, OFFSET, ROW, SEQUENCE = (
    "_clock",
    "_time",
    "_partition",
    "_offset",
    "_row",
    "_seq",
)
PLACE = {CLOCK: pl.Int64, TIME: pl.Int64, PARTITION: pl.Int32, OFFSET: pl.Int64, ROW: pl.Int32}


@dataclass(frozen=True, slots=True)
class Watched:
    """What of a stream is judged: numeric fields, and the string fields that may name a segment."""

    stream: str
    numeric: tuple[str, ...]
    strings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of a field that are bad: of one segment, from one event time to another (None: open).

    `level` is the share of odd values when it was found, `factor` that of a change of unit.
    """

    field: str
    segment: Segment
    from_us: int
    to_us: int | None
    since: int
    kind: str
    level: float
    factor: float
    last_us: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is: enough to find it again."""

    partition: int
    offset: int
    row: int
    event_us: int
    value: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a look at one field says; `shape` and `first` only when something new was found."""

    field: str
    segment: Segment
    odd: Oddity | None
    shape: Shape | None = None
    first: Place | None = None
    others: tuple[Candidate, ...] = ()
    bad_from_us: int | None = None
    bad_to_us: int | None = None
    level: float = 0.0


@dataclass(frozen=True, slots=True)
class FieldState:
    """Everything that the watch remembers of one stream."""

    rows: pl.DataFrame
    pasts: Mapping[str, Past] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    next_seq: int = 0
    looked_seq: int = 0
    looked_us: int = 0
    learnt_seq: int = 0


def empty(watched: Watched) -> FieldState:
    """Give the state before any row."""
    return FieldState(rows=pl.DataFrame(schema=schema(watched)))


def schema(watched: Watched) -> dict[str, type[pl.DataType]]:
    """Give the columns of the rows that are kept."""
    return {
        **PLACE,
        **dict.fromkeys(watched.numeric, pl.Float64),
        **dict.fromkeys(watched.strings, pl.String),
        SEQUENCE: pl.Int64,
    }


def append(state: FieldState, rows: pl.DataFrame) -> FieldState:
    """Add rows (columns of `schema` without the sequence) in the order of their arrival."""
    end = state.next_seq + rows.height
    sequence = pl.Series(SEQUENCE, np.arange(state.next_seq, end), dtype=pl.Int64)
    return replace(state, rows=state.rows.vstack(rows.hstack([sequence])), next_seq=end)


def is_due(state: FieldState, now_us: int) -> bool:
    """Say whether it is time for a look."""
    fresh = state.next_seq - state.looked_seq
    return fresh >= LOOK_ROWS or (fresh > 0 and now_us - state.looked_us >= LOOK_US)


def judge(
    watched: Watched, state: FieldState, now_us: int, profiles: Mapping[str, NumericBins]
) -> tuple[FieldState, list[Sighting]]:
    """Look at every field; give the state afterwards and what was seen."""
    rows = state.rows
    sightings: list[Sighting] = []
    spans = list(state.spans)
    known = {
        name: fields.usual(state.pasts.get(name, Past()), profiles.get(name))
        for name in watched.numeric
    }
    opened = {span.field: span for span in spans if span.to_us is None}
    closed_names = {name: use for name, use in known.items() if use and name not in opened}
    if closed_names and rows.height:
        found = _search(watched, rows, closed_names, state, now_us)
        sightings += found
        spans += [_span_of(sighting, state.next_seq) for sighting in found]
    for name, span in opened.items():
        usual = known[name]
        if usual is None:
            continue
        again = _again(rows, span, usual)
        if again is None:
            continue
        sightings.append(again)
        last = max(span.last_us, again.bad_to_us or 0)
        spans[spans.index(span)] = replace(span, since=state.next_seq, last_us=last)
    looked = replace(state, spans=tuple(spans), looked_seq=state.next_seq, looked_us=now_us)
    return _learn(watched, looked, now_us), sightings


def _span_of(sighting: Sighting, since: int) -> Span:
    return Span(
        field=sighting.field,
        segment=sighting.segment,
        from_us=sighting.bad_from_us or 0,
        to_us=None,
        since=since,
        kind=sighting.odd.kind if sighting.odd else "far",
        level=sighting.level,
        factor=sighting.shape.factor if sighting.shape else 0.0,
        last_us=sighting.bad_to_us or 0,
    )


def close(state: FieldState, name: str) -> FieldState:
    """End the open span of a field: its alert is over. Rows after the last bad one are good."""
    spans = tuple(
        replace(span, to_us=max(span.from_us, span.last_us))
        if span.field == name and span.to_us is None
        else span
        for span in state.spans
    )
    return replace(state, spans=spans)


def _search(
    watched: Watched,
    rows: pl.DataFrame,
    known: Mapping[str, Usual],
    state: FieldState,
    now_us: int,
) -> list[Sighting]:
    """Find fields with too many odd values, and in which segment they are."""
    frame = _flagged(rows, known)
    segments = [name for name in watched.strings if rows[name].n_unique() <= MAX_SEGMENT_VALUES]
    candidates: dict[str, list[Candidate]] = {}
    for segment in ("", *segments):
        for name, found in _candidates(frame, segment, known, state, now_us):
            candidates.setdefault(name, []).append(found)
    return [
        _diagnose(rows, name, fields.choose(found), known[name])
        for name, found in candidates.items()
    ]


def _flagged(rows: pl.DataFrame, known: Mapping[str, Usual]) -> pl.DataFrame:
    columns = []
    for name, usual in known.items():
        odd = fields.flags(_values(rows, name), usual)
        columns += [
            pl.Series(f"{name}:far", odd.far),
            pl.Series(f"{name}:small", odd.small),
            pl.Series(f"{name}:missing", odd.missing),
        ]
    return rows.with_columns(columns)


def _values(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].fill_null(np.nan).to_numpy()


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
        pl.len().alias("_rows"), (pl.col(SEQUENCE).max() >= state.looked_seq).alias("_fresh"), *sums
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


def _diagnose(rows: pl.DataFrame, name: str, ranked: list[Candidate], known: Usual) -> Sighting:
    """Find the first bad row of the segment that explains it best, and what happened there."""
    best = ranked[0]
    mine = _of(rows, best.segment).sort(CLOCK, SEQUENCE, maintain_order=True)
    values = _values(mine, name)
    mask = fields.mask_of(best.odd, values, known)
    start = fields.onset(mask, best.odd.usual_rate)
    shape = fields.shape(best.odd, values[start:], known)
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
    fresh = _of(rows.filter(pl.col(SEQUENCE) >= span.since), span.segment)
    if fresh.height < FRESH_ROWS:
        return None
    fresh = fresh.sort(CLOCK, SEQUENCE, maintain_order=True)
    values = _values(fresh, span.field)
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


def _learn(watched: Watched, state: FieldState, now_us: int) -> FieldState:
    """Let old rows become part of the past, and forget those that nothing needs any more."""
    rows = state.rows
    if not rows.height:
        return state
    clock = np.maximum.accumulate(rows[CLOCK].to_numpy())
    old = int(np.searchsorted(clock, now_us - QUARANTINE_US, side="right"))
    forced = max(0, rows.height - KEEP_ROWS)
    ready = rows[: max(old, forced)].filter(pl.col(SEQUENCE) >= state.learnt_seq)
    pasts = dict(state.pasts)
    if ready.height:
        newest = int(ready[CLOCK].to_numpy().max())
        for name in watched.numeric:
            good = _good(ready, name, state.spans)
            pasts[name] = pasts.get(name, Past()).add(_values(good, name), newest)
    gone = max(int(np.searchsorted(clock, now_us - KEEP_US, side="right")), forced)
    learnt = int(ready[SEQUENCE][-1]) + 1 if ready.height else state.learnt_seq
    keep = tuple(s for s in state.spans if s.to_us is None or s.to_us > now_us - 2 * KEEP_US)
    return replace(state, rows=rows[gone:].rechunk(), pasts=pasts, learnt_seq=learnt, spans=keep)


def _good(rows: pl.DataFrame, name: str, spans: tuple[Span, ...]) -> pl.DataFrame:
    """Leave out the rows that lie in a bad span of the field."""
    for span in spans:
        if span.field != name:
            continue
        inside = pl.col(TIME) >= span.from_us
        if span.to_us is not None:
            inside &= pl.col(TIME) <= span.to_us
        if span.segment.name:
            inside &= (pl.col(span.segment.name) == span.segment.value).fill_null(value=False)
        rows = rows.filter(~inside)
    return rows
