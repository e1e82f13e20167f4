"""The Python form of feature views: aggregations, derived columns, views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tidemill.project.builders import Span, Stream, TypeName, Window, _Made, _Named

FunctionName = Literal[
    "count",
    "sum",
    "mean",
    "var",
    "std",
    "min",
    "max",
    "first",
    "last",
    "distinct",
    "rate",
    "time_since_last",
    "ratio",
    "difference",
    "ewma",
    "histogram",
    "quantile",
    "last_k",
    "top_k",
]
GivesName = Literal["value", "count", "share"]


@dataclass(frozen=True)
class Aggregation(_Made):
    """One function over one field; made by mean(), count() and so on."""

    function: FunctionName
    field: str | None = None
    windows: Sequence[Span | Window] = ()
    filter: str | None = None
    name: str | None = None
    distinct_bound: int | None = None
    of: Sequence[str] | None = None
    half_life: Span | None = None
    edges: Sequence[float] | None = None
    quantiles: Sequence[float] | None = None
    error: float | None = None
    k: int | None = None
    gives: Sequence[GivesName] | None = None
    default: float | None = None


def count(
    *windows: Span | Window,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Count events."""
    return Aggregation("count", None, windows, filter, name, default=default)


def distinct(
    field: str,
    *windows: Span | Window,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    bound: int | None = None,
    default: float | None = None,
) -> Aggregation:
    """Count different values, exactly up to `bound` per tile."""
    return Aggregation("distinct", field, windows, filter, name, bound, default=default)


def sum(  # noqa: A001 - the name in the file, seen only where imported
    field: str,
    *windows: Span | Window,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Add values up."""
    return Aggregation("sum", field, windows, filter, name, default=default)


def mean(
    field: str,
    *windows: Span | Window,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Average values."""
    return Aggregation("mean", field, windows, filter, name, default=default)


def var(
    field: str,
    *windows: Span | Window,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Take the variance of the population."""
    return Aggregation("var", field, windows, filter, name, default=default)


def std(
    field: str,
    *windows: Span | Window,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Take the standard deviation of the population."""
    return Aggregation("std", field, windows, filter, name, default=default)


def min(  # noqa: A001 - the name in the file, seen only where imported
    field: str,
    *windows: Span | Window,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Take the smallest value."""
    return Aggregation("min", field, windows, filter, name, default=default)


def max(  # noqa: A001 - the name in the file, seen only where imported
    field: str,
    *windows: Span | Window,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Take the largest value."""
    return Aggregation("max", field, windows, filter, name, default=default)


def first(
    field: str,
    *windows: Span | Window,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Take the oldest value."""
    return Aggregation("first", field, windows, filter, name, default=default)


def last(
    field: str,
    *windows: Span | Window,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Take the newest value."""
    return Aggregation("last", field, windows, filter, name, default=default)


def rate(
    *windows: Span | Window,
    field: str | None = None,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Count events, or add a field up, per second of the window."""
    return Aggregation("rate", field, windows, filter, name, default=default)


def time_since_last(
    *windows: Span | Window,
    field: str | None = None,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Count the seconds from the newest event, or value of a field, to the read."""
    return Aggregation("time_since_last", field, windows, filter, name, default=default)


def ratio(
    name: str, of: tuple[str, str], *windows: Span | Window, default: float | None = None
) -> Aggregation:
    """Divide one feature of the view by another; with windows, `of` holds prefixes."""
    return Aggregation("ratio", windows=windows, name=name, of=of, default=default)


def difference(
    name: str, of: tuple[str, str], *windows: Span | Window, default: float | None = None
) -> Aggregation:
    """Take one feature of the view from another; with windows, `of` holds prefixes."""
    return Aggregation("difference", windows=windows, name=name, of=of, default=default)


def ewma(
    field: str,
    *windows: Span | Window,
    half_life: Span,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Average values; the weight of one halves with each half-life of its age."""
    return Aggregation("ewma", field, windows, filter, name, half_life=half_life, default=default)


def histogram(
    field: str,
    *windows: Span | Window,
    edges: Sequence[float],
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Count the values between ascending edges, below the first and from the last on."""
    return Aggregation("histogram", field, windows, filter, name, edges=edges, default=default)


def quantile(
    field: str,
    *windows: Span | Window,
    quantiles: Sequence[float],
    error: float | None = None,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Take the values below which shares of all values lie."""
    return Aggregation(
        "quantile", field, windows, filter, name, quantiles=quantiles, error=error, default=default
    )


def last_k(
    field: str,
    *windows: Span | Window,
    k: int,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Take the k newest values."""
    return Aggregation("last_k", field, windows, filter, name, k=k, default=default)


def top_k(
    field: str,
    *windows: Span | Window,
    k: int,
    gives: Sequence[GivesName] | None = None,
    bound: int | None = None,
    filter: str | None = None,  # noqa: A002
    name: str | None = None,
    default: float | None = None,
) -> Aggregation:
    """Take the k most frequent values; NULL if there are more than `bound` different ones."""
    return Aggregation(
        "top_k",
        field,
        windows,
        filter,
        name,
        distinct_bound=bound,
        k=k,
        gives=gives,
        default=default,
    )


@dataclass(frozen=True)
class Column(_Made):
    """A column that a view computes from each event."""

    type: TypeName
    expression: str
    resolution: float | None = None
    description: str | None = None


@dataclass(frozen=True)
class ViewSource(_Made):
    """One of the streams of a view; `columns`: a field or an SQL expression for each column."""

    stream: str | Stream
    columns: Mapping[str, str] | None = None
    filter: str | None = None


@dataclass(frozen=True)
class FeatureView(_Named):
    """Windowed features of one entity, of one `stream` or of several `sources`."""

    stream: str | Stream | None = None
    entity: Sequence[str] = ()
    aggregations: Sequence[Aggregation] = ()
    filter: str | None = None
    ttl: Span | None = None
    description: str | None = None
    columns: Mapping[str, Column] | None = None
    sources: Sequence[ViewSource] | None = None
