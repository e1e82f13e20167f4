"""Features of views as they were at given times, by the engine's own replay: pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidemill_features.ordering import IDENTITY
from tidemill_features.spine import micros
from tidemill_tiles.columns import event_batch, window_time
from tidemill_tiles.definitions import read_types, source_types
from tidemill_tiles.keys import event_id_hashes, key_column
from tidemill_tiles.replay import (
    Replay,
    by_feature,
    forget,
    next_step,
    no_events,
    no_reading,
    part_of,
    visible_from,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from tidemill.project import ModelInputs
    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.spine import Spine
    from tidemill_tiles.definitions import ViewDefinition
    from tidemill_tiles.reads import Reading
    from tidemill_tiles.replay import Run

    Entity = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Past:
    """Applied events of a stream, or rows of a view; first those that were visible first."""

    table: pa.Table
    visible_us: npt.NDArray[np.int64]
    time_us: npt.NDArray[np.int64]
    ids: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        """Return the number of events."""
        return int(self.visible_us.size)

    def rows(self, first: int, last: int) -> Past:
        """Return some consecutive events."""
        some = slice(first, last)
        table = self.table.slice(first, last - first)
        return Past(table, self.visible_us[some], self.time_us[some], self.ids[some])


def past_of(table: pa.Table, *, delay_us: int, strict: bool) -> Past:
    """Prepare events that come in the order of their available times."""
    available = micros(table, "_available")
    return Past(
        table,
        visible_from(available, delay_us, strict=strict),
        window_time(micros(table, "_time"), available),
        _ties(table),
    )


def columns_of(views: Sequence[ViewSpec], stream: str) -> list[str]:
    """Return the columns of a stream's archive that these views need."""
    fields = [name for view in views for name in _fields_of(view.definition, stream)]
    ties = IDENTITY if any(view.plan.has_ties for view in views) else ()
    return list(dict.fromkeys([*ties, "_time", "_available", *fields]))


def _ties(table: pa.Table) -> npt.NDArray[np.uint64]:
    """Return what tells events of one time apart, zeros if no view asks for that."""
    if not set(IDENTITY) <= set(table.column_names):
        return np.zeros(len(table), dtype=np.uint64)
    return event_id_hashes(*(table[name] for name in IDENTITY))


def _fields_of(definition: ViewDefinition, stream: str) -> Iterable[str]:
    source = definition.source(stream)
    return read_types(definition) if source is None else source_types(source)


class Features:
    """The views that a model reads, moving through time beside the spine."""

    def __init__(
        self,
        inputs: ModelInputs,
        views: Mapping[str, ViewSpec],
        pasts: Mapping[tuple[str, ...], Iterator[Past]],
        *,
        shards: int = 1,
        run: Run = map,
    ) -> None:
        """Read each past once, for all the views that it is of; `shards`, `run`: see `Replay`."""
        self._inputs = inputs
        entities: dict[str, list[Entity]] = {}
        for name, entity in inputs.entities:
            entities.setdefault(name, []).append(tuple(entity))
        self._streams = [
            _Stream(
                past,
                [
                    _View(
                        views[name],
                        entities[name],
                        Replay(views[name].plan, shards=shards, run=run),
                    )
                    for name in names
                ],
            )
            for names, past in pasts.items()
        ]

    def at(self, spine: Spine) -> dict[str, npt.NDArray[np.float64]]:
        """Return every feature of these rows by its column's name, NaN where it has no value.

        The rows of the next call have no earlier time.
        """
        found: dict[str, npt.NDArray[np.float64]] = {}
        for stream in self._streams:
            stream.read(spine)
            for view in stream.views:
                places = {name: place for place, name in enumerate(view.spec.features)}
                for number, binding in enumerate(view.bindings):
                    values = by_feature(view.reading, number, len(view.bindings))
                    for one in self._inputs.features:
                        if (one.view, one.entity) == (view.spec.name, binding):
                            found[one.name] = values[places[one.feature]]
        return found


@dataclass(slots=True)
class _View:
    """One view, read for the entities of one or more bindings: a label row for each of them."""

    spec: ViewSpec
    bindings: list[Entity]
    replay: Replay
    hashes: npt.NDArray[np.uint64] = field(init=False)
    at_us: npt.NDArray[np.int64] = field(init=False)
    reading: Reading = field(init=False)

    def begin(self, spine: Spine) -> npt.NDArray[np.bool_]:
        """Take the rows to answer; return which label rows have no key."""
        keys = [
            key_column([spine.table[source] for _, source in binding]) for binding in self.bindings
        ]
        self.hashes = np.stack([one.hashes for one in keys], axis=1).reshape(-1, 2)
        self.at_us = np.repeat(spine.time_us, len(keys))
        self.reading = no_reading(self.spec.plan, len(self.at_us))
        return ~np.stack([one.valid for one in keys], axis=1).reshape(-1)

    def step(self, past: Past | None, first: int, last: int) -> None:
        """Apply events and answer the rows from `first` to before `last`."""
        plan, count = self.spec.plan, len(self.bindings)
        rows = slice(first * count, last * count)
        into = part_of(self.reading, rows)
        if past is None:
            nothing = np.empty(0, dtype=np.int64)
            self.replay.step(no_events(plan), nothing, self.hashes[rows], self.at_us[rows], into)
        else:
            batch = event_batch(plan, past.table, time_us=past.time_us, tie=past.ids)
            self.replay.step(batch, past.visible_us, self.hashes[rows], self.at_us[rows], into)


class _Stream:
    """One stream's past, and the views of it."""

    def __init__(self, pieces: Iterator[Past], views: list[_View]) -> None:
        self._pieces, self.views = pieces, views
        self._piece: Past | None = None
        self._more = True

    def read(self, spine: Spine) -> None:
        """Let every view answer these rows."""
        missing = [view.begin(spine) for view in self.views]
        done = 0
        while done < len(spine):
            past = self._present()
            visible = np.empty(0, dtype=np.int64) if past is None else past.visible_us
            events, rows = next_step(visible, spine.time_us[done:], more=self._more)
            for view in self.views:
                view.step(past and past.rows(0, events), done, done + rows)
            done += rows
            self._piece = past and past.rows(events, len(past))
        for view, rows_without in zip(self.views, missing, strict=True):
            forget(view.reading, rows_without)

    def _present(self) -> Past | None:
        """Return the events that come next; None when there are no more."""
        while self._more and not self._piece:
            self._piece = next(self._pieces, None)
            self._more = self._piece is not None
        return self._piece
