"""Read the archive of one stream at a version, below a cut, file by file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from tidemill_features.ordering import FIRST_TIME, PLACE, Order, Part, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Keep = Callable[[pa.Table], npt.NDArray[np.bool_]]

BATCH_ROWS: Final = 32_768
BATCHES_AHEAD: Final = 1
AVAILABLE: Final = Order("_available")
STATISTICS_US: Final = 1_000
"""Statistics of a file may have their times cut to milliseconds."""


@dataclass(frozen=True)
class ArchiveScan:
    """The rows of one archived stream below `cut` (next offset by partition).

    The table's log is read once, whatever is asked for; any threads may ask.
    """

    root: str
    stream: str
    version: int
    cut: Mapping[int, int]
    folder: Path
    batch_rows: int = BATCH_ROWS

    def batches(self, columns: Sequence[str], verdicts: Sequence[int]) -> Iterator[pa.Table]:
        """Give all rows of these verdicts, in no promised order."""
        for part in self._files(columns, verdicts, None, None):
            yield from part.tables

    def in_order(
        self,
        columns: Sequence[str],
        verdicts: Sequence[int],
        *,
        by: Order = AVAILABLE,
        keep: Keep | None = None,
    ) -> Iterator[pa.Table]:
        """Give rows in an order, whatever their files; only those to `keep`."""
        wanted = list(dict.fromkeys((*by.columns, *columns)))
        parts = self._files(wanted, verdicts, by.time, keep)
        return in_order(parts, by, self.folder, give=columns)

    @cached_property
    def _opened(self) -> tuple[DeltaTable, pa.dataset.Dataset]:
        table = DeltaTable(f"{self.root.rstrip('/')}/{self.stream}", version=self.version)
        return table, table.to_pyarrow_dataset()

    def _files(
        self,
        columns: Sequence[str],
        verdicts: Sequence[int],
        time: str | None,
        keep: Keep | None,
    ) -> list[Part]:
        table, data = self._opened
        bounds = _bounds(table, time)
        names = list(dict.fromkeys((*PLACE[:2], "_verdict", *columns)))

        def rows(fragment: pa.dataset.Fragment) -> Iterator[pa.Table]:
            scanner = fragment.scanner(
                schema=data.schema,
                columns=names,
                batch_size=self.batch_rows,
                batch_readahead=BATCHES_AHEAD,
                fragment_readahead=1,
            )
            for batch in scanner.to_batches():
                found = self._below(pa.Table.from_batches([batch]), verdicts, keep)
                if len(found):
                    yield found.select(columns)

        return [
            Part(bounds.get(fragment.path, FIRST_TIME), rows(fragment))
            for fragment in data.get_fragments()
        ]

    def _below(self, table: pa.Table, verdicts: Sequence[int], keep: Keep | None) -> pa.Table:
        partition = np.asarray(table["_partition"])
        limit = np.zeros(int(partition.max(initial=-1)) + 1, dtype=np.int64)
        for number, offset in self.cut.items():
            if number < limit.size:
                limit[number] = offset
        wanted = np.asarray(table["_offset"]) < limit[partition]
        found = np.asarray(table["_verdict"])
        wanted &= np.any([found == verdict for verdict in verdicts], axis=0)
        if keep is not None:
            wanted &= keep(table)
        return table if wanted.all() else table.filter(pa.array(wanted))


def _bounds(table: DeltaTable, time: str | None) -> dict[str, int]:
    """Return a lower bound of a time by file, where its statistics have one."""
    files = pa.table(table.get_add_actions(flatten=True))
    name = f"min.{time}"
    if name not in files.column_names:
        return {}
    earliest = files[name].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    return {
        path: FIRST_TIME if first is None else first - STATISTICS_US
        for path, first in zip(files["path"].to_pylist(), earliest, strict=True)
    }
