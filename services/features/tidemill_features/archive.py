"""The archive of one stream: a Delta table of every row that could be decoded, with its verdict.

It is written through one pinned table object and each commit carries, per partition, the offset it
reaches: two writers cannot commit the same range, the second one's commit fails. It is append
only and never reordered; readers see it below a cut of offsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from tidemill.errors import Fenced
from tidemill_common.events import TIMESTAMP
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date

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
STATISTICS: Final = "delta.dataSkippingStatsColumns"
"""Columns whose least and greatest value are in the table's log: none that may say who it is."""
_LOG_KEPT: Final = "delta.logRetentionDuration"
_ROWS: Final = ".parquet"
_LOG: Final = "/_delta_log/"
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
        settings = {STATISTICS: ",".join(_measured(self._schema))}
        self._table = DeltaTable.create(
            self._url,
            schema=self._schema,
            mode="ignore",
            partition_by=[DAY],
            configuration=settings,
        )
        if STATISTICS not in self._table.metadata().configuration:
            self._table.alter.set_table_properties(settings)
        self._commits = 0
        self._widen()

    def _widen(self) -> None:
        """Give the table the columns that its stream got since: older rows miss them."""
        known = {field.name for field in self._table.schema().fields}
        wanted = Schema.from_arrow(self._schema)
        fields = [field for field in wanted.fields if field.name not in known]
        if not fields:
            return
        try:
            self._table.alter.add_columns(fields)
        except CommitFailedError as error:
            raise Fenced(f"another archiver writes {self._url}") from error

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

    def rewrite(self, day: date, keep: Callable[[pa.RecordBatch], npt.NDArray[np.bool_]]) -> None:
        """Write a day again without some of its rows, in one commit; positions stay."""
        data = self._table.to_pyarrow_dataset()
        scanner = data.scanner(filter=pc.field(DAY) == day)

        def kept() -> Iterator[pa.RecordBatch]:
            for batch in scanner.to_batches():
                rows = batch.filter(pa.array(keep(batch)))
                if rows.num_rows:
                    yield rows

        reader = pa.RecordBatchReader.from_batches(data.schema, kept())
        try:
            write_deltalake(
                self._table,
                reader,
                mode="overwrite",
                predicate=f"{DAY} = '{day.isoformat()}'",
                partition_by=[DAY],
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except CommitFailedError as error:
            raise Fenced(f"another archiver writes {self._url}") from error

    def days(self, columns: Sequence[str]) -> Iterator[tuple[date, pa.RecordBatch]]:
        """Give all rows with these columns, in pieces of one day."""
        data = self._table.to_pyarrow_dataset()
        for fragment in data.get_fragments():
            names = [DAY, *columns]
            for batch in fragment.scanner(schema=data.schema, columns=names).to_batches():
                if batch.num_rows:
                    yield batch.column(DAY)[0].as_py(), batch

    def old_files(self) -> list[str]:
        """Return the files of rows in the table's folder that its newest version does not have."""
        filesystem, folder = fsspec.core.url_to_fs(self._url)
        live = {uri.rpartition("/")[2] for uri in self._table.file_uris()}
        names = (str(path) for path in filesystem.find(folder))
        return sorted(
            name
            for name in names
            if name.endswith(_ROWS) and _LOG not in name and name.rpartition("/")[2] not in live
        )

    def forget_past(self) -> None:
        """Remove old files and the log of old versions; what is pinned to one cannot be read."""
        self._table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
        self._table.alter.set_table_properties({_LOG_KEPT: "interval 0 days"})
        self._table.create_checkpoint()
        self._table.cleanup_metadata()
        self._table.alter.set_table_properties({_LOG_KEPT: "interval 30 days"})

    def tidy(self) -> None:
        """Join small files; the rows stay what they are."""
        if self._commits >= COMPACT_FILES:
            self._table.optimize.compact()
            self._commits = 0


def _measured(schema: pa.Schema) -> list[str]:
    """Return the columns with statistics: places and times."""
    places = [one.name for one in PLACE if one.name != DAY]
    return places + [one.name for one in schema if one.name in {"_time", "_available"}]


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
