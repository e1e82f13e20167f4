"""Find the training sets that hold erased entities: every Parquet file of the artefact store.

A row is the entity's if its event is (its id and spine key, from the archive, while that still
has them), or if its spine key or its inputs say so.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemill_tiles.keys import key_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from tidemill_common.artifacts import Artifacts
    from tidemill_common.erasures import Erased

MAGIC: Final = b"PAR1"
ID: Final = "_spine_id"
KEY: Final = "_spine_key"
BATCH_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True)
class HeldSet:
    """A stored training set with rows of an erased entity."""

    digest: str
    rows: int


def identities(ids: pa.Array, keys: Sequence[pa.Array]) -> npt.NDArray[np.uint64]:
    """Return what identifies rows by event and spine key."""
    return key_column([ids, *keys]).hashes[:, 0]


def look(
    artifacts: Artifacts,
    erased: Erased,
    spine_keys: Iterable[tuple[str, ...]],
    events: npt.NDArray[np.uint64],
) -> Iterator[HeldSet]:
    """Give the stored sets that hold any of the entities; `events` are `identities` of theirs."""
    keys = set(spine_keys)
    with tempfile.TemporaryDirectory() as folder:
        for digest in artifacts.digests():
            if artifacts.head(digest, len(MAGIC)) != MAGIC:
                continue
            path = artifacts.fetch(digest, Path(folder) / "set.parquet")
            file = pq.ParquetFile(path)
            if {ID, KEY} <= set(file.schema_arrow.names):
                rows = sum(
                    int(_held(pa.Table.from_batches([batch]), erased, keys, events).sum())
                    for batch in file.iter_batches(BATCH_ROWS, columns=_columns(file, erased))
                )
                if rows:
                    yield HeldSet(digest, rows)
            file.close()


def _columns(file: pq.ParquetFile, erased: Erased) -> list[str]:
    wanted = {ID, KEY, *(name for one in erased.keys for name in one.fields)}
    return [name for name in file.schema_arrow.names if name in wanted]


def _held(
    rows: pa.Table,
    erased: Erased,
    spine_keys: Iterable[tuple[str, ...]],
    events: npt.NDArray[np.uint64],
) -> npt.NDArray[np.bool_]:
    held = erased.rows(rows)
    if len(events):
        held |= np.isin(identities(rows[ID], [rows[KEY]]), events)
    for names in spine_keys:
        if erased.may_be_in(names):
            unique = rows[KEY].unique()
            hits = [bool(erased.of_key(names, key.encode())) for key in unique.to_pylist()]
            wanted = unique.filter(pa.array(hits))
            held |= np.asarray(pc.is_in(rows[KEY], value_set=wanted))
    return held
