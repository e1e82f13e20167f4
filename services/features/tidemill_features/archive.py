"""The archive of one stream: a Delta table of every row that could be decoded, with its verdict.

It is written through one pinned table object and each commit carries, per partition, the offset it
reaches: two writers cannot commit the same range, the second one's commit fails. It is append
only and never reordered; readers see it below a cut of offsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from tidemill.errors import Fenced
from tidemill_common.events import TIMESTAMP
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from tidemill_features.decoding import Events
    from tidemill_features.definitions import StreamWork

DAY: Final = "_day"
PLACE: Final = (
    pa.field(DAY, pa.date32(), nullable=False),
    pa.field("_partition", pa.int32(), nullable=False),
    pa.field("_offset", pa.int64(), nullable=False),
    pa.field("_row", pa.int32(), nullable=False),
    pa.field("_append", TIMESTAMP, nullable=False),
    pa.field("_verdict", pa.int8(), nullable=False),
)
COMPACT_FILES: Final = 64
_WATERMARK: Final = "watermark"


@dataclass(frozen=True, slots=True)
class Piece:
    """Decided rows of one partition, up to `position`, and the watermark there."""

    partition: int
    position: int
    watermark_us: int
    events: Events
    verdicts: npt.NDArray[np.uint8]


class Archive:
    """The Delta table of one stream, pinned at the version that this object has seen."""

    def __init__(self, root: str, work: StreamWork) -> None:
        self._url = f"{root.rstrip('/')}/{work.name}"
        self._schema = pa.schema([*PLACE, *work.schema])
        self._table = DeltaTable.create(
            self._url, schema=self._schema, mode="ignore", partition_by=[DAY]
        )
        self._commits = 0

    @property
    def version(self) -> int:
        """Return the pinned version of the table."""
        return int(self._table.version())

    def position(self, partition: int) -> int | None:
        """Return the source offset up to which a partition is archived; None if nothing is."""
        found = self._table.transaction_version(str(partition))
        return None if found is None else int(found)

    def watermark_us(self, partition: int) -> int:
        """Return the watermark at `position`."""
        found = self._table.transaction_version(f"{partition}.{_WATERMARK}")
        return NO_TIME if found is None else int(found)

    def append(self, pieces: Sequence[Piece]) -> int:
        """Commit rows of any partitions at once; Fenced if somebody else has committed here."""
        data = pa.concat_tables(rows_of(piece).cast(self._schema) for piece in pieces)
        marks = [
            Transaction(app, value)
            for piece in pieces
            for app, value in (
                (str(piece.partition), piece.position),
                (f"{piece.partition}.{_WATERMARK}", piece.watermark_us),
            )
        ]
        try:
            write_deltalake(
                self._table,
                data,
                mode="append",
                partition_by=[DAY],
                schema_mode="merge",
                commit_properties=CommitProperties(app_transactions=marks, max_commit_retries=0),
            )
        except CommitFailedError as error:
            raise Fenced(f"another archiver writes {self._url}") from error
        self._commits += 1
        return int(data.num_rows)

    def tidy(self) -> None:
        """Join small files; the rows stay what they are."""
        if self._commits >= COMPACT_FILES:
            self._table.optimize.compact()
            self._commits = 0


def rows_of(piece: Piece) -> pa.Table:
    """Return a piece as the archive's columns, without the rows of erased entities."""
    table = _placed(piece)
    kept = piece.verdicts != Verdict.ERASED
    return table if kept.all() else table.filter(pa.array(kept))


def _placed(piece: Piece) -> pa.Table:
    events = piece.events
    append = pa.array(events.append_us).cast(TIMESTAMP)
    partition = np.full(len(events), piece.partition, dtype=np.int32)
    place = [
        append.cast(pa.date32()),
        pa.array(partition),
        pa.array(events.offset),
        pa.array(events.row),
        append,
        pa.array(piece.verdicts.astype(np.int8)),
    ]
    return pa.table(
        [*place, *events.table.columns],
        names=[one.name for one in PLACE] + events.table.column_names,
    )


def read(root: str, stream: str, version: int, cut: Mapping[int, int]) -> pa.Table:
    """Return all rows below `cut` (next offset by partition), in log order, of every verdict.

    Reads exactly the table's `version`.
    """
    table = DeltaTable(f"{root.rstrip('/')}/{stream}", version=version)
    data = table.to_pyarrow_dataset().to_table()
    partition = np.asarray(data["_partition"])
    limit = np.zeros(int(partition.max(initial=-1)) + 1, dtype=np.int64)
    for number, offset in cut.items():
        if number < limit.size:
            limit[number] = offset
    places = [np.asarray(data[name]) for name in ("_row", "_offset", "_partition")]
    below = np.flatnonzero(places[1] < limit[partition])
    order = below[np.lexsort([place[below] for place in places])]
    return data.take(pa.array(order)).combine_chunks()
