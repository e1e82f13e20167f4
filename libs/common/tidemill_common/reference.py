"""The reference of a model version: what its data looked like, in bins, as `reference.json`.

Training writes it into the model package, monitoring counts live values over the *same* edges.
Only counts travel, no rows. A numeric column has up to 64 quantile cells between its smallest and
its largest value, one cell below and one above; a categorical one its most frequent values and
"other". A count vector of live data has one entry more than `counts`: the missing values, last.

The names: an input has the name that it has in the model's frozen order (`weather__last_temp_3h`,
`hour`, `carrier`), a raw field is `<stream>.<field>`, the prediction is `predictions`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tidemill.errors import Corrupt, Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT = 1
CELLS = 64
TOP = 64
TAIL = 0.001  # share of the values beyond `low`, and beyond `high`
PREDICTIONS = "predictions"

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NumericBins:
    """Cells of one numeric column: cell i holds edges[i-1] < value <= edges[i].

    The first cell lies below every value of the reference, the last one above, so both hold 0.
    A column without a finite value has no edges and one empty cell.
    """

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int = 0
    mean: float = 0.0
    std: float = 0.0
    low: float = 0.0
    median: float = 0.0
    high: float = 0.0

    def __post_init__(self) -> None:
        """Refuse bins that no column can have."""
        if len(self.counts) != len(self.edges) + 1:
            raise Invalid(f"{self.name}: {len(self.edges)} edges with {len(self.counts)} counts")
        if any(not math.isfinite(edge) for edge in self.edges):
            raise Invalid(f"{self.name}: an edge is not finite")
        if any(a >= b for a, b in zip(self.edges, self.edges[1:], strict=False)):
            raise Invalid(f"{self.name}: the edges do not ascend")

    @property
    def rows(self) -> int:
        """How many values, missing ones too, the reference has."""
        return sum(self.counts) + self.missing

    def count(self, values: npt.NDArray[np.floating[Any]]) -> Counts:
        """Count `values` over the cells; NaN is missing, infinite ones are beyond the ends."""
        missing = np.isnan(values)
        cells = np.searchsorted(np.asarray(self.edges), values[~missing], side="left")
        counted = np.bincount(cells, minlength=len(self.counts))
        return np.append(counted, np.count_nonzero(missing)).astype(np.int64)

    def vector(self) -> Counts:
        """Return the reference's own counts in the form of `count`."""
        return np.asarray([*self.counts, self.missing], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class CategoricalBins:
    """The most frequent values of one categorical column, and how many were something else."""

    name: str
    values: tuple[str, ...]
    counts: tuple[int, ...]
    other: int = 0
    missing: int = 0

    def __post_init__(self) -> None:
        """Refuse bins that no column can have."""
        if len(self.counts) != len(self.values) or len(set(self.values)) != len(self.values):
            raise Invalid(f"{self.name}: values and counts do not fit")

    @property
    def rows(self) -> int:
        """How many values, missing ones too, the reference has."""
        return sum(self.counts) + self.other + self.missing

    def count(self, values: Sequence[str | None]) -> Counts:
        """Count `values`: the known ones, then other, then missing."""
        seen = Counter(values)
        missing = seen.pop(None, 0)
        known = [seen.pop(value, 0) for value in self.values]
        return np.asarray([*known, sum(seen.values()), missing], dtype=np.int64)

    def vector(self) -> Counts:
        """Return the reference's own counts in the form of `count`."""
        return np.asarray([*self.counts, self.other, self.missing], dtype=np.int64)


Bins = NumericBins | CategoricalBins


@dataclass(frozen=True, slots=True)
class Reference:
    """Everything that monitoring compares a version's live data with.

    `metrics` are the version's own on its test rows (auc, log_loss, brier, ece; rmse, mae), on
    `metric_rows` rows. `importances` say how much an input matters (any non-negative scale; an
    input left out counts as average). `fields` profile the raw streams of the training span.
    """

    model: str
    inputs: tuple[Bins, ...]
    prediction: NumericBins
    fields: tuple[Bins, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    metric_rows: int = 0
    importances: Mapping[str, float] = field(default_factory=dict)


def numeric_bins(
    name: str, values: npt.NDArray[np.floating[Any]], *, cells: int = CELLS
) -> NumericBins:
    """Cut `values` (NaN or infinite: missing) into at most `cells` cells of about equal counts."""
    finite = np.sort(values[np.isfinite(values)].astype(np.float64))
    return sorted_bins(name, finite, int(values.size - finite.size), cells=cells)


def sorted_bins(
    name: str, finite: npt.NDArray[np.float64], missing: int, *, cells: int = CELLS
) -> NumericBins:
    """Cut finite values that ascend into cells, as `numeric_bins` does."""
    if finite.size == 0:
        return NumericBins(name, (), (0,), missing)
    inner = np.unique(finite[ranks_of(finite.size, cells)])
    smallest = int(np.searchsorted(finite, inner[0], side="right"))
    edges = edges_of(inner, smallest / finite.size, cells)
    not_above = np.searchsorted(finite, edges, side="right")
    counts = np.diff(not_above, prepend=0, append=finite.size)
    places = [(finite.size - 1) * share for share in (TAIL, 0.5, 1 - TAIL)]
    low, median, high = (
        between(finite[math.floor(place)], finite[math.ceil(place)], place) for place in places
    )
    return NumericBins(
        name,
        tuple(edges.tolist()),
        tuple(counts.tolist()),
        missing,
        mean=float(finite.mean()),
        std=float(finite.std()),
        low=float(low),
        median=float(median),
        high=float(high),
    )


def between(below: float, above: float, place: float) -> float:
    """Return the value at a place between two ranks, as NumPy's quantile does."""
    share = place - math.floor(place)
    if share >= 0.5:
        return above - (above - below) * (1 - share)
    return below + (above - below) * share


def ranks_of(count: int, cells: int = CELLS) -> npt.NDArray[np.int64]:
    """Return which of `count` sorted values bound the cells of about equal counts."""
    return np.linspace(0, count - 1, cells + 1).round().astype(np.int64)


def edges_of(
    inner: npt.NDArray[np.float64], smallest: float, cells: int = CELLS
) -> npt.NDArray[np.float64]:
    """Return the edges over different bounds of cells, ascending; `smallest` is the first's share.

    The smallest value gets a cell of its own only when it is frequent.
    """
    edges = np.concatenate(([np.nextafter(inner[0], -np.inf)], inner[inner > inner[0]]))
    if inner.size == 1:
        return np.append(edges, inner[0])
    return np.insert(edges, 1, inner[0]) if smallest > 1 / cells else edges


def categorical_bins(name: str, values: Sequence[str | None], *, top: int = TOP) -> CategoricalBins:
    """Count the `top` most frequent values (ties by text) and the rest."""
    seen = Counter(values)
    missing = seen.pop(None, 0)
    ranked = sorted(seen.items(), key=lambda item: (-item[1], item[0] or ""))
    kept = [(value, count) for value, count in ranked[:top] if value is not None]
    return CategoricalBins(
        name,
        tuple(value for value, _ in kept),
        tuple(count for _, count in kept),
        other=sum(count for _, count in ranked[top:]),
        missing=missing,
    )


def to_json(reference: Reference) -> bytes:
    """Write `reference` as canonical JSON; `from_json` gives it back unchanged."""
    document = {
        "format": FORMAT,
        "model": reference.model,
        "inputs": [bins_to_dict(bins) for bins in reference.inputs],
        "prediction": bins_to_dict(reference.prediction),
        "fields": [bins_to_dict(bins) for bins in reference.fields],
        "metrics": dict(reference.metrics),
        "metric_rows": reference.metric_rows,
        "importances": dict(reference.importances),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def from_json(data: bytes) -> Reference:
    """Read `reference.json`; Corrupt when it is not one."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise Corrupt(f"reference.json has format {document['format']}, not {FORMAT}")
        prediction = bins_from_dict(document["prediction"])
        if not isinstance(prediction, NumericBins):
            raise Corrupt("reference.json: the prediction must have numeric bins")
        return Reference(
            model=str(document["model"]),
            inputs=tuple(bins_from_dict(bins) for bins in document["inputs"]),
            prediction=prediction,
            fields=tuple(bins_from_dict(bins) for bins in document["fields"]),
            metrics={str(k): float(v) for k, v in document["metrics"].items()},
            metric_rows=int(document["metric_rows"]),
            importances={str(k): float(v) for k, v in document["importances"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, Invalid) as error:
        raise Corrupt(f"reference.json cannot be read: {error}") from error


def bins_to_dict(bins: Bins) -> dict[str, Any]:
    """Give the JSON form of one column's bins (also used for the profile of raw fields)."""
    if isinstance(bins, CategoricalBins):
        return {
            "kind": "categorical",
            "name": bins.name,
            "values": list(bins.values),
            "counts": list(bins.counts),
            "other": bins.other,
            "missing": bins.missing,
        }
    return {
        "kind": "numeric",
        "name": bins.name,
        "edges": list(bins.edges),
        "counts": list(bins.counts),
        "missing": bins.missing,
        "mean": bins.mean,
        "std": bins.std,
        "low": bins.low,
        "median": bins.median,
        "high": bins.high,
    }


def bins_from_dict(document: Mapping[str, Any]) -> Bins:
    """Read one column's bins; KeyError, ValueError or Invalid when they are not."""
    counts = tuple(int(count) for count in document["counts"])
    if document["kind"] == "categorical":
        return CategoricalBins(
            str(document["name"]),
            tuple(str(value) for value in document["values"]),
            counts,
            other=int(document["other"]),
            missing=int(document["missing"]),
        )
    if document["kind"] != "numeric":
        raise ValueError(f"unknown kind of bins {document['kind']!r}")
    return NumericBins(
        str(document["name"]),
        tuple(float(edge) for edge in document["edges"]),
        counts,
        missing=int(document["missing"]),
        **{key: float(document[key]) for key in ("mean", "std", "low", "median", "high")},
    )
