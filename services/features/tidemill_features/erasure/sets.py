"""Find the training sets that hold erased entities: every Parquet file of the artefact store.

A row is the entity's if its event is (its id and spine key, from the archive, while that still
has them), or if its spine key or its inputs say so. A set does not say of which model it is: names
that fields have in one stream only count where its inputs are those of a model of this stream.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemill_common.erasures import key_table
from tidemill_tiles.keys import key_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from tidemill_common.artifacts import Artifacts
    from tidemill_common.erasures import Erased

MAGIC: Final = b"PAR1"
ID: Final = "_spine_id"
KEY: Final = "_spine_key"
BATCH_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True)
class HeldSet:
    """A stored training set with rows of erased entities: how many, by erasure."""

    digest: str
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SetForm:
    """What the sets of a model look like: the stream of their rows, their key and their inputs."""

    stream: str
    key: tuple[str, ...]
    inputs: frozenset[str]


def identities(ids: pa.Array, keys: Sequence[pa.Array]) -> npt.NDArray[np.uint64]:
    """Return what identifies rows by event and spine key."""
    return key_column([ids, *keys]).hashes[:, 0]


def look(
    artifacts: Artifacts,
    erased: Erased,
    forms: Sequence[SetForm],
    events: Mapping[str, npt.NDArray[np.uint64]],
) -> Iterator[HeldSet]:
    """Give the stored sets that hold any of the entities.

    `events` are the `identities` of each one's events, by erasure.
    """
    with tempfile.TemporaryDirectory() as folder:
        for digest in artifacts.digests():
            if artifacts.head(digest, len(MAGIC)) != MAGIC:
                continue
            path = artifacts.fetch(digest, Path(folder) / "set.parquet")
            with pq.ParquetFile(path) as file:
                if {ID, KEY} <= set(file.schema_arrow.names):
                    rows = _rows(file, erased, forms, events)
                    if rows:
                        yield HeldSet(digest, rows)


def _rows(
    file: pq.ParquetFile,
    erased: Erased,
    forms: Sequence[SetForm],
    events: Mapping[str, npt.NDArray[np.uint64]],
) -> Counter[str]:
    """Count the rows of each entity in one set."""
    names = file.schema_arrow.names
    known = _lists(erased, forms, {name for name in names if not name.startswith("_")})
    wanted = {ID, KEY}.union(*(one.columns_in(names) for one in known))
    found: Counter[str] = Counter()
    for batch in file.iter_batches(BATCH_ROWS, columns=[one for one in names if one in wanted]):
        for name, held in _held(pa.Table.from_batches([batch]), known, events).items():
            found[name] += int(np.count_nonzero(held))
    return +found


def _lists(
    erased: Erased, forms: Sequence[SetForm], inputs: set[str]
) -> dict[Erased, set[tuple[str, ...]]]:
    """Return the lists to hold against a set with these inputs, each with the keys it may have."""
    known = {erased: {form.key for form in forms}}
    for form in forms:
        if form.inputs == inputs:
            known.setdefault(erased.of_stream(form.stream), set()).add(form.key)
    return known


def _held(
    rows: pa.Table,
    lists: Mapping[Erased, Iterable[tuple[str, ...]]],
    events: Mapping[str, npt.NDArray[np.uint64]],
) -> dict[str, npt.NDArray[np.bool_]]:
    """Say which rows are whose."""
    held: dict[str, npt.NDArray[np.bool_]] = defaultdict(lambda: np.zeros(len(rows), np.bool_))
    if events:
        known = identities(rows[ID], [rows[KEY]])
        for name, wanted in events.items():
            held[name] |= np.isin(known, wanted)
    for erased, keys in lists.items():
        for one, mine in erased.found(rows):
            held[one.erasure_id] |= mine
        for names in keys:
            if erased.may_be_in(names):
                different = rows[KEY].unique()
                for one, hers in erased.found(key_table(names, different.to_pylist())):
                    mine = pc.is_in(rows[KEY], different.filter(pa.array(hers)))
                    held[one.erasure_id] |= np.asarray(mine)
    return held
