"""Whole batches into the columns that the store takes: spine, labels, predictions, raw fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import Invalid
from tidemill_common import prediction_rows
from tidemill_common.preprocessing import category_text
from tidemill_common.topics import KEY_SEPARATOR
from tidemill_monitoring import fieldwatch
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from tidemill_monitoring.definitions import ModelDefinition
    from tidemill_monitoring.fieldwatch import Watched

SKEW_US = 300_000_000
MICROSECONDS = pa.timestamp("us", "UTC")


def join_keys(columns: Sequence[Any]) -> Any:
    """Give the canonical key of each row as text; null where a part is null."""
    texts = [column.cast(pa.string()) for column in columns]
    if len(texts) == 1:
        return texts[0]
    return pc.binary_join_element_wise(*texts, KEY_SEPARATOR, null_handling="emit_null")


def micros(column: Any) -> Any:
    """Give a timestamp column as microseconds."""
    return column.cast(MICROSECONDS).cast(pa.int64())


def clock_of(batch: pa.RecordBatch, append_ms: int) -> Any:
    """Give each row's stream time: when it was available, at most five minutes after its append."""
    return pc.min_element_wise(micros(batch.column("_available")), append_ms * 1_000 + SKEW_US)


def spine_rows(model: ModelDefinition, batch: pa.RecordBatch) -> pl.DataFrame:
    """Give source, id, key and time of the rows at which a prediction is wanted."""
    at = batch.column(model.spine_time or "_time")
    table = {
        "source": batch.column("_source"),
        "id": batch.column("_id"),
        "key": join_keys([batch.column(name) for name in model.spine_key]),
        "t": micros(at),
    }
    return _frame(table).drop_nulls()


def label_rows(model: ModelDefinition, batch: pa.RecordBatch) -> pl.DataFrame:
    """Give the labels in a batch: source, id, key, event time, available time, value."""
    value = model.label.evaluate(batch)
    if model.label.result is FieldType.BOOL:
        value = value.cast(pa.int8())
    table = {
        "source": batch.column("_source"),
        "id": batch.column("_id"),
        "key": join_keys([batch.column(name) for name in model.label_key]),
        "time": micros(batch.column("_time")),
        "available": micros(batch.column("_available")),
        "value": value.cast(pa.float64()),
    }
    return _frame(table).drop_nulls().filter(pl.col("value").is_finite())


def watched_rows(
    watched: Watched, batch: pa.RecordBatch, partition: int, offset: int, append_ms: int
) -> pl.DataFrame:
    """Give the watched fields of a batch with the place of each row."""
    numbers = {name: batch.column(name).cast(pa.float64()) for name in watched.numeric}
    texts = {name: batch.column(name) for name in watched.strings}
    clock = clock_of(batch, append_ms)
    frame = _frame({"_clock": clock, "_time": micros(batch.column("_time")), **numbers, **texts})
    return frame.with_columns(
        pl.lit(partition, pl.Int32).alias(fieldwatch.PARTITION),
        pl.lit(offset, pl.Int64).alias(fieldwatch.OFFSET),
        pl.int_range(pl.len(), dtype=pl.Int32).alias(fieldwatch.ROW),
    ).select(*fieldwatch.PLACE, *watched.numeric, *watched.strings)


def _frame(columns: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series(name, column) for name, column in columns.items()})


@dataclass(frozen=True, slots=True)
class Predictions:
    """Answers of one batch that went well, and those of them whose vector is logged."""

    rows: pl.DataFrame
    sampled: pl.DataFrame


def predictions(batch: pa.RecordBatch) -> Predictions:
    """Read a record of predictions.<model>; Invalid when its columns are not those of the log."""
    if not batch.schema.equals(prediction_rows.SCHEMA):
        raise Invalid("columns differ from those of the prediction log")
    frame = pl.DataFrame(pl.from_arrow(batch)).filter(
        (pl.col("_status") == prediction_rows.OK)
        & pl.col("_score").is_finite()
        & pl.col("_spine_key").is_not_null()
    )
    rows = frame.select(
        id="_prediction_id",
        key="_spine_key",
        t=pl.col("_time").dt.epoch("us"),
        version="_version",
        variant="_variant",
        score="_score",
    )
    logged = frame["_sampled"] & frame["_vector"].is_not_null()
    chosen = frame.filter(logged)
    sampled = rows.filter(logged).with_columns(vector=chosen["_vector"], request=chosen["_request"])
    return Predictions(rows, sampled)


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
