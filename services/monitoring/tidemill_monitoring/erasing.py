"""Remove erased entities from what monitoring keeps: the label join, kept rows, samples, reports.

Drift counts, cohorts and what was learnt of a field are numbers over many rows: they stay.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa

from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_common import events
from tidemill_common.erasures import key_table, request_table
from tidemill_common.postgres import queries
from tidemill_monitoring import codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    from tidemill_common.erasures import Erased, ErasedKey
    from tidemill_common.postgres import Connection
    from tidemill_monitoring.definitions import Watch
    from tidemill_monitoring.rows import Predictions

SERVICE: Final = "monitoring"
SQL: Final = queries("tidemill_monitoring.sql.queries")
JOIN, FIELDS, SAMPLES, REPORTS, OUTBOX = "label join", "raw rows", "samples", "reports", "outbox"
RAW: Final = {FIELDS, REPORTS}
PLACES: Final = (JOIN, FIELDS, SAMPLES, REPORTS, OUTBOX)
FRAMES: Final = {
    FIELDS: (
        "SELECT id, stream, '' AS model, batch FROM field_rows",
        "UPDATE field_rows SET batch = $2 WHERE id = $1",
    ),
    SAMPLES: (
        "SELECT id, '' AS stream, model, batch FROM sample",
        "UPDATE sample SET batch = $2 WHERE id = $1",
    ),
}


@dataclass(slots=True)
class Removed:
    """How many rows of each entity there were, by place."""

    rows: dict[str, Counter[str]] = field(
        default_factory=lambda: {place: Counter() for place in PLACES}
    )

    def note(self, place: str, keys: Iterable[ErasedKey], rows: int = 1) -> None:
        """Count rows of entities."""
        for one in keys:
            self.rows[place][one.erasure_id] += rows

    def report(self, key: ErasedKey, left: Removed, before: pb.ErasureReport) -> pb.ErasureReport:
        """Say what was removed of an entity, and what a second look has `left`."""
        erasure_id = key.erasure_id
        known = {one.name: one.removed for one in before.places}
        places = [
            pb.ErasurePlace(
                kind="table",
                name=place,
                removed=known.get(place, 0) + rows[erasure_id] - left.rows[place][erasure_id],
                found=left.rows[place][erasure_id],
                gone=not left.rows[place][erasure_id],
            )
            for place, rows in self.rows.items()
        ]
        return pb.ErasureReport(
            service=SERVICE,
            places=places,
            done=all(one.gone for one in places),
            beginning=key.beginning,
        )


async def erase(connection: Connection, watch: Watch, erased: Erased) -> Removed:
    """Remove entities from every table; return what there was."""
    removed = Removed()
    if not erased:
        return removed
    await _label_join(connection, watch, erased, removed)
    for place, (load, save) in FRAMES.items():
        for row in await connection.fetch(load):
            frame = codec.frame_from_bytes(row["batch"])
            spine = partial(of_spine_keys, watch, row["model"], erased=erased)
            here = erased.of_stream(row["stream"] or _spine_stream(watch, row["model"]))
            kept = kept_rows(frame, here, removed, place, spine)
            if kept.height < frame.height:
                await connection.execute(save, row["id"], codec.frame_to_bytes(kept))
    await _reports(connection, erased, removed)
    await _outbox(connection, watch, erased, removed)
    return removed


async def _label_join(
    connection: Connection, watch: Watch, erased: Erased, removed: Removed
) -> None:
    keys = defaultdict[str, list[str]](list)
    for row in await connection.fetch(SQL["erasable_keys"]):
        keys[row["model"]].append(row["spine_key"])
    for model, mine in keys.items():
        for key, hits in zip(mine, of_spine_keys(watch, model, mine, erased), strict=True):
            if hits:
                removed.note(JOIN, hits, await connection.fetchval(SQL["erase_key"], model, key))


async def _reports(connection: Connection, erased: Erased, removed: Removed) -> None:
    for row in await connection.fetch(SQL["erasable_reports"]):
        frames = [codec.frame_from_bytes(row[name]) for name in ("reference", "current")]
        here = erased.of_stream(row["stream"])
        kept = [kept_rows(frame, here, removed, REPORTS) for frame in frames]
        if [one.height for one in kept] != [one.height for one in frames]:
            await connection.execute(
                "UPDATE report_rows SET reference = $2, current = $3 WHERE alert_id = $1",
                row["alert_id"],
                *map(codec.frame_to_bytes, kept),
            )
    if removed.rows[REPORTS] or removed.rows[SAMPLES] or removed.rows[FIELDS]:
        await connection.execute(SQL["erase_report"])


async def _outbox(connection: Connection, watch: Watch, erased: Erased, removed: Removed) -> None:
    """Let go of announced labels: they are kept a while after they were published."""
    query = "SELECT id, topic, value FROM outbox WHERE topic LIKE 'labels.%'"
    for row in await connection.fetch(query):
        model = row["topic"].removeprefix("labels.")
        keys = events.decode(row["value"]).column("_spine_key").unique().to_pylist()
        held = of_spine_keys(watch, model, keys, erased)
        hits = {one.erasure_id: one for mine in held for one in mine}
        if hits:
            removed.note(OUTBOX, hits.values())
            gone = "DELETE FROM outbox WHERE id = $1 AND published_at IS NOT NULL"
            await connection.execute(gone, row["id"])


def of_spine_keys(
    watch: Watch, model: str, keys: Sequence[str], erased: Erased
) -> list[list[ErasedKey]]:
    """Return the entities that each spine key holds; of a model that is gone any that may be."""
    known = watch.models.get(model)
    if known is not None:
        names = {(known.spine_stream, known.spine_key), (known.label_stream, known.label_key)}
    else:
        names = {("", one.fields) for one in erased.keys}
        names |= {(stream, (column,)) for stream, column in erased.computed_from()}
    hits: list[dict[str, ErasedKey]] = [{} for _ in keys]
    for stream, parts in names:
        for one, columns, rows in erased.of_stream(stream).named(key_table(parts, keys)):
            if columns or known is not None:  # a constant says nothing of a stream that is guessed
                for at in np.flatnonzero(rows).tolist():
                    hits[at][one.erasure_id] = one
    return [list(one.values()) for one in hits]


def _spine_stream(watch: Watch, model: str) -> str:
    """Return the stream whose fields the requests of a model have; empty if it is gone."""
    known = watch.models.get(model)
    return known.spine_stream if known is not None else ""


def kept_rows(
    frame: pl.DataFrame,
    erased: Erased,
    removed: Removed,
    place: str,
    of_keys: Callable[[Sequence[str]], Sequence[Sequence[ErasedKey]]] | None = None,
) -> pl.DataFrame:
    """Return the rows that are of nobody erased, by text columns, request or key; count others.

    Raw rows are a part of a stream's columns, numbers as float64. Where that is too little to say
    whose they are, all of them go.
    """
    gone = np.zeros(frame.height, dtype=np.bool_)
    kinds = [pl.String, pl.Float64] if place in RAW else [pl.String]
    held = frame.select(pl.col(kinds))
    tables = [_plain(held)]
    if "request" in frame.columns:
        tables.append(request_table(frame["request"].to_list()))
    for table in tables:
        for one, rows in erased.found(table):
            removed.note(place, [one], int((rows & ~gone).sum()))
            gone |= rows
    if of_keys is not None and "key" in frame.columns:
        left = np.flatnonzero(~gone)
        for index, hits in zip(left.tolist(), of_keys(frame["key"][left].to_list()), strict=True):
            removed.note(place, hits)
            gone[index] = bool(hits)
    if place in RAW and not gone.all():
        anybody = erased.in_doubt(held.columns)
        removed.note(place, anybody, int((~gone).sum()))
        gone |= bool(anybody)
    return frame.filter(pl.Series(~gone)) if gone.any() else frame


def _plain(frame: pl.DataFrame) -> pa.Table:
    """Return columns as Arrow has them elsewhere."""
    columns = {one.name: one.to_arrow() for one in frame}
    texts = (one.name for one in frame if one.dtype == pl.String)
    columns |= {name: columns[name].cast(pa.large_string()) for name in texts}
    return pa.table(columns)


def without(found: Predictions, key: Sequence[str], erased: Erased) -> Predictions:
    """Return predictions that are of nobody erased."""
    if not erased:
        return found
    return type(found)(_unerased(found.rows, key, erased), _unerased(found.sampled, key, erased))


def _unerased(frame: pl.DataFrame, key: Sequence[str], erased: Erased) -> pl.DataFrame:
    gone: npt.NDArray[np.bool_] = np.zeros(frame.height, dtype=np.bool_)
    if erased.may_be_in(key):
        gone |= erased.rows(key_table(key, frame["key"].to_list()))
    if "request" in frame.columns:
        gone |= erased.rows(request_table(frame["request"].to_list()))
    return frame.filter(pl.Series(~gone)) if gone.any() else frame
