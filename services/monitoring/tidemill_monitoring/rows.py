"""Whole batches into the columns that the store takes: spine, labels, predictions, raw fields.

Arrow and NumPy only, where it is cheap: a step has few rows, so the number of calls is the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from tidemill_common import prediction_rows
from tidemill_common.preprocessing import category_text
from tidemill_common.topics import KEY_SEPARATOR
from tidemill_monitoring import fieldstate
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from tidemill_monitoring.decoding import Events
    from tidemill_monitoring.definitions import ModelDefinition
    from tidemill_monitoring.fieldstate import Watched

SKEW_US = 300_000_000
MICROSECONDS = pa.timestamp("us", "UTC")


def join_keys(columns: Sequence[Any]) -> Any:
    """Give the canonical key of each row as text; null where a part is null."""
    texts = [column.cast(pa.string()) for column in columns]
    if len(texts) == 1:
        return texts[0]
    return pc.binary_join_element_wise(*texts, KEY_SEPARATOR, null_handling="emit_null")


def micros(column: Any) -> npt.NDArray[np.int64]:
    """Give a timestamp column without nulls as microseconds."""
    found: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    return found


def _complete(table: pa.Table, finite: str = "") -> pa.Table:
    """Drop rows with a null, and those whose value in `finite` is not a number."""
    if finite:
        table = table.filter(pc.is_finite(table[finite]))
    return table.drop_null()


def spine_rows(model: ModelDefinition, found: Events) -> pa.Table:
    """Give source, id, key and time of the rows at which a prediction is wanted."""
    table = found.table
    return _complete(
        pa.table(
            {
                "source": table["_source"],
                "id": table["_id"],
                "key": join_keys([table[name] for name in model.spine_key]),
                "t": table[model.spine_time or "_time"].cast(pa.int64()),
            }
        )
    )


def label_rows(model: ModelDefinition, found: Events) -> pa.Table:
    """Give the labels in a batch: source, id, key, event time, available time, value."""
    table = found.table
    value = model.label.evaluate(table)
    if model.label.result is FieldType.BOOL:
        value = value.cast(pa.int8())
    return _complete(
        pa.table(
            {
                "source": table["_source"],
                "id": table["_id"],
                "key": join_keys([table[name] for name in model.label_key]),
                "time": table["_time"].cast(pa.int64()),
                "available": table["_available"].cast(pa.int64()),
                "value": value.cast(pa.float64()),
            }
        ),
        finite="value",
    )


def watched_rows(watched: Watched, found: Events) -> pl.DataFrame:
    """Give the watched fields of a batch with the place of each row."""
    columns = [
        pl.Series(fieldstate.CLOCK, found.clock_us),
        pl.Series(fieldstate.TIME, micros(found.table["_time"])),
        pl.Series(fieldstate.PARTITION, found.partition.astype(np.int32)),
        pl.Series(fieldstate.OFFSET, found.offset),
        pl.Series(fieldstate.ROW, found.row.astype(np.int32)),
        pl.Series(fieldstate.IDENTITY, identities(found.table)),
    ]
    columns += [pl.Series(n, found.table[n].cast(pa.float64())) for n in watched.numeric]
    columns += [pl.Series(n, found.table[n]) for n in watched.strings]
    return pl.DataFrame(columns)


def identities(table: pa.Table) -> npt.NDArray[np.int64]:
    """Give a number for each event's identity: source, id, and what it is a replay of."""
    parts = (table[name].to_pylist() for name in ("_source", "_id", "_replay_of"))
    hashes = [
        xxhash.xxh3_64_intdigest(f"{source}\x1f{id_}\x1f{replayed or ''}".encode())
        for source, id_, replayed in zip(*parts, strict=True)
    ]
    return np.asarray(hashes, dtype=np.uint64).view(np.int64)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Answers of one step that went well, and those of them whose vector is logged."""

    rows: pl.DataFrame
    sampled: pl.DataFrame


def predictions(table: pa.Table) -> Predictions:
    """Read rows of predictions.<model> (`tidemill_common.prediction_rows`)."""
    good = pc.and_(
        pc.equal(table["_status"], prediction_rows.OK),
        pc.and_(pc.is_finite(table["_score"]), pc.is_valid(table["_spine_key"])),
    )
    table = table.filter(good)
    answered = pa.table(
        {
            "id": table["_prediction_id"],
            "key": table["_spine_key"],
            "t": table["_time"].cast(pa.int64()),
            "version": table["_version"],
            "variant": table["_variant"],
            "score": table["_score"],
            "vector": table["_vector"],
            "request": table["_request"],
        }
    )
    sampled = answered.filter(pc.and_(table["_sampled"], pc.is_valid(table["_vector"])))
    return Predictions(_frame(answered.drop_columns(["vector", "request"])), _frame(sampled))


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))


def categories(sampled: pl.DataFrame, names: Sequence[str]) -> dict[str, list[str | None]]:
    """Give the categorical inputs of sampled predictions, as texts, from their requests."""
    requests = [orjson.loads(text) if text else {} for text in sampled["request"]]
    return {name: [category_text(request.get(name)) for request in requests] for name in names}


LABELS = pa.schema(
    [
        pa.field("_spine_id", pa.string(), nullable=False),
        pa.field("_spine_key", pa.string(), nullable=False),
        pa.field("_time", MICROSECONDS, nullable=False),
        pa.field("_label_time", MICROSECONDS, nullable=False),
        pa.field("_label_available", MICROSECONDS, nullable=False),
        pa.field("_label", pa.float64(), nullable=False),
        pa.field("_prediction_id", pa.string()),
        pa.field("_version", pa.int64()),
        pa.field("_score", pa.float64()),
    ]
)


def label_batch(joined: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Make the record of labels.<model> from joined rows (columns in the order of `LABELS`)."""
    columns = list(zip(*joined, strict=True)) if joined else [()] * len(LABELS)
    arrays = [
        pa.array(column, pa.int64()).cast(field.type)
        if pa.types.is_timestamp(field.type)
        else pa.array(column, field.type)
        for column, field in zip(columns, LABELS, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=LABELS)
