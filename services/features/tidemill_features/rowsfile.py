"""The Parquet file of a training set, written as its rows come: the same bytes in any pieces."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from tidemill_features.rowhash import file_hash, row_hash

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

ROW_GROUP: Final = 131_072
UNIQUE: Final = "_spine_id"
TIMES: Final = "DELTA_BINARY_PACKED"


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a file: a dictionary for texts that repeat only, since others double the work."""
    text = [one.name for one in schema if pa.types.is_string(one.type) and one.name != UNIQUE]
    times = {one.name: TIMES for one in schema if pa.types.is_timestamp(one.type)}
    return pq.ParquetWriter(
        path, schema, compression="lz4", use_dictionary=text, column_encoding=times
    )


class RowsFile:
    """Takes rows and writes full row groups; one is written while the next is gathered."""

    def __init__(self, path: Path) -> None:
        """Write to `path` when the first rows come."""
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows = self._groups = 0
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._busy: Future[None] | None = None
        self._only: pa.Table | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave no file open; what was not written is lost."""
        self._pool.submit(self._close)
        self._pool.shutdown(wait=True)

    def write(self, table: pa.Table) -> None:
        """Add rows."""
        self._waiting.append(table)
        self._rows += len(table)
        while self._rows >= ROW_GROUP:
            self._write_group(ROW_GROUP)

    def finish(self) -> None:
        """Take no more rows; what is left is being written, and then the file is closed."""
        if not self._groups:
            self._only = pa.concat_tables(self._waiting)
        if self._rows or not self._groups:
            self._write_group(self._rows)
        self._busy = self._pool.submit(self._end, self._busy)

    def whole(self) -> Path:
        """Return the file once it is whole."""
        self._done()
        return self._path

    def row_hash(self) -> str:
        """Return the `row_hash` of what the finished file holds."""
        if self._only is not None:
            return row_hash(self._only)
        with pq.ParquetFile(self.whole()) as file:
            return file_hash(file)

    def _write_group(self, rows: int) -> None:
        self._groups += 1
        whole = pa.concat_tables(self._waiting)
        self._rows = len(whole) - rows
        self._waiting = [whole.slice(rows)] if self._rows else []
        self._done()
        self._busy = self._pool.submit(self._write, whole.slice(0, rows))

    def _write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = parquet_writer(self._path, table.schema)
        self._writer.write_table(table.combine_chunks(), row_group_size=ROW_GROUP)

    def _end(self, written: Future[None] | None) -> None:
        if written is not None:
            written.result()
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _done(self) -> None:
        """Wait for what is being written; raise what went wrong."""
        if self._busy is not None:
            self._busy.result()
