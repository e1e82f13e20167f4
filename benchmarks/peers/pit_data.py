"""The data of the training-set row: feature rows per entity, labels, and the rows that are right.

A label sees the newest feature row of its entity that is strictly older; one entity in a hundred
has none, and its labels must stay, with empty features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

FEATURES = tuple(f"f{number:02}" for number in range(20))
START_US = 1_767_571_200_000_000  # 2026-01-05T00:00:00Z
FEATURE_SPACING_US = 80_000
SEED = 11
WITHOUT = 100  # one entity in so many has no feature row
COMPARED_DECIMALS = 2
TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class PitData:
    """So many labels over as many feature rows; ten feature rows an entity."""

    labels: int

    @property
    def entities(self) -> int:
        """How many entities there are."""
        return max(self.labels // 10, WITHOUT)

    @cached_property
    def feature_entity(self) -> NDArray[np.int64]:
        """The entity of each feature row, in the order of time."""
        entity = np.random.default_rng(SEED).integers(0, self.entities, self.labels)
        return np.where(entity % WITHOUT == 0, entity + 1, entity)

    @cached_property
    def feature_time_us(self) -> NDArray[np.int64]:
        """Even microseconds: no label has the same."""
        return START_US + np.arange(self.labels, dtype=np.int64) * FEATURE_SPACING_US

    @cached_property
    def cents(self) -> NDArray[np.int64]:
        """The feature values in hundredths: a row per feature row, a column per feature."""
        random = np.random.default_rng(SEED + 1)
        return random.integers(0, 100_000, (self.labels, len(FEATURES)))

    @cached_property
    def label_entity(self) -> NDArray[np.int64]:
        """The entity of each label, in the order of time."""
        return np.random.default_rng(SEED + 2).integers(0, self.entities, self.labels)

    @cached_property
    def label_time_us(self) -> NDArray[np.int64]:
        """Odd microseconds, rising."""
        half = FEATURE_SPACING_US // 2
        jitter = np.random.default_rng(SEED + 3).integers(0, half - 1, self.labels)
        return self.feature_time_us + half + jitter // 2 * 2 + 1

    def found(self) -> NDArray[np.int64]:
        """Return the feature row of each label, or -1."""
        order = np.lexsort((self.feature_time_us, self.feature_entity))
        span = int(self.label_time_us[-1]) - START_US + 1
        key = self.feature_entity[order] * span + self.feature_time_us[order] - START_US
        wanted = self.label_entity * span + self.label_time_us - START_US
        place = np.searchsorted(key, wanted, side="left") - 1
        row = order[np.maximum(place, 0)]
        return np.where((place >= 0) & (self.feature_entity[row] == self.label_entity), row, -1)

    def write(self, folder: Path) -> None:
        """Write the feature rows and the labels as Parquet."""
        columns = {name: pa.array(self.cents[:, at] / 100) for at, name in enumerate(FEATURES)}
        times = pa.array(self.feature_time_us).cast(TIMESTAMP)
        entity = pa.array(self.feature_entity)
        pq.write_table(
            pa.table({"entity": entity, "event_timestamp": times, **columns}),
            folder / "features.parquet",
        )
        labels = {
            "label_id": pa.array(np.arange(self.labels)),
            "entity": pa.array(self.label_entity),
            "event_timestamp": pa.array(self.label_time_us).cast(TIMESTAMP),
        }
        pq.write_table(pa.table(labels), folder / "labels.parquet")

    def judge(self, label: NDArray[np.int64], values: NDArray[np.float64]) -> dict[str, int]:
        """Count rows that are lost, repeated or different, given each row's label and values."""
        found = self.found()
        right = np.where((found >= 0)[:, None], self.cents[found] / 100, np.nan)[label]
        same = np.isclose(values, right, rtol=0, atol=10**-COMPARED_DECIMALS / 2, equal_nan=True)
        distinct = len(np.unique(label))
        return {
            "rows": len(label),
            "rows_lost": self.labels - distinct,
            "rows_repeated": len(label) - distinct,
            "rows_different": int((~same.all(axis=1)).sum()),
        }


def read(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read a peer's result: the label of each row, and its values."""
    table = pq.read_table(path, columns=["label_id", *FEATURES])
    values = [table[name].to_numpy(zero_copy_only=False) for name in FEATURES]
    label = table["label_id"].to_numpy(zero_copy_only=False)
    return label.astype(np.int64), np.column_stack(values).astype(np.float64)
