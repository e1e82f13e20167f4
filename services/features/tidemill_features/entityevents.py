"""The archived events of one entity, of every verdict, as one view's engine takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from tidemill.errors import FailedPrecondition
from tidemill.project.problems import did_you_mean
from tidemill_features.ordering import IDENTITY
from tidemill_features.pointintime import columns_of
from tidemill_features.spine import micros
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.columns import EventBatch, event_batch, view_rows, window_time
from tidemill_tiles.definitions import source_types
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.keys import event_id_hashes, hash_key, key_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from tidemill_common.feature_views import ViewSpec

    Key = tuple[str | int | bool, ...]

PLACE: Final = ("_partition", "_offset", "_row", "_verdict")
MAX_EVENTS: Final = 1_000_000
"""Of one entity, that are read for one answer: about 100 MB."""
MAX_NEAR: Final = 5_000
"""Entities among which the nearest to an unknown one is looked for."""
BATCH_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True)
class EntityEvents:
    """Events of one entity in one stream, in log order; every array has one value per event.

    `table` is as archived, `columns` are those of the view.
    """

    stream: str
    table: pa.Table
    columns: pa.RecordBatch | pa.Table
    batch: EventBatch
    event_us: npt.NDArray[np.int64]
    available_us: npt.NDArray[np.int64]
    partition: npt.NDArray[np.int64]
    verdict: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of events."""
        return int(self.available_us.size)


def entity_events(view: ViewSpec, stream: str, table: pa.Table) -> EntityEvents:
    """Take rows of an archive that are all of one entity, in log order."""
    event, available = micros(table, "_time"), micros(table, "_available")
    ids = event_id_hashes(table["_source"], table["_id"], table["_replay_of"])
    times = window_time(event, available)
    return EntityEvents(
        stream,
        table,
        view_rows(view.definition, table, ids, stream).columns,
        event_batch(view.plan, table, time_us=times, tie=ids, stream=stream),
        event,
        available,
        np.asarray(table["_partition"], dtype=np.int64),
        np.asarray(table["_verdict"], dtype=np.int64),
    )


@dataclass(frozen=True, slots=True)
class EntityArchive:
    """The archive of one stream at a version, below a cut (next offset by partition)."""

    root: str
    stream: str
    version: int
    cut: Mapping[int, int]
    most: int = MAX_EVENTS

    def events(self, view: ViewSpec, key: Key) -> EntityEvents:
        """Read all events of an entity; FailedPrecondition if they are too many."""
        found: list[pa.Table] = []
        count = 0
        wanted = hash_key(canonical_key(key))
        columns = list(dict.fromkeys((*PLACE, *IDENTITY, *columns_of([view], self.stream))))
        for rows in self._batches(columns, _among(view, self.stream, key)):
            table = rows.filter(pa.array(self._is_of(view, rows, wanted)))
            count += table.num_rows
            if count > self.most:
                raise FailedPrecondition(
                    f"{told(view, key)} has more than {self.most:,} events in {self.stream}",
                    hint="ask a view whose entities have fewer, or build a training set",
                )
            found.append(table)
        whole = pa.concat_tables(found)
        places = [np.asarray(whole[name]) for name in ("_row", "_offset", "_partition")]
        whole = whole.take(pa.array(np.lexsort(places))).combine_chunks()
        return entity_events(view, self.stream, whole)

    def _is_of(
        self, view: ViewSpec, rows: pa.Table, wanted: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.bool_]:
        keys = key_column(self._parts(view, rows))
        partition = np.asarray(rows["_partition"])
        limit = np.zeros(int(partition.max(initial=-1)) + 1, dtype=np.int64)
        for number, offset in self.cut.items():
            if number < limit.size:
                limit[number] = offset
        below = np.asarray(rows["_offset"]) < limit[partition]
        same = keys.valid & np.all(keys.hashes == wanted, axis=1)
        return np.asarray(below & same, dtype=np.bool_)

    def keys(self, view: ViewSpec) -> set[str]:
        """Return some thousand entities of the stream, as users write them."""
        names = [field.name for field in view.definition.entity]
        found: set[str] = set()
        for rows in self._batches(columns_of([view], self.stream), None):
            table = pa.table(self._parts(view, rows), names=names)
            distinct = table.group_by(names).aggregate([]).slice(0, MAX_NEAR)
            parts = zip(*(distinct[name].to_pylist() for name in names), strict=True)
            found.update(told(view, part) for part in parts if None not in part)
            if len(found) >= MAX_NEAR:
                break
        return found

    def _parts(self, view: ViewSpec, rows: pa.Table) -> list[Any]:
        """Return the columns of the entity's key, as the view's source maps them."""
        ties = np.zeros(rows.num_rows, dtype=np.uint64)
        columns = view_rows(view.definition, rows, ties, self.stream).columns
        return [columns.column(field.name) for field in view.definition.entity]

    def _batches(self, columns: Sequence[str], among: ds.Expression | None) -> Iterator[pa.Table]:
        """Give the rows for which a condition holds; one empty table at least."""
        table = DeltaTable(f"{self.root.rstrip('/')}/{self.stream}", version=self.version)
        data = table.to_pyarrow_dataset()
        scanner = data.scanner(
            columns=list(dict.fromkeys(columns)), filter=among, batch_size=BATCH_ROWS
        )
        yield scanner.projected_schema.empty_table()
        for batch in scanner.to_batches():
            yield pa.Table.from_batches([batch])


def _among(view: ViewSpec, stream: str, key: Key) -> ds.Expression | None:
    """Return a condition that every event of an entity meets, by which files are passed over.

    It is over fields of the stream: a part of the key that a source computes is left out.
    """
    source = view.definition.source(stream)
    named = {} if source is None else dict(source.columns)
    fields = None if source is None else source_types(source)
    condition: Any = None
    for field, value in zip(view.definition.entity, key, strict=True):
        name = named.get(field.name, field.name)
        known = fields is None or name in fields
        if known and field.type is not FieldType.TIMESTAMP:  # its value is the canonical text
            one = pc.field(name) == value
            condition = one if condition is None else condition & one
    return condition


def told(view: ViewSpec, key: Sequence[object]) -> str:
    """Write an entity as users do."""
    parts = zip(view.entity, key, strict=True)
    return " ".join(f"{name}={_word(value)}" for name, value in parts)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def nearest(view: ViewSpec, key: Key, archives: Sequence[EntityArchive]) -> str:
    """Suggest the entity that is written most like one that has no event."""
    known = {name for archive in archives for name in archive.keys(view)}
    hint = did_you_mean(told(view, key), known)
    return hint if hint.startswith("did you mean") else ""
