"""How raw values become a model's tensors: `preprocessing.json` of a model package, and its use.

Training fits and writes it, serving encodes requests with it: one implementation for both. Only
what a graph cannot do happens here: the frozen order of the inputs, and the index of a category.
Missing values, standardisation, clipping and calibration are inside the ONNX graph.

The graph takes `features` float32 [n, F] (the numeric inputs, NaN = missing) and `categories`
int64 [n, C] (the categorical ones), and gives `probability` (or `value`) float32 [n, 1].
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import xxhash

from tidemill.errors import Corrupt, Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT: Final = 1
FEATURES: Final = "features"
CATEGORIES: Final = "categories"
OUTPUTS: Final = {"binary": "probability", "regression": "value"}
MISSING: Final = 0
"""Index of a missing category, and of one that is not in the vocabulary."""
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Value = bool | int | float | str | datetime | None


@dataclass(frozen=True, slots=True)
class Category:
    """One categorical input: by vocabulary (index = place + 1), or by hash when `buckets` > 0."""

    name: str
    vocabulary: tuple[str, ...] = ()
    buckets: int = 0
    _places: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.buckets and self.vocabulary:
            raise Invalid(f"{self.name}: either a vocabulary or hash buckets, not both")
        self._places.update({text: place + 1 for place, text in enumerate(self.vocabulary)})

    @property
    def size(self) -> int:
        """How many indices there are, 0 (missing or unknown) included."""
        return 1 + (self.buckets or len(self.vocabulary))

    def index(self, value: Value) -> int:
        """Return the index of one value; never fails."""
        text = category_text(value)
        if text is None:
            return MISSING
        if self.buckets:
            return 1 + xxhash.xxh3_64_intdigest(text.encode()) % self.buckets
        return self._places.get(text, MISSING)

    def indices(self, values: Sequence[Value]) -> npt.NDArray[np.int64]:
        """Return the indices of a column; each distinct value is looked up once."""
        known: dict[Value, int] = {}
        return np.fromiter(
            (
                known[value] if value in known else known.setdefault(value, self.index(value))
                for value in values
            ),
            dtype=np.int64,
            count=len(values),
        )


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The inputs of one version: names in the order of the two tensors, and the output's name."""

    model: str
    task: str
    numeric: tuple[str, ...]
    categories: tuple[Category, ...]

    def __post_init__(self) -> None:
        if self.task not in OUTPUTS:
            raise Invalid(f"task {self.task!r} is none of {', '.join(OUTPUTS)}")

    @property
    def output(self) -> str:
        """Name of the graph's output."""
        return OUTPUTS[self.task]

    def encode(
        self, columns: Mapping[str, Sequence[Value]], rows: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return `features` and `categories` of `rows` rows; a column left out is missing."""
        features = np.full((rows, len(self.numeric)), np.nan, dtype=np.float32)
        for i, name in enumerate(self.numeric):
            if name in columns:
                features[:, i] = numeric_column(columns[name])
        categories = np.zeros((rows, len(self.categories)), dtype=np.int64)
        for i, category in enumerate(self.categories):
            if category.name in columns:
                categories[:, i] = category.indices(columns[category.name])
        return features, categories


def category_text(value: Value) -> str | None:
    """Return the canonical text of a categorical value; None, NaN and "" are missing."""
    match value:
        case None | "":
            return None
        case bool():
            return str(value).lower()
        case datetime():
            return str((value - _EPOCH) // _MICROSECOND)
        case float() if math.isnan(value):
            return None
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def numeric_value(value: Value) -> float:
    """Return a value as the number that the graph sees; None is NaN, a time is its seconds."""
    if value is None or isinstance(value, str):
        return float("nan")
    if isinstance(value, datetime):
        return (value - _EPOCH).total_seconds()
    return float(value)


def numeric_column(values: Sequence[Value] | npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return a column as float32 numbers, NaN where there is none; infinite is missing too."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        column = values.astype(np.float64)
    else:
        column = np.fromiter((numeric_value(value) for value in values), np.float64, len(values))
    with np.errstate(over="ignore"):
        narrow = column.astype(np.float32)
    narrow[~np.isfinite(narrow)] = np.nan
    return narrow


def to_json(preprocessing: Preprocessing) -> bytes:
    """Write it as canonical JSON; `from_json` gives it back unchanged."""
    document = {
        "format": FORMAT,
        "model": preprocessing.model,
        "task": preprocessing.task,
        "numeric": list(preprocessing.numeric),
        "categories": [
            {"name": c.name, "vocabulary": list(c.vocabulary), "buckets": c.buckets}
            for c in preprocessing.categories
        ],
        "output": preprocessing.output,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def from_json(data: bytes) -> Preprocessing:
    """Read `preprocessing.json`; Corrupt when it is not one."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise Corrupt(f"preprocessing.json has format {document['format']}, not {FORMAT}")
        return Preprocessing(
            model=str(document["model"]),
            task=str(document["task"]),
            numeric=tuple(str(name) for name in document["numeric"]),
            categories=tuple(
                Category(
                    str(c["name"]),
                    tuple(str(value) for value in c["vocabulary"]),
                    int(c["buckets"]),
                )
                for c in document["categories"]
            ),
        )
    except (KeyError, TypeError, ValueError, Invalid) as error:
        raise Corrupt(f"preprocessing.json cannot be read: {error}") from error
