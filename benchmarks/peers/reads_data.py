"""What is read online: entities with 50 features each, from a seed, as each store takes them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tidemill_common import events
from tidemill_common.feature_views import StreamSpec

FEATURES = tuple(f"f{number:02}" for number in range(50))
PARTITIONS = 2
SEED = 11
PARTS = 100_000
UNIT = 128
PROJECT = """
project: peers
streams:
  {name}:
    key: [entity]
    partitions: 2
    replay: true
    lateness: 1d
    fields:
      entity: {{type: string, required: true}}
{fields}
views:
  {name}:
    stream: {name}
    entity: [entity]
    aggregations:
{lasts}
"""


def project(name: str) -> str:
    """Return the project file: the last value of each of 50 fields."""
    fields = "\n".join(f"      {one}: float64" for one in FEATURES)
    lasts = "\n".join(
        f"      - {{function: last, field: {one}, name: {one}, windows: [lifetime]}}"
        for one in FEATURES
    )
    return PROJECT.format(name=name, fields=fields, lasts=lasts)


@dataclass(frozen=True)
class ReadData:
    """So many entities, the features of all of which became known at one moment."""

    entities: int
    at_us: int = field(default_factory=lambda: time.time_ns() // 1_000)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The features of each entity: numbers that every store holds to the last bit."""
        shape = (self.entities, len(FEATURES))
        return np.random.default_rng(SEED).integers(0, PARTS, shape) / UNIT

    def write(self, path: Path) -> None:
        """Write the feature rows as Feast takes them up."""
        times = pa.array(np.full(self.entities, self.at_us)).cast(events.TIMESTAMP)
        columns = {"entity": pa.array(names(range(self.entities))), "event_timestamp": times}
        columns |= {one: pa.array(self.values[:, at]) for at, one in enumerate(FEATURES)}
        pq.write_table(pa.table(columns), path)

    def record(self, spec: StreamSpec, rows: NDArray[np.int64]) -> bytes:
        """Return some feature rows as the record that ingestion would append."""
        schema = events.event_schema(spec.columns)
        times = pa.array(np.full(len(rows), self.at_us)).cast(events.TIMESTAMP)
        found = {
            "_id": pa.array([str(one) for one in rows.tolist()]),
            "_source": pa.array(["bench"] * len(rows)),
            "_time": times,
            "_available": times,
            "_replay_of": pa.nulls(len(rows), pa.string()),
            "entity": pa.array(names(rows.tolist())),
        }
        found |= {one: pa.array(self.values[rows, at]) for at, one in enumerate(FEATURES)}
        columns = [found[name] for name in schema.names]
        return events.encode(pa.RecordBatch.from_arrays(columns, schema=schema))


def names(numbers: Sequence[int] | range) -> list[str]:
    """Return the keys of entities."""
    return [f"n{one}" for one in numbers]
