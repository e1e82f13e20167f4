"""Point-in-time values for training sets: the past, as serving would have answered it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill.errors import Invalid
from tidemill_tiles.columns import EventBatch
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.grouped import by_entity
from tidemill_tiles.kernels import layout, lifetime, past, sweep
from tidemill_tiles.kernels.values import to_columns
from tidemill_tiles.keys import key_column_of
from tidemill_tiles.lifetime import outputs_of_tile
from tidemill_tiles.reads import Reading, Status, intermediate, ttl_of
from tidemill_tiles.sliding import Windows
from tidemill_tiles.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from tidemill_tiles.plan import Plan

    Run = Callable[[Callable[[int], None], Iterable[int]], Iterable[None]]

STEP_ROWS: Final = 131_072
"""Events, or label rows, that `replay` takes in one step; the values do not depend on it."""


@dataclass(slots=True, eq=False)
class History:
    """A piece of the applied events of a view, in the order in which they became available."""

    batch: EventBatch
    available_us: npt.NDArray[np.int64]


def visible_from(
    available_us: npt.NDArray[np.int64], delay_us: int, *, strict: bool
) -> npt.NDArray[np.int64]:
    """Return the first T at which a row sees each event: available + delay (strict: after it)."""
    if delay_us < 0:
        raise Invalid(f"a delay of {delay_us} us would show the future")
    return np.ascontiguousarray(available_us + (delay_us + int(strict)), dtype=np.int64)


def next_step(
    visible: npt.NDArray[np.int64], at_us: npt.NDArray[np.int64], *, more: bool
) -> tuple[int, int]:
    """Return how many of the next events and of the next label rows can be swept together.

    Both ascend. `more` events may follow these, none of them visible earlier. Events that no label
    row sees wait, and so do label rows that a later event may change.
    """
    events = int(np.searchsorted(visible, at_us[-1], side="right")) if len(at_us) else 0
    if events < len(visible) or not more:
        return events, len(at_us)
    return events, int(np.searchsorted(at_us, visible[-1], side="left")) if events else 0


def no_reading(plan: Plan, count: int) -> Reading:
    """Return room for the answers of so many rows."""
    return Reading(
        np.empty((count, len(plan.outputs)), dtype=np.float64),
        np.empty((count, len(plan.outputs)), dtype=np.uint8),
        np.empty(count, dtype=np.int64),
    )


class Replay:
    """One view's state while time passes: its memory follows the longest window.

    Entities are spread over `shards` by their hashes; `run` does one thing for every shard, in
    threads if it likes (kernels hold no lock).
    """

    def __init__(self, plan: Plan, *, shards: int = 1, run: Run = map) -> None:
        """Begin before all events."""
        self.plan = plan
        self._run = run
        self._stores = [Store(plan) for _ in range(shards)]
        self._limits = [STEP_ROWS] * shards
        self._windows = [Windows(plan) for _ in range(shards)]
        self._found = [intermediate(plan, 1) for _ in range(shards)]
        self._of_tile = outputs_of_tile(plan)
        for _, _, expired, _, _ in self._found:
            expired[:] = 0

    @property
    def tiles(self) -> int:
        """Return how many tiles are held."""
        return sum(int(store.meta[layout.META_TILES]) for store in self._stores)

    def step(
        self,
        batch: EventBatch,
        visible: npt.NDArray[np.int64],
        entities: npt.NDArray[np.uint64],
        at_us: npt.NDArray[np.int64],
        into: Reading,
    ) -> None:
        """Apply events and answer label rows, each as of its own time, into the rows of `into`.

        Both come in the order of time, as `next_step` matched them. Entity by entity, so that
        its tiles are fetched once; entities know nothing of one another, so values are the same.
        Rows are put next to one another first: fetching them one by one takes as long as the rest.
        """
        events, labels = by_entity(batch.keys.hashes, entities)
        shards = len(self._stores)
        homes = [_homes(hashes, shards) for hashes in (batch.keys.hashes, entities)]
        ends = [int(times[-1]) for times in (visible, at_us) if len(times)]
        now_us = max(ends, default=NO_TIME)  # no row to come asks for an earlier time

        def of_shard(shard: int) -> None:
            due = _part(events.order, homes[0], shard)
            due = due.compress(batch.keep.take(due))
            asked = _part(labels.order, homes[1], shard)
            seen = (visible[due], events.groups[due])
            rows = (entities[asked], at_us[asked], labels.groups[asked], asked)
            self._sweep(shard, batch.taken(due), seen, rows, into)
            self._forget(shard, now_us)

        for _ in self._run(of_shard, range(shards)):
            pass

    def _sweep(
        self,
        shard: int,
        events: tuple[npt.NDArray[np.generic], ...],
        seen: tuple[npt.NDArray[np.generic], ...],
        labels: tuple[npt.NDArray[np.generic], ...],
        into: Reading,
    ) -> None:
        plan, store, event, label = self.plan, self._stores[shard], 0, 0
        outputs = plan.outputs if self._of_tile is None else self._of_tile
        output = (outputs, plan.numbers, into.values, into.status, into.event_time)
        given = (events, seen, labels, self._found[shard], output)
        why = sweep.NO_ROOM
        while why == sweep.NO_ROOM:
            store.make_room()
            state, progress = (store.arrays, plan.laid), (event, label, ttl_of(plan))
            if self._of_tile is None:
                windows = self._windows[shard].arrays(len(store.entity))
                kept = (plan.set_columns, windows)
                why, event, label = sweep.sweep(*state, *kept, *given, progress)
            else:
                why, event, label = lifetime.sweep_lifetime(*state, *given, progress)

    def _forget(self, shard: int, now_us: int) -> None:
        """Drop what entities without label rows have left, when half of the state may be that."""
        store, plan = self._stores[shard], self.plan
        may_leave = self._of_tile is None  # a tile of the whole past is always seen
        if may_leave and store.meta[layout.META_TILES] > self._limits[shard]:
            windows = self._windows[shard].arrays(len(store.entity))
            left = past.forget_all(store.arrays, plan.levels, plan.set_columns, windows, now_us)
            self._limits[shard] = 2 * int(left) + STEP_ROWS


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
    order = np.argsort(at_us, kind="stable")
    entities = np.ascontiguousarray(entities[order], dtype=np.uint64)
    at_us = np.ascontiguousarray(at_us[order], dtype=np.int64)
    state, sorted_rows, done = Replay(plan), no_reading(plan, len(at_us)), 0
    for batch, visible, more in _pieces(plan, history, delay_us, strict=strict):
        first = 0
        while done < len(at_us):
            limit = min(len(at_us), done + STEP_ROWS)
            events, labels = next_step(visible[first:], at_us[done:limit], more=more)
            if not events and not labels:
                break
            rows = slice(done, done + labels)
            state.step(
                batch.rows(first, first + events),
                visible[first : first + events],
                entities[rows],
                at_us[rows],
                part_of(sorted_rows, rows),
            )
            first, done = first + events, done + labels
    reading = no_reading(plan, len(at_us))
    reading.values[order] = sorted_rows.values
    reading.status[order] = sorted_rows.status
    reading.event_time[order] = sorted_rows.event_time
    if valid is not None:
        forget(reading, ~valid)
    return reading


def part_of(reading: Reading, rows: slice) -> Reading:
    """Return a view of some rows."""
    return Reading(reading.values[rows], reading.status[rows], reading.event_time[rows])


def by_feature(reading: Reading, first: int, step: int) -> npt.NDArray[np.float64]:
    """Return the values of every `step`-th row, from `first` on: a row for each feature."""
    rows, features = reading.values.shape
    columns = np.empty((features, rows // step), dtype=np.float64)
    to_columns(reading.values, first, step, columns)
    return columns


def forget(reading: Reading, rows: npt.NDArray[np.bool_]) -> None:
    """Say of these rows that they were not found."""
    reading.values[rows] = np.nan
    reading.status[rows] = Status.NOT_FOUND
    reading.event_time[rows] = NO_TIME


def _pieces(
    plan: Plan, history: Iterable[History], delay_us: int, *, strict: bool
) -> Iterator[tuple[EventBatch, npt.NDArray[np.int64], bool]]:
    """Give each piece with its visible times, checked, and at the end one without events."""
    seen_us = NO_TIME
    for piece in history:
        visible = visible_from(piece.available_us, delay_us, strict=strict)
        if len(visible) != len(piece.batch):
            raise Invalid(f"{len(visible)} available times for {len(piece.batch)} events")
        if len(visible) and (np.any(np.diff(visible) < 0) or visible[0] < seen_us):
            raise Invalid("a history must come in the order of its available times")
        seen_us = int(visible[-1]) if len(visible) else seen_us
        yield piece.batch, visible, True
    yield no_events(plan), np.empty(0, dtype=np.int64), False


def _homes(hashes: npt.NDArray[np.uint64], shards: int) -> npt.NDArray[np.uint8] | None:
    """Return the shard of every row's entity; None if there is only one."""
    return None if shards == 1 else (hashes[:, 0] % np.uint64(shards)).astype(np.uint8)


def _part(
    order: npt.NDArray[np.int64], homes: npt.NDArray[np.uint8] | None, shard: int
) -> npt.NDArray[np.int64]:
    """Return those rows whose entity belongs to a shard."""
    return order if homes is None else order.compress(homes.take(order) == shard)


def no_events(plan: Plan) -> EventBatch:
    """Return a batch without events."""
    return EventBatch(
        key_column_of([]),
        np.empty(0, dtype=np.int64),
        np.empty(0, dtype=np.uint64),
        np.empty((len(plan.value_fields), 0), dtype=np.int64),
        np.empty((len(plan.value_fields), 0), dtype=np.bool_),
        np.empty((len(plan.filters), 0), dtype=np.bool_),
        np.empty(0, dtype=np.bool_),
    )
