"""Fit how inputs become tensors: vocabularies from the training rows, arrays of all rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import Invalid
from tidemill_common.preprocessing import Category, Preprocessing, category_text, numeric_column
from tidemill_training.dataset import raw_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.definitions.v1 import project_pb2

DEFAULT_VOCABULARY: Final = 1000
CHEAP_ROWS: Final = 512
"""An embedding of so many rows costs nothing worth saving."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of the model: its name and, when it is categorical, how it is indexed."""

    name: str
    categorical: bool = False
    max_vocabulary: int = DEFAULT_VOCABULARY
    min_count: int = 1
    buckets: int = 0
    embedding: int = 0


@dataclass(frozen=True, slots=True)
class Arrays:
    """The tensors of rows: numbers (NaN = missing) and category indices."""

    features: npt.NDArray[np.float32]
    categories: npt.NDArray[np.int64]


def input_specs(model: project_pb2.Model) -> tuple[InputSpec, ...]:
    """Read the inputs of a normalised model definition, in its frozen order."""
    return tuple(_spec(one) for one in model.inputs)


def _spec(declared: project_pb2.Input) -> InputSpec:
    match declared.WhichOneof("source"):
        case "feature":
            feature = declared.feature
            if not feature.name:
                raise Invalid(
                    f"input {feature.view} is not expanded: the project is not normalised"
                )
            name = f"{feature.alias or feature.view}__{feature.name}"
        case "on_demand":
            name = declared.on_demand
        case "field":
            name = declared.field
        case _:
            raise Invalid("an input names neither feature, on-demand feature nor field")
    if not declared.HasField("categorical"):
        return InputSpec(name)
    how = declared.categorical
    return InputSpec(
        name,
        categorical=True,
        max_vocabulary=how.max_vocabulary or DEFAULT_VOCABULARY,
        min_count=max(how.min_count, 1),
        buckets=how.hash_buckets,
        embedding=how.embedding,
    )


def fit(
    model: str,
    task: str,
    inputs: Sequence[InputSpec],
    table: pa.Table,
    train: npt.NDArray[np.int64],
) -> Preprocessing:
    """Choose vocabularies from the training rows only; Invalid when an input is no column."""
    missing = [one.name for one in inputs if one.name not in table.column_names]
    if missing:
        raise Invalid(f"the training set has no column {', '.join(missing)}")
    seen = table.take(pa.array(train))
    return Preprocessing(
        model,
        task,
        numeric=tuple(one.name for one in inputs if not one.categorical),
        categories=tuple(_category(one, seen) for one in inputs if one.categorical),
    )


def _category(spec: InputSpec, table: pa.Table) -> Category:
    if spec.buckets:
        return Category(spec.name, buckets=spec.buckets)
    counts: Counter[str] = Counter()
    for seen in pc.value_counts(table.column(spec.name)).to_pylist():
        text = category_text(seen["values"])
        if text is not None:
            counts[text] += seen["counts"]
    frequent = [item for item in counts.items() if item[1] >= spec.min_count]
    frequent.sort(key=lambda item: (-item[1], item[0]))
    return Category(spec.name, tuple(text for text, _ in frequent[: spec.max_vocabulary]))


def capacity(spec: InputSpec, size: int = 0) -> int:
    """Return the rows of an embedding for a vocabulary of `size` indices.

    As far as it is cheap it follows from the definition alone, so that a vocabulary that grows by a
    value leaves the architecture, and its exported form, as it is. Above that: powers of two.
    """
    if spec.buckets:
        return spec.buckets + 1
    if spec.max_vocabulary < CHEAP_ROWS:
        return spec.max_vocabulary + 1
    room: int = 1 << (max(size, CHEAP_ROWS) - 1).bit_length()
    return min(room, spec.max_vocabulary + 1)


def encode(preprocessing: Preprocessing, table: pa.Table) -> Arrays:
    """Return the tensors of every row of `table`."""
    features = np.full((table.num_rows, len(preprocessing.numeric)), np.nan, dtype=np.float32)
    for i, name in enumerate(preprocessing.numeric):
        features[:, i] = numeric_column(raw_numbers(table, name))
    categories = np.zeros((table.num_rows, len(preprocessing.categories)), dtype=np.int64)
    for i, category in enumerate(preprocessing.categories):
        categories[:, i] = _indices(category, table.column(category.name))
    return Arrays(features, categories)


def _indices(category: Category, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Look each distinct value up once, and spread the indices by Arrow's dictionary codes."""
    coded = column.combine_chunks().dictionary_encode()
    codes = np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False))
    known = np.append(category.indices(coded.dictionary.to_pylist()), 0)
    return np.asarray(known[codes], dtype=np.int64)
