"""What a feature view is: entity, fields, aggregations; its hops and its version."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Final

from tidemill.errors import Misconfigured
from tidemill_tiles.fieldtypes import FieldType

SECOND_US: Final = 1_000_000
HOPS_US: Final = tuple(s * SECOND_US for s in (1, 10, 60, 300, 3_600, 86_400))
MAX_TILES_PER_WINDOW: Final = 512
MAX_DISTINCT_BOUND: Final = 4_096
MAX_DISTINCT_TOTAL: Final = 16_384
MAX_AGGREGATIONS: Final = 512
MAX_LEVELS: Final = 16
MAX_TIME_US: Final = 2**61
MAX_POOL_WORDS: Final = 49_152  # so that a row with its key fits into one record of the log
MAX_HALF_LIFE_US: Final = 2**50
MAX_EDGES: Final = 64
MAX_PLACES: Final = 32
MAX_PRECISION: Final = 7
DEFAULT_DISTINCT_BOUND: Final = 256
DEFAULT_QUANTILE_ERROR: Final = 0.02
VERSION_DIGITS: Final = 12
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
DEFAULT_RESOLUTION: Final = {
    FieldType.FLOAT64: 2.0**-20,
    FieldType.INT64: 1.0,
    FieldType.BOOL: 1.0,
    FieldType.TIMESTAMP: 1_000.0,  # a millisecond, so that microseconds fit into 48 bits
    FieldType.STRING: 1.0,
}


class Function(StrEnum):
    """How values become one feature."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    VAR = "var"
    STD = "std"
    MIN = "min"
    MAX = "max"
    LAST = "last"
    FIRST = "first"
    DISTINCT = "distinct"
    RATE = "rate"
    TIME_SINCE_LAST = "time_since_last"
    RATIO = "ratio"
    DIFFERENCE = "difference"
    EWMA = "ewma"
    HISTOGRAM = "histogram"
    QUANTILE = "quantile"
    LAST_K = "last_k"
    TOP_K = "top_k"


PAIRS: Final = frozenset({Function.RATIO, Function.DIFFERENCE})
"""Functions of two other features: they keep no state and have no field, window or filter."""
BOUNDED: Final = frozenset({Function.DISTINCT, Function.TOP_K})


class Gives(StrEnum):
    """What a place of top_k says about the value that stands there."""

    VALUE = "value"
    COUNT = "count"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the stream; `resolution` is the unit of its fixed-point integers."""

    name: str
    type: FieldType
    resolution: float | None = None

    @property
    def step(self) -> float:
        """The resolution, declared or default."""
        return DEFAULT_RESOLUTION[self.type] if self.resolution is None else self.resolution


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One feature: a function of a field over a window of time.

    ratio and difference name two features in `operands` instead. A histogram, last_k or top_k gives
    several features: one aggregation each, told apart by `place` (a bin from 0, a place from 1).
    """

    name: str
    function: Function
    field: str | None = None
    window_us: int | None = None
    hop_us: int | None = None
    filter: str | None = None
    bound: int = DEFAULT_DISTINCT_BOUND
    operands: tuple[str, ...] = ()
    half_life_us: int | None = None
    edges: tuple[float, ...] = ()
    quantile: float | None = None
    error: float | None = None
    place: int | None = None
    gives: Gives | None = None
    default: float | None = None


LATER_PARTS: Final = {one.name: one.default for one in fields(Aggregation)[7:]}
"""Parts that came after `bound`: a version is as if those that are not used did not exist."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A column that is computed from the fields of each event before anything else."""

    field: Field
    expression: str


@dataclass(frozen=True, slots=True)
class Source:
    """How the events of one of a view's streams become its rows.

    `columns` pairs each column that the view reads with a field of the stream, or an expression
    over its fields; `fields` are those of the stream that are needed for that.
    """

    stream: str
    fields: tuple[Field, ...]
    columns: tuple[tuple[str, str], ...]
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class ViewDefinition:
    """A feature view: what is kept per entity of one or more streams.

    Without `sources` the streams have the view's columns as fields. `lateness_us` is that of the
    stream with the longest: tiles are kept for it.
    """

    name: str
    streams: tuple[str, ...]
    entity: tuple[Field, ...]
    fields: tuple[Field, ...]
    aggregations: tuple[Aggregation, ...]
    lateness_us: int
    filter: str | None = None
    ttl_us: int | None = None
    derived: tuple[Derived, ...] = ()
    sources: tuple[Source, ...] = ()

    def source(self, stream: str) -> Source | None:
        """Return how the events of a stream become rows; None if they are rows as they are."""
        return next((one for one in self.sources if one.stream == stream), None)


def default_hop(window_us: int) -> int:
    """Return the smallest standard hop that divides the window into at most 512 tiles."""
    for hop in HOPS_US:
        if window_us % hop == 0 and window_us // hop <= MAX_TILES_PER_WINDOW:
            return hop
    raise Misconfigured(
        f"no default hop for a window of {window_us} us",
        hint="make it a multiple of 1 s, 10 s, 1 min, 5 min, 1 h or 1 d with at most 512 of them, "
        "or name a hop",
    )


def read_types(definition: ViewDefinition) -> dict[str, FieldType]:
    """Return the columns of the stream that a view reads: fields and entity fields."""
    return {field.name: field.type for field in (*definition.entity, *definition.fields)}


def source_types(source: Source) -> dict[str, FieldType]:
    """Return the columns that what a source says of itself may use."""
    return {field.name: field.type for field in source.fields}


def field_types(definition: ViewDefinition) -> dict[str, FieldType]:
    """Return the columns that filters may use: those of the stream and derived ones."""
    derived = {one.field.name: one.field.type for one in definition.derived}
    return read_types(definition) | derived


def value_fields(definition: ViewDefinition) -> tuple[Field, ...]:
    """Return the fields that aggregations may use: the stream's and derived ones."""
    return (*definition.fields, *(one.field for one in definition.derived))


def normalised(definition: ViewDefinition) -> ViewDefinition:
    """Write every default out, so that equal views have equal definitions."""
    aggregations = tuple(
        replace(
            one,
            hop_us=hop_of(one),
            bound=one.bound if one.function in BOUNDED else DEFAULT_DISTINCT_BOUND,
            error=_normal_error(one),
        )
        for one in definition.aggregations
    )
    columns = tuple(
        replace(field, resolution=field.step)
        for field in sorted(definition.fields, key=lambda field: field.name)
    )
    derived = tuple(
        replace(one, field=replace(one.field, resolution=one.field.step))
        for one in sorted(definition.derived, key=lambda one: one.field.name)
    )
    entity = tuple(replace(field, resolution=None) for field in definition.entity)
    return replace(
        definition,
        aggregations=aggregations,
        fields=columns,
        entity=entity,
        streams=tuple(sorted(definition.streams)),
        derived=derived,
        sources=tuple(
            _normal_source(one) for one in sorted(definition.sources, key=lambda one: one.stream)
        ),
    )


def _normal_source(source: Source) -> Source:
    """Leave only what decides a value: names and types of fields, not their resolutions."""
    columns = tuple(sorted(source.columns))
    by_name = sorted(source.fields, key=lambda field: field.name)
    return replace(
        source, columns=columns, fields=tuple(replace(one, resolution=None) for one in by_name)
    )


def hop_of(aggregation: Aggregation) -> int | None:
    """Return the hop of an aggregation; None for a lifetime."""
    if aggregation.window_us is None:
        return None
    return aggregation.hop_us or default_hop(aggregation.window_us)


def _normal_error(aggregation: Aggregation) -> float | None:
    """Return the error that a quantile really has: half of the next power of two below."""
    if aggregation.function is not Function.QUANTILE:
        return None
    return error_of(precision_of(aggregation.error))


def precision_of(error: float | None) -> int:
    """Return the bits that a quantile keeps of a value, enough for a relative error."""
    wanted = DEFAULT_QUANTILE_ERROR if error is None else error
    return next(
        (bits for bits in range(1, MAX_PRECISION) if error_of(bits) <= wanted), MAX_PRECISION
    )


def error_of(bits: int) -> float:
    """Return the largest relative error of a quantile that keeps so many bits of a value."""
    return 2.0 ** -(bits + 1)


def view_version(definition: ViewDefinition) -> str:
    """Return 12 hex digits that change whenever a value of the view could."""
    whole = asdict(normalised(definition))
    for later in ("derived", "sources"):
        if not whole[later]:
            del whole[later]
    for one in whole["aggregations"]:
        for name, unused in LATER_PARTS.items():
            if one[name] == unused:
                del one[name]
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:VERSION_DIGITS]
