"""What the watch over a stream's raw fields remembers: newest rows, the past, bad spans. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from tidemill_monitoring.fields import DAY_US, Candidate, Oddity, Past, Segment, Shape
from tidemill_monitoring.signedlog import Floats

QUARANTINE_US = DAY_US
KEEP_US = 3 * DAY_US
KEEP_ROWS = 50_000
CLOCK, TIME, PARTITION, OFFSET, ROW = "_clock", "_time", "_partition", "_offset", "_row"
IDENTITY = "_identity"
PLACE = {
    CLOCK: pl.Int64,
    TIME: pl.Int64,
    PARTITION: pl.Int32,
    OFFSET: pl.Int64,
    ROW: pl.Int32,
    IDENTITY: pl.Int64,
}


@dataclass(frozen=True, slots=True)
class Watched:
    """What of a stream is judged: numeric fields, and the string fields that may name a segment."""

    stream: str
    numeric: tuple[str, ...]
    strings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of a field that are bad: of one segment, from one event time to another (None: open).

    Rows up to the stream time `since_us` were judged.

    `level` is the share of odd values when it was found, `factor` that of a change of unit.
    """

    field: str
    segment: Segment
    from_us: int
    to_us: int | None
    since_us: int
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
    """Everything that the watch remembers of one stream; rows are kept in the order of their clock.

    Rows up to `looked_us` were looked at, those up to `learnt_us` are part of the past.
    """

    rows: pl.DataFrame
    pasts: Mapping[str, Past] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    looked_us: int = 0
    learnt_us: int = 0

    def until(self, now_us: int) -> pl.DataFrame:
        """Give the rows up to a stream time."""
        return self.rows[: self.place(now_us)]

    def place(self, clock_us: int) -> int:
        """Give how many rows lie at or before a stream time."""
        return int(np.searchsorted(self.rows[CLOCK].to_numpy(), clock_us, side="right"))


def empty(watched: Watched) -> FieldState:
    """Give the state before any row."""
    return FieldState(rows=pl.DataFrame(schema=schema(watched)))


def schema(watched: Watched) -> dict[str, type[pl.DataType]]:
    """Give the columns of the rows that are kept."""
    return {
        **PLACE,
        **dict.fromkeys(watched.numeric, pl.Float64),
        **dict.fromkeys(watched.strings, pl.String),
    }


def append(state: FieldState, rows: pl.DataFrame) -> tuple[FieldState, pl.DataFrame]:
    """Add rows (columns of `schema`); gives those that were new, too.

    An event that is among the kept rows already is left out: a retry says nothing new.
    """
    identity = rows[IDENTITY].to_numpy()
    _, first = np.unique(identity, return_index=True)
    new = np.zeros(identity.size, dtype=np.bool_)
    new[first] = True
    new &= ~np.isin(identity, state.rows[IDENTITY].to_numpy())
    rows = rows if new.all() else rows.filter(pl.Series(new))
    return replace(state, rows=in_order(state.rows.vstack(rows))), rows


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Sort rows by their clock; a tie is broken by the place in the topic."""
    clock = rows[CLOCK].to_numpy()
    if clock.size < 2 or bool((clock[1:] > clock[:-1]).all()):
        return rows
    return rows.sort(CLOCK, PARTITION, OFFSET, ROW, maintain_order=True)


def close(state: FieldState, name: str) -> FieldState:
    """End the open span of a field: its alert is over. Rows after the last bad one are good."""
    spans = tuple(
        replace(span, to_us=max(span.from_us, span.last_us))
        if span.field == name and span.to_us is None
        else span
        for span in state.spans
    )
    return replace(state, spans=spans)


def learn(watched: Watched, state: FieldState, now_us: int) -> FieldState:
    """Let old rows become part of the past, and forget those that nothing needs any more.

    A busy stream's rows wait shorter, so that no more than `KEEP_ROWS` of those seen are kept.
    """
    seen = state.until(now_us)
    if not seen.height:
        return state
    clock = seen[CLOCK].to_numpy()
    forced = int(clock[seen.height - KEEP_ROWS]) if seen.height > KEEP_ROWS else 0
    learnt_us = max(now_us - QUARANTINE_US, forced, state.learnt_us)
    ready = seen[state.place(state.learnt_us) : state.place(learnt_us)]
    pasts = dict(state.pasts)
    if ready.height:
        oldest, newest = int(ready[CLOCK][0]), int(ready[CLOCK][-1])
        for name in watched.numeric:
            good = values_of(_good(ready, name, state.spans), name)
            pasts[name] = pasts.get(name, Past()).add(good, oldest, newest)
    gone = state.place(max(now_us - KEEP_US, forced))
    spans = tuple(s for s in state.spans if s.to_us is None or s.to_us > now_us - 2 * KEEP_US)
    rows = state.rows[gone:].rechunk()
    return replace(state, rows=rows, pasts=pasts, learnt_us=learnt_us, spans=spans)


def _good(rows: pl.DataFrame, name: str, spans: tuple[Span, ...]) -> pl.DataFrame:
    """Leave out the rows that lie in a bad span of the field."""
    for span in spans:
        if span.field == name:
            rows = rows.filter(~inside(span))
    return rows


def inside(span: Span) -> pl.Expr:
    """Give the condition for rows of a bad span."""
    condition = pl.col(TIME) >= span.from_us
    if span.to_us is not None:
        condition &= pl.col(TIME) <= span.to_us
    if span.segment.name:
        condition &= (pl.col(span.segment.name) == span.segment.value).fill_null(value=False)
    return condition


def values_of(rows: pl.DataFrame, name: str) -> Floats:
    """Give a field's values; missing ones are NaN."""
    return rows[name].fill_null(np.nan).to_numpy()
