"""On-demand features of a model, computed in the same way for a request and for a training set.

Columns are Arrow arrays: a feature of a view is float64 and NULL where it has no value (never NaN,
which SQL would treat as a number), a request field has its declared type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tidemill_common.feature_views import FIELD_TYPES
from tidemill_tiles.expressions import Expression, compile_expression

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2 as pb
    from tidemill.project.inputs import ModelInputs
    from tidemill_tiles.fieldtypes import FieldType

ARROW = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class OnDemand:
    """The expressions of one model, checked and in an order in which each can be computed."""

    expressions: tuple[tuple[str, Expression], ...]

    @classmethod
    def of(cls, inputs: ModelInputs) -> OnDemand:
        """Compile what `model_inputs` resolved; Misconfigured if an expression cannot work."""
        types: dict[str, FieldType] = {
            one.name: FIELD_TYPES[one.type] for one in (*inputs.features, *inputs.on_demand)
        }
        types.update((field.name, FIELD_TYPES[field.type]) for field in inputs.fields)
        return cls(
            tuple(
                (one.name, compile_expression(one.expression, types, FIELD_TYPES[one.type]))
                for one in inputs.on_demand
            )
        )

    @property
    def columns(self) -> frozenset[str]:
        """Names of all columns that the expressions read, those they compute themselves too."""
        return frozenset(name for _, one in self.expressions for name in one.columns)

    def compute(self, columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """Return the computed columns by name; `columns` must hold what they read."""
        known = dict(columns)
        for name, expression in self.expressions:
            known[name] = expression.evaluate(known)
        return {name: known[name] for name, _ in self.expressions}


def feature_array(values: npt.NDArray[np.float64]) -> pa.Array:
    """Return values of a view's feature as an expression sees them: NaN becomes NULL."""
    return pa.array(values, type=pa.float64(), mask=np.isnan(values))


def field_array(field: pb.Field, values: Iterable[Any]) -> pa.Array:
    """Return values of a request field (times in microseconds) as an expression sees them."""
    return pa.array(list(values), type=ARROW[FIELD_TYPES[field.type]])


def numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    """Return a computed column as float64, NaN for NULL; a time is its seconds, text is NaN."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.full(len(column), np.nan)
    if pa.types.is_timestamp(column.type):
        seconds = column.cast(pa.int64()).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return np.asarray(seconds / 1e6, dtype=np.float64)
    converted = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.array(converted, dtype=np.float64)
