"""Point-in-time values for training sets: the past, as serving would have answered it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill.errors import Invalid
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.kernels import sweep
from tidemill_tiles.reads import Reading, Status, intermediate, plan_arrays, ttl_of
from tidemill_tiles.table import TileTable

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from tidemill_tiles.columns import EventBatch
    from tidemill_tiles.plan import Plan

EVICT_EVERY: Final = 65_536
"""Labels between two evictions: memory follows the longest window, not the history."""


@dataclass(slots=True, eq=False)
class History:
    """A piece of the applied events of a view, in the order of `history_order`."""

    batch: EventBatch
    available_us: npt.NDArray[np.int64]


def history_order(
    available_us: npt.NDArray[np.int64],
    stream: npt.NDArray[np.int64],
    partition: npt.NDArray[np.int64],
    offset: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Return the order (available time, stream, partition, offset, row) of events."""
    return np.lexsort((row, offset, partition, stream, available_us)).astype(np.int64, copy=False)


def replay(
    plan: Plan,
    history: Iterable[History],
    entities: npt.NDArray[np.uint64],
    at_us: npt.NDArray[np.int64],
    *,
    delay_us: int = 0,
    strict: bool = False,
    valid: npt.NDArray[np.bool_] | None = None,
) -> Reading:
    """Read every row at its own time from the events available by then; rows in input order.

    Row i sees the events with available time + delay <= T (strict: < T), and its values are bit
    for bit what `read` answers from the same events. A row that is not valid is NOT_FOUND.
    """
    run = _Sweep(plan, entities, at_us)
    for piece in history:
        visible = _visible(piece.available_us, delay_us, strict=strict)
        if len(visible) != len(piece.batch):
            raise Invalid(f"{len(visible)} available times for {len(piece.batch)} events")
        if len(visible) and (np.any(np.diff(visible) < 0) or visible[0] < run.seen_us):
            raise Invalid("a history must come in the order of its available times")
        run.add(piece.batch, visible)
    return run.finish(valid)


def _visible(
    available_us: npt.NDArray[np.int64], delay_us: int, *, strict: bool
) -> npt.NDArray[np.int64]:
    if delay_us < 0:
        raise Invalid(f"a delay of {delay_us} us would show the future")
    return np.ascontiguousarray(available_us + (delay_us + int(strict)), dtype=np.int64)


class _Sweep:
    """The state between pieces of a history."""

    def __init__(
        self, plan: Plan, entities: npt.NDArray[np.uint64], at_us: npt.NDArray[np.int64]
    ) -> None:
        count = len(at_us)
        self.plan, self.table, self.seen_us = plan, TileTable(plan), NO_TIME
        self.order = np.argsort(at_us, kind="stable").astype(np.int64, copy=False)
        self.labels = (
            np.ascontiguousarray(entities, dtype=np.uint64),
            np.ascontiguousarray(at_us, dtype=np.int64),
            self.order,
        )
        self.found = intermediate(plan, 1)
        self.reading = Reading(
            np.empty((count, len(plan.outputs)), dtype=np.float64),
            np.empty((count, len(plan.outputs)), dtype=np.uint8),
            np.empty(count, dtype=np.int64),
        )
        self.next_label = 0

    def add(self, batch: EventBatch, visible: npt.NDArray[np.int64]) -> None:
        """Sweep through a piece; labels that later pieces may still change wait for them."""
        if len(visible):
            self.seen_us = int(visible[-1])
            self._run(batch, visible, more=True)

    def finish(self, valid: npt.NDArray[np.bool_] | None) -> Reading:
        """Answer the labels that are left and return all of them."""
        self._run(_no_events(self.plan), np.empty(0, dtype=np.int64), more=False)
        if valid is not None:
            self.reading.values[~valid] = np.nan
            self.reading.status[~valid] = Status.NOT_FOUND
            self.reading.event_time[~valid] = NO_TIME
        return self.reading

    def _run(self, batch: EventBatch, visible: npt.NDArray[np.int64], *, more: bool) -> None:
        plan, table, reading, event = self.plan, self.table, self.reading, 0
        output = (plan.outputs, plan.numbers, reading.values, reading.status, reading.event_time)
        events, total, ttl = batch.arrays(), len(self.order), ttl_of(plan)
        why = sweep.DONE
        while why != sweep.NO_EVENTS and (self.next_label < total):
            until = min(total, self.next_label + EVICT_EVERY)
            why, event, self.next_label = sweep.sweep(
                table.store.arrays,
                plan.laid,
                plan_arrays(plan),
                events,
                (visible, batch.keep),
                self.labels,
                self.found,
                output,
                (event, self.next_label, until, int(more), ttl),
            )
            if why == sweep.NO_ROOM:
                table.store.make_room()
            elif self.next_label:
                self._evict(self.next_label)

    def _evict(self, next_label: int) -> None:
        """Drop tiles that no later label can see: its windows begin after them."""
        time = int(self.labels[1][self.order[next_label - 1]])
        self.table.evict(time)


def _no_events(plan: Plan) -> EventBatch:
    from tidemill_tiles.columns import EventBatch
    from tidemill_tiles.keys import key_column_of

    return EventBatch(
        key_column_of([]),
        np.empty(0, dtype=np.int64),
        np.empty(0, dtype=np.uint64),
        np.empty((len(plan.value_fields), 0), dtype=np.int64),
        np.empty((len(plan.value_fields), 0), dtype=np.bool_),
        np.empty((len(plan.filters), 0), dtype=np.bool_),
        np.empty(0, dtype=np.bool_),
    )
