"""Remove erased entities from what monitoring keeps: the label join, kept rows, samples, reports.

Drift counts, cohorts and what was learnt of a field are numbers over many rows: they stay.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa

from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_common import events
from tidemill_common.erasures import request_table
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
    for row in await connection.fetch(SQL["erasable_keys"]):
        model, key = row["model"], row["spine_key"]
        hits = of_spine_key(watch, model, key, erased)
        if hits:
            removed.note(JOIN, hits, await connection.fetchval(SQL["erase_key"], model, key))
    for place, (load, save) in FRAMES.items():
        for row in await connection.fetch(load):
            frame = codec.frame_from_bytes(row["batch"])
            spine = partial(of_spine_key, watch, row["model"], erased=erased)
            here = erased.of_stream(row["stream"] or _spine_stream(watch, row["model"]))
            kept = kept_rows(frame, here, removed, place, spine)
            if kept.height < frame.height:
                await connection.execute(save, row["id"], codec.frame_to_bytes(kept))
    await _reports(connection, erased, removed)
    await _outbox(connection, watch, erased, removed)
    return removed


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
        hits = {
            one.erasure_id: one for key in keys for one in of_spine_key(watch, model, key, erased)
        }
        if hits:
            removed.note(OUTBOX, hits.values())
            gone = "DELETE FROM outbox WHERE id = $1 AND published_at IS NOT NULL"
            await connection.execute(gone, row["id"])


def of_spine_key(watch: Watch, model: str, key: str, erased: Erased) -> list[ErasedKey]:
    """Return the entities that a spine key holds; of a model that is gone any that may be."""
    known = watch.models.get(model)
    if known is not None:
        names = {(known.spine_stream, known.spine_key), (known.label_stream, known.label_key)}
    else:
        names = {("", one.fields) for one in erased.keys}
    hits = {
        one.erasure_id: one
        for stream, parts in names
        for one in erased.of_stream(stream).of_key(parts, key.encode())
    }
    return list(hits.values())


def _spine_stream(watch: Watch, model: str) -> str:
    """Return the stream whose fields the requests of a model have; empty if it is gone."""
    known = watch.models.get(model)
    return known.spine_stream if known is not None else ""


def kept_rows(
    frame: pl.DataFrame,
    erased: Erased,
    removed: Removed,
    place: str,
    of_key: Callable[[str], Sequence[ErasedKey]] | None = None,
) -> pl.DataFrame:
    """Return the rows that are of nobody erased, by text columns, request or key; count others."""
    gone = np.zeros(frame.height, dtype=np.bool_)
    tables = [_plain(frame.select(pl.col(pl.String)))]
    if "request" in frame.columns:
        tables.append(request_table(frame["request"].to_list()))
    for table in tables:
        for one, rows in erased.found(table):
            removed.note(place, [one], int((rows & ~gone).sum()))
            gone |= rows
    if of_key is not None and "key" in frame.columns:
        for index in np.flatnonzero(~gone).tolist():
            hits = of_key(frame["key"][index])
            removed.note(place, hits)
            gone[index] = bool(hits)
    return frame.filter(pl.Series(~gone)) if gone.any() else frame


def _plain(frame: pl.DataFrame) -> pa.Table:
    """Return text columns as Arrow has them elsewhere."""
    table = frame.to_arrow()
    return table.cast(pa.schema([pa.field(name, pa.large_string()) for name in table.schema.names]))


def without(found: Predictions, key: Sequence[str], erased: Erased) -> Predictions:
    """Return predictions that are of nobody erased."""
    if not erased:
        return found
    return type(found)(_unerased(found.rows, key, erased), _unerased(found.sampled, key, erased))


def _unerased(frame: pl.DataFrame, key: Sequence[str], erased: Erased) -> pl.DataFrame:
    gone: npt.NDArray[np.bool_] = np.zeros(frame.height, dtype=np.bool_)
    if erased.may_be_in(key):
        gone |= [bool(erased.of_key(key, one.encode())) for one in frame["key"].to_list()]
    if "request" in frame.columns:
        gone |= erased.rows(request_table(frame["request"].to_list()))
    return frame.filter(pl.Series(~gone)) if gone.any() else frame
