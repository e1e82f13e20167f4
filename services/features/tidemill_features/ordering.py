"""Rows of many files in one order, in bounded memory: sorted runs, on disk when they are many.

The order is (a time, available time, hash of the event's id); only rows that repeat an id outside
of the de-duplication window come to (partition, offset, row). So it says nothing of partitions,
files or batches, and neither does anything that is made from it. Who does not care about rows of
equal times need not read what tells them apart.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from tidemill_tiles.keys import event_id_hashes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Keys = tuple[npt.NDArray[np.int64], ...]

IDENTITY: Final = ("_source", "_id", "_replay_of")
PLACE: Final = ("_partition", "_offset", "_row")
FIRST_TIME: Final = -(2**63)
EMIT_ROWS: Final = 65_536
"""Rows that are given at once, at most, and so many are gathered before any is given."""
HOLD_BYTES: Final = 128 << 20
"""Rows that wait for others take so much memory before they are sorted into a file.

One commit of the archive fits, decoded: its file has a partition after the other, so all of it
waits, and rows that are written and read back once more take longer than all else.
"""
BLOCK_ROWS: Final = 8_192
"""A run on disk is read back in blocks of so many rows."""


@dataclass(frozen=True, slots=True)
class Order:
    """By `time`; without `ties` rows of equal times come in any order."""

    time: str
    ties: bool = True

    @property
    def columns(self) -> list[str]:
        """Return the columns that say where a row stands."""
        ties = ("_available", *IDENTITY, *PLACE) if self.ties else ()
        return list(dict.fromkeys((self.time, *ties)))


@dataclass(frozen=True, slots=True)
class Part:
    """Rows in any order, none of them with an earlier time than `from_us`."""

    from_us: int
    tables: Iterable[pa.Table]


def times_of(table: pa.Table, time: str) -> npt.NDArray[np.int64]:
    """Return what rows are ordered by first."""
    return np.asarray(table[time].combine_chunks().cast(pa.int64()), dtype=np.int64)


def keys_of(table: pa.Table, by: Order) -> Keys:
    """Return all that rows are ordered by."""
    if not by.ties:
        return (times_of(table, by.time),)
    ids = event_id_hashes(*(table[name] for name in IDENTITY)).view(np.int64)
    places = (np.asarray(table[name], dtype=np.int64) for name in PLACE)
    return times_of(table, by.time), times_of(table, "_available"), ids, *places


def order_of(table: pa.Table, by: Order) -> npt.NDArray[np.int64]:
    """Return the rows in their order: by time, and only where times are equal by the rest."""
    times = times_of(table, by.time)
    order = np.argsort(times, kind="stable")
    same = np.diff(times[order]) == 0
    if not by.ties or not same.any():
        return order
    tied = np.zeros(len(order), dtype=np.bool_)
    tied[1:] |= same
    tied[:-1] |= same
    some = order[tied]
    keys = keys_of(table.select(by.columns).take(pa.array(some)), by)
    order[tied] = some[np.lexsort(tuple(reversed(keys)))]
    return order


def in_order(
    parts: Sequence[Part],
    by: Order,
    folder: Path,
    *,
    give: Sequence[str] | None = None,
    hold_bytes: int = HOLD_BYTES,
) -> Iterator[pa.Table]:
    """Give the rows of all parts in their order, in pieces of any size up to `EMIT_ROWS`.

    Only the columns to `give`, if that is said: rows are ordered by more. `folder` takes what does
    not fit into `hold_bytes`.
    """
    columns = None if give is None else list(dict.fromkeys(give))
    for table in _in_order(parts, _Runs(by, folder, hold_bytes, columns)):
        some = table if columns is None else table.select(columns)
        for start in range(0, len(some), EMIT_ROWS):
            yield some.slice(start, EMIT_ROWS).combine_chunks()


def _in_order(parts: Sequence[Part], runs: _Runs) -> Iterator[pa.Table]:
    for part in sorted(parts, key=lambda one: one.from_us):
        if runs.can_give(part.from_us):
            yield from runs.below(part.from_us)
        for table in part.tables:
            runs.add(table)
    yield from runs.below(None)


class _Run:
    """Sorted rows, a block at a time."""

    def __init__(
        self, blocks: Sequence[pa.Table] | pa.ipc.RecordBatchFileReader, by: Order
    ) -> None:
        self._blocks, self._by, self._next = blocks, by, 0
        self._table: pa.Table | None = None
        self._keys: Keys | None = None
        self.times: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def load(self) -> bool:
        """Have a row at hand; False when there is none left."""
        while self._table is None or not len(self._table):
            if not self.has_more:
                return False
            if isinstance(self._blocks, pa.ipc.RecordBatchFileReader):
                self._table = pa.Table.from_batches([self._blocks.get_batch(self._next)])
            else:
                self._table = self._blocks[self._next]
            self._next += 1
            self.times, self._keys = times_of(self._table, self._by.time), None
        return True

    @property
    def has_more(self) -> bool:
        """Say whether further blocks follow the one at hand."""
        blocks = self._blocks
        if isinstance(blocks, pa.ipc.RecordBatchFileReader):
            return self._next < int(blocks.num_record_batches)
        return self._next < len(blocks)

    @property
    def keys(self) -> Keys:
        """Return what the rows at hand are ordered by: only runs that are merged need it."""
        if self._keys is None:
            self._keys = keys_of(self.rest(), self._by)
        return self._keys

    @property
    def last(self) -> tuple[int, ...]:
        """Return the key of the last row at hand."""
        return tuple(int(key[-1]) for key in self.keys)

    def take(self, below_us: int | None, upto: tuple[int, ...] | None) -> pa.Table:
        """Take the rows at hand with a time below one bound and a key not above the other."""
        count = len(self.times)
        if below_us is not None:
            count = int(np.searchsorted(self.times, below_us, side="left"))
        if upto is not None:
            count = min(count, self._not_above(upto))
        taken = self.rest().slice(0, count)
        self._table = self.rest().slice(count)
        self.times = self.times[count:]
        self._keys = self._keys and tuple(key[count:] for key in self._keys)
        return taken

    def rest(self) -> pa.Table:
        """Return the rows at hand."""
        if self._table is None:
            message = "no block is loaded"
            raise RuntimeError(message)
        return self._table

    def _not_above(self, upto: tuple[int, ...]) -> int:
        first, end = 0, len(self.times)
        for key, value in zip(self.keys, upto, strict=True):
            # Rows before `first` are below, rows from `end` on above; between them all are equal.
            span = key[first:end]
            start = first
            first = start + int(np.searchsorted(span, value, side="left"))
            end = start + int(np.searchsorted(span, value, side="right"))
        return end


class _Runs:
    """Rows that wait until none can come before them."""

    def __init__(
        self, by: Order, folder: Path, hold_bytes: int, give: Sequence[str] | None
    ) -> None:
        self._by, self._folder, self._hold_bytes, self._columns = by, folder, hold_bytes, give
        self._held: list[pa.Table] = []
        self._held_bytes = self._held_rows = 0
        self._earliest_us: int | None = None
        self._spilled: list[_Run] = []

    def add(self, table: pa.Table) -> None:
        """Take rows in any order."""
        if not table.num_rows:
            return
        self._hold(table)
        if self._held_bytes >= self._hold_bytes:
            self._spill()

    def can_give(self, below_us: int) -> bool:
        """Say whether it is worth while to ask for the rows below a time."""
        waiting = self._held_rows >= EMIT_ROWS or bool(self._spilled)
        return waiting and self._earliest_us is not None and self._earliest_us < below_us

    def below(self, below_us: int | None) -> Iterator[pa.Table]:
        """Give, in order, the rows with an earlier time, or all; none may be added before them."""
        self._earliest_us = None
        if not self._spilled:
            yield from self._held_below(below_us)
            return
        held = _Run([sorted_rows(self._taken(), self._by)], self._by) if self._held else None
        runs = [*self._spilled, held] if held is not None else list(self._spilled)
        yield from _merged(runs, below_us, self._by)
        if held is not None and held.load():
            self._hold(held.rest().combine_chunks())
        self._spilled = [run for run in self._spilled if run.load()]
        self._waits_from(int(run.times[0]) for run in self._spilled)

    def _held_below(self, below_us: int | None) -> Iterator[pa.Table]:
        """Give from what is in memory: of columns and rows only those are moved that are given."""
        if not self._held:
            return
        table = self._taken()
        order = order_of(table, self._by)
        count = len(order)
        if below_us is not None:
            times = times_of(table, self._by.time)
            count = int(np.searchsorted(times, below_us, side="left", sorter=order))
        if count < len(order):
            self._hold(table.take(pa.array(order[count:])).combine_chunks())
        given = (table if self._columns is None else table.select(self._columns)).combine_chunks()
        del table  # while its rows are given they are held once
        for start in range(0, count, EMIT_ROWS):
            yield _taken(given, order[start : min(start + EMIT_ROWS, count)])

    def _hold(self, table: pa.Table) -> None:
        self._held.append(table)
        self._held_bytes += table.nbytes
        self._held_rows += table.num_rows
        self._waits_from([int(times_of(table, self._by.time).min())])

    def _waits_from(self, times: Iterable[int]) -> None:
        """Keep the earliest time of all rows that wait."""
        known = [] if self._earliest_us is None else [self._earliest_us]
        self._earliest_us = min((*known, *times), default=None)

    def _taken(self) -> pa.Table:
        """Return all that is held, and hold nothing any more."""
        table = pa.concat_tables(self._held)
        self._held, self._held_bytes, self._held_rows = [], 0, 0
        return table

    def _spill(self) -> None:
        table = self._taken().combine_chunks()
        order = order_of(table, self._by)
        with (
            tempfile.NamedTemporaryFile(dir=self._folder, suffix=".arrow", delete=False) as file,
            pa.ipc.new_file(file, table.schema) as writer,
        ):
            for start in range(0, len(order), BLOCK_ROWS):
                block = _taken(table, order[start : start + BLOCK_ROWS])
                writer.write_table(block, max_chunksize=BLOCK_ROWS)
        self._spilled.append(_Run(pa.ipc.open_file(pa.OSFile(file.name)), self._by))


def sorted_rows(table: pa.Table, by: Order) -> pa.Table:
    """Return a table in the order; the same table if it is in order already."""
    return _taken(table, order_of(table, by))


def _taken(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """Return some rows in an order, without a copy if they stand together in it."""
    if len(rows) and np.all(np.diff(rows) == 1):
        return table.slice(int(rows[0]), len(rows))
    return table.combine_chunks().take(pa.array(rows))


def _merged(runs: Sequence[_Run], below_us: int | None, by: Order) -> Iterator[pa.Table]:
    """Give the rows below a time; each round uses up the block that ends first."""
    while True:
        ready = [run for run in runs if run.load()]
        upto = min((run.last for run in ready if run.has_more), default=None)
        parts = [part for run in ready if len(part := run.take(below_us, upto))]
        if not parts:
            return
        yield parts[0] if len(parts) == 1 else sorted_rows(pa.concat_tables(parts), by)
