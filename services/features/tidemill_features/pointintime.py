"""Features of views as they were at given times, by the engine's own replay: pure."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from tidemill_features.spine import micros
from tidemill_tiles.columns import event_batch, window_time
from tidemill_tiles.keys import event_id_hashes, key_column
from tidemill_tiles.replay import History, history_order, replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from tidemill.project import ModelInputs
    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.spine import Spine
    from tidemill_tiles.reads import Reading

PIECE_ROWS: Final = 500_000


@dataclass(frozen=True, slots=True)
class Past:
    """The applied events of one stream in the order (available time, partition, offset, row)."""

    table: pa.Table
    available_us: npt.NDArray[np.int64]
    time_us: npt.NDArray[np.int64]
    ids: npt.NDArray[np.uint64]


def past_of(table: pa.Table) -> Past:
    """Order what the archive gave."""
    available = micros(table, "_available")
    order = history_order(
        available,
        np.zeros(len(available), dtype=np.int64),
        np.asarray(table["_partition"]),
        np.asarray(table["_offset"]),
        np.asarray(table["_row"]),
    )
    table = table.take(pa.array(order)).combine_chunks()
    available = available[order]
    return Past(
        table,
        available,
        window_time(micros(table, "_time"), available),
        event_id_hashes(table["_source"], table["_id"], table["_replay_of"]),
    )


def columns_of(views: Sequence[ViewSpec]) -> list[str]:
    """Return the columns of a stream's archive that these views need."""
    fields = [
        field.name for view in views for field in (*view.definition.entity, *view.definition.fields)
    ]
    return list(dict.fromkeys(["_id", "_source", "_replay_of", "_time", "_available", *fields]))


def features_at(
    inputs: ModelInputs,
    views: Mapping[str, ViewSpec],
    pasts: Mapping[str, Past],
    spine: Spine,
    *,
    delay_us: int,
    strict_stream: str,
) -> dict[str, npt.NDArray[np.float64]]:
    """Return every feature that the model reads, by its column's name, NaN where it has no value.

    A view of `strict_stream` sees only events available strictly before a row's time: the row's
    own event does not count.
    """

    def read(name: str, entity: Sequence[tuple[str, str]]) -> Reading:
        view = views[name]
        keys = key_column([spine.table[source] for _, source in entity])
        return replay(
            view.plan,
            _pieces(view, pasts[view.streams[0]]),
            keys.hashes,
            spine.time_us,
            delay_us=delay_us,
            strict=view.streams[0] == strict_stream,
            valid=keys.valid,
        )

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # kernels hold no lock
        readings = list(pool.map(lambda one: read(*one), inputs.entities))
    found: dict[str, npt.NDArray[np.float64]] = {}
    for (name, entity), reading in zip(inputs.entities, readings, strict=True):
        place = {feature: index for index, feature in enumerate(views[name].features)}
        for one in inputs.features:
            if one.view == name and one.entity == entity:
                found[one.name] = reading.values[:, place[one.feature]]
    return found


def _pieces(view: ViewSpec, past: Past) -> Iterator[History]:
    for start in range(0, len(past.available_us), PIECE_ROWS):
        part = slice(start, start + PIECE_ROWS)
        batch = event_batch(
            view.plan,
            past.table.slice(start, PIECE_ROWS),
            time_us=past.time_us[part],
            tie=past.ids[part],
        )
        yield History(batch, past.available_us[part])
