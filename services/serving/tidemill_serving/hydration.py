"""Fill in what a request does not carry: features of its entities and on-demand values.

One read per view and entity mapping for a whole batch, and one evaluation of each expression. All
rows without a time of their own are answered as of one moment. Values stay float64 until a version
encodes them, so that what is logged is what was read, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tidemill_common import metrics
from tidemill_common.on_demand import feature_array, field_array, numbers
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from tidemill_common.feature_reads import ReadResult
    from tidemill_serving.definitions import EntityRead, ModelSpec
    from tidemill_serving.fields import Row, Value

SILENT_US = 5_000_000


class Replica(Protocol):
    """What hydration asks of the feature replica."""

    def read(
        self,
        view: str,
        entities: Sequence[Sequence[Any]],
        at_us: int | npt.NDArray[np.int64] | None = None,
    ) -> ReadResult:
        """Read entities of a view."""

    def positions(self, views: Collection[str] = ()) -> dict[str, list[int]]:
        """Return the positions of the logs that the last read was computed from."""

    def newest_available_us(self) -> int:
        """Return the newest available time that was applied."""


@dataclass(slots=True)
class Hydrated:
    """A batch with all its columns. `newer[i]`: the state knew more than the row's time allows."""

    rows: int
    at_us: npt.NDArray[np.int64]
    newer: npt.NDArray[np.bool_]
    columns: dict[str, Any] = field(default_factory=dict)
    freshness_us: int = 0
    positions: dict[str, list[int]] = field(default_factory=dict)


class Hydrator:
    """Hydrates batches of one model."""

    def __init__(self, spec: ModelSpec, replica: Replica, now_us: Callable[[], int]) -> None:
        """Read from `replica`; `now_us` is the wall clock."""
        self._spec = spec
        self._replica = replica
        self._now_us = now_us
        fields = spec.inputs.fields
        categorical = {one.name for one in spec.inputs.categorical}
        self._plain = [
            (place, declared.name, spec.fields.fields[place].type, declared.name in categorical)
            for place, declared in enumerate(fields)
            if any(one.name == declared.name for one in spec.inputs.inputs)
        ]
        self._computed = spec.on_demand.columns
        self._arrays = [
            (place, declared)
            for place, declared in enumerate(fields)
            if declared.name in self._computed
        ]
        self._categorical = categorical

    def hydrate(
        self, rows: Sequence[Row], at_us: Sequence[int | None], *, positions: bool
    ) -> Hydrated:
        """Make the columns of a batch. Unavailable while a view has no complete state."""
        now = max(self._now_us(), self._replica.newest_available_us())
        at = np.array([now if one is None else one for one in at_us], dtype=np.int64)
        batch = Hydrated(len(rows), at, np.zeros(len(rows), dtype=np.bool_))
        for read in self._spec.reads:
            self._read(read, rows, batch)
        if positions:
            batch.positions = self._replica.positions(self._spec.views)
        for place, name, kind, is_category in self._plain:
            values = [row[place] for row in rows]
            batch.columns[name] = values if is_category else _float_column(values, kind)
        if self._spec.on_demand.expressions:
            self._compute(rows, batch)
        return batch

    def _read(self, read: EntityRead, rows: Sequence[Row], batch: Hydrated) -> None:
        entities = [tuple(row[place] for place in read.places) for row in rows]
        result = self._replica.read(read.view, entities, batch.at_us)
        found = {name: index for index, name in enumerate(result.features)}
        for column, feature in read.columns:
            batch.columns[column] = result.values[:, found[feature]]
        batch.freshness_us = max(batch.freshness_us, result.freshness_us)
        batch.newer |= result.state_newer
        if result.freshness_us > SILENT_US:
            metrics.counter(
                "tidemill_feature_fallback_total", model=self._spec.name, view=read.view
            ).inc(batch.rows)

    def _compute(self, rows: Sequence[Row], batch: Hydrated) -> None:
        known: dict[str, pa.Array] = {
            name: feature_array(values)
            for name, values in batch.columns.items()
            if name in self._computed and isinstance(values, np.ndarray)
        }
        for place, declared in self._arrays:
            known[declared.name] = field_array(declared, (row[place] for row in rows))
        for name, array in self._spec.on_demand.compute(known).items():
            batch.columns[name] = array.to_pylist() if name in self._categorical else numbers(array)


def vector(columns: Mapping[str, object], names: Sequence[str], row: int) -> list[float]:
    """Return one row's numeric inputs in a version's order, NaN where there is none."""
    picked = []
    for name in names:
        column = columns.get(name)
        picked.append(float(column[row]) if isinstance(column, np.ndarray) else float("nan"))
    return picked


def _float_column(values: Sequence[Value], kind: FieldType) -> npt.NDArray[np.float64]:
    if kind is FieldType.STRING:
        return np.full(len(values), np.nan)
    column = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return column / 1e6 if kind is FieldType.TIMESTAMP else column
