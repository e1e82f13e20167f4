"""Features of one entity over time, as a read would have answered at each moment: pure.

The moments are those at which a value can change: an event becomes available, a tile leaves a
window, a value expires. The engine's replay answers them, as it does for training sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from tidemill_tiles.columns import EventBatch
from tidemill_tiles.definitions import hop_of, normalised
from tidemill_tiles.keys import key_column_of
from tidemill_tiles.replay import History, replay
from tidemill_tiles.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import numpy.typing as npt

    from tidemill_features.entityevents import EntityEvents
    from tidemill_tiles.plan import Plan

T = TypeVar("T", bound=np.generic)

MAX_MOMENTS: Final = 20_000
"""That one answer looks at; of more, the newest."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when (None: the first event) to when, and how often besides the changes (0: never)."""

    since_us: int | None
    until_us: int
    every_us: int = 0


@dataclass(frozen=True, slots=True)
class Course:
    """Values and statuses [n, f] of some features at n moments; `cut`: older ones were left out."""

    at_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    status: npt.NDArray[np.uint8]
    cut: bool


def course(
    plan: Plan,
    events: Sequence[EntityEvents],
    key: bytes,
    features: Sequence[str],
    span: Span,
    limit: int,
) -> Course:
    """Return how features of an entity went: at both ends of the span and at every change.

    Of more than `limit` rows, the newest.
    """
    past = in_time(events, key)
    at_us = moments(plan, past, features, span)
    kept = at_us[-MAX_MOMENTS:]
    entity = np.repeat(key_column_of([key]).hashes, len(kept), axis=0)
    reading = replay(plan, [past], entity, kept)
    places = [plan.features.index(name) for name in features]
    values = np.ascontiguousarray(reading.values[:, places])
    status = np.ascontiguousarray(reading.status[:, places])
    rows = _changes(values, status) | _regular(kept, span)
    shown = np.flatnonzero(rows)
    newest = shown[-limit:]
    cut = len(kept) < len(at_us) or len(newest) < len(shown)
    return Course(kept[newest], values[newest], status[newest], cut)


def in_time(events: Sequence[EntityEvents], key: bytes) -> History:
    """Return the events of one entity that were applied, in the order in which they were known."""
    rows = [np.flatnonzero(one.verdict == Verdict.APPLIED) for one in events]
    parts = [(one.batch, some) for one, some in zip(events, rows, strict=True)]
    available = np.concatenate(
        [one.available_us[some] for one, some in zip(events, rows, strict=True)]
    )
    order = np.argsort(available, kind="stable")
    batch = EventBatch(
        key_column_of([key] * len(order)),
        np.concatenate([one.time_us[some] for one, some in parts])[order],
        np.concatenate([one.tie[some] for one, some in parts])[order],
        _taken([one.values[:, some] for one, some in parts], order),
        _taken([one.valid[:, some] for one, some in parts], order),
        _taken([one.filters[:, some] for one, some in parts], order),
        np.concatenate([one.keep[some] for one, some in parts])[order],
    )
    return History(batch, available[order])


def _taken(parts: Sequence[npt.NDArray[T]], order: npt.NDArray[np.int64]) -> npt.NDArray[T]:
    return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, order])


def moments(
    plan: Plan, past: History, features: Collection[str], span: Span
) -> npt.NDArray[np.int64]:
    """Return when a value of these features can change, within the span, and the span's ends."""
    found = np.concatenate([past.available_us, *_leaving(plan, past.batch.time_us, features)])
    first = span.since_us
    if first is None:
        first = int(found.min(initial=span.until_us))
    ends = [span.until_us] if span.since_us is None else [span.since_us, span.until_us]
    whole = np.concatenate([found, np.array(ends, dtype=np.int64), grid(first, span)])
    return np.unique(whole[(whole >= first) & (whole <= span.until_us)])


def grid(first_us: int, span: Span) -> npt.NDArray[np.int64]:
    """Return regular moments up to the end of the span, as many as one answer may have."""
    if not span.every_us:
        return np.empty(0, dtype=np.int64)
    count = min((span.until_us - first_us) // span.every_us, MAX_MOMENTS)
    return span.until_us - span.every_us * np.arange(count, -1, -1, dtype=np.int64)


def _leaving(
    plan: Plan, time_us: npt.NDArray[np.int64], features: Collection[str]
) -> Iterator[npt.NDArray[np.int64]]:
    """Give the first moments at which events are in a window no more, or too old."""
    kinds = {one.name: one for one in normalised(plan.definition).aggregations}
    names = {name for asked in features for name in (asked, *kinds[asked].operands)}
    windows = {
        (hop, one.window_us, one.name in names)
        for one in kinds.values()
        if (hop := hop_of(one)) is not None and one.window_us is not None
    }
    last = np.full(len(time_us), np.iinfo(np.int64).min, dtype=np.int64)
    for hop, window, asked in windows:
        # Tile k covers (k * hop, (k + 1) * hop] and is read while the head is below k + window/hop.
        gone = ((time_us - 1) // hop + window // hop) * hop + 1
        last = np.maximum(last, gone)
        if asked:
            yield gone
    if windows:
        yield last  # from then on the entity is not found
    if plan.definition.ttl_us is not None:
        yield time_us + plan.definition.ttl_us + 1


def _changes(
    values: npt.NDArray[np.float64], status: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """Say which rows differ from the one before; the first and the last always do."""
    changed = np.ones(len(values), dtype=np.bool_)
    bits = values.view(np.int64)
    if len(values) > 1:
        same = (bits[1:] == bits[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
        changed[1:] = ~np.all(same & (status[1:] == status[:-1]), axis=1)
        changed[-1] = True
    return changed


def _regular(at_us: npt.NDArray[np.int64], span: Span) -> npt.NDArray[np.bool_]:
    """Say which moments were asked for beside the changes."""
    if not span.every_us:
        return np.zeros(len(at_us), dtype=np.bool_)
    return np.asarray((span.until_us - at_us) % span.every_us == 0, dtype=np.bool_)
