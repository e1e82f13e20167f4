"""What a feature view is: entity, fields, aggregations; its hops, its version and its cost."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tidemill.errors import Misconfigured, Violation
from tidemill_tiles.expressions import compile_expression
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND_US: Final = 1_000_000
HOPS_US: Final = tuple(s * SECOND_US for s in (1, 10, 60, 300, 3_600, 86_400))
MAX_TILES_PER_WINDOW: Final = 512
MAX_DISTINCT_BOUND: Final = 4_096
MAX_DISTINCT_TOTAL: Final = 16_384
MAX_AGGREGATIONS: Final = 512
MAX_LEVELS: Final = 16
MAX_TIME_US: Final = 2**61
DEFAULT_DISTINCT_BOUND: Final = 256
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


TEXT_FUNCTIONS: Final = frozenset({Function.COUNT, Function.DISTINCT})


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
    """One feature: a function of a field over a window of time."""

    name: str
    function: Function
    field: str | None = None
    window_us: int | None = None
    hop_us: int | None = None
    filter: str | None = None
    bound: int = DEFAULT_DISTINCT_BOUND


@dataclass(frozen=True, slots=True)
class ViewDefinition:
    """A feature view: what is kept per entity of one or more streams."""

    name: str
    streams: tuple[str, ...]
    entity: tuple[Field, ...]
    fields: tuple[Field, ...]
    aggregations: tuple[Aggregation, ...]
    lateness_us: int
    filter: str | None = None
    ttl_us: int | None = None


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


def field_types(definition: ViewDefinition) -> dict[str, FieldType]:
    """Return the columns that filters may use: fields and entity fields."""
    return {field.name: field.type for field in (*definition.entity, *definition.fields)}


def normalised(definition: ViewDefinition) -> ViewDefinition:
    """Write every default out, so that equal views have equal definitions."""
    aggregations = tuple(
        replace(
            one,
            hop_us=hop_of(one),
            bound=one.bound if one.function is Function.DISTINCT else DEFAULT_DISTINCT_BOUND,
        )
        for one in definition.aggregations
    )
    fields = tuple(
        replace(field, resolution=field.step)
        for field in sorted(definition.fields, key=lambda field: field.name)
    )
    entity = tuple(replace(field, resolution=None) for field in definition.entity)
    return replace(
        definition,
        aggregations=aggregations,
        fields=fields,
        entity=entity,
        streams=tuple(sorted(definition.streams)),
    )


def hop_of(aggregation: Aggregation) -> int | None:
    """Return the hop of an aggregation; None for a lifetime."""
    if aggregation.window_us is None:
        return None
    return aggregation.hop_us or default_hop(aggregation.window_us)


def view_version(definition: ViewDefinition) -> str:
    """Return 12 hex digits that change whenever a value of the view could."""
    text = json.dumps(asdict(normalised(definition)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:VERSION_DIGITS]


def checked(definition: ViewDefinition) -> ViewDefinition:
    """Return the definition, or raise Misconfigured that names every mistake."""
    if mistakes := validate(definition):
        raise Misconfigured(
            f"feature view {definition.name!r}: " + "; ".join(str(mistake) for mistake in mistakes)
        )
    return definition


def validate(definition: ViewDefinition) -> tuple[Violation, ...]:
    """Return every mistake at once; an empty tuple means that the view can be built."""
    return tuple(
        mistake
        for part in (_head_mistakes, _field_mistakes, _aggregation_mistakes, _total_mistakes)
        for mistake in part(definition)
    )


def _head_mistakes(view: ViewDefinition) -> Iterator[Violation]:
    if not NAME.fullmatch(view.name):
        yield Violation("name", f"{view.name!r} does not match [a-z][a-z0-9_]*")
    if not view.streams:
        yield Violation("streams", "a view needs a stream")
    if not view.entity:
        yield Violation("entity", "a view needs at least one key field")
    if view.lateness_us < 0:
        yield Violation("lateness", f"{view.lateness_us} us is negative")
    if view.ttl_us is not None and view.ttl_us <= 0:
        yield Violation("ttl", f"{view.ttl_us} us is not positive")
    for field in view.entity:
        if field.type is FieldType.FLOAT64:
            yield Violation(f"entity.{field.name}", "a float64 cannot be a key")
    if view.filter is not None:
        yield from _filter_mistakes("filter", view.filter, view)


def _field_mistakes(view: ViewDefinition) -> Iterator[Violation]:
    seen: set[str] = set()
    for field in view.fields:
        if field.name in seen:
            yield Violation(f"fields.{field.name}", "is declared twice")
        seen.add(field.name)
        if not 0 < field.step < float("inf"):
            yield Violation(f"fields.{field.name}.resolution", f"{field.step} is not positive")


def _aggregation_mistakes(view: ViewDefinition) -> Iterator[Violation]:
    if not 0 < len(view.aggregations) <= MAX_AGGREGATIONS:
        yield Violation("aggregations", f"{len(view.aggregations)} is not in 1..{MAX_AGGREGATIONS}")
    seen: set[str] = set()
    for one in view.aggregations:
        where = f"aggregations.{one.name}"
        if not NAME.fullmatch(one.name):
            yield Violation(where, f"{one.name!r} does not match [a-z][a-z0-9_]*")
        if one.name in seen:
            yield Violation(where, "is declared twice")
        seen.add(one.name)
        yield from _operand_mistakes(where, one, view)
        yield from _window_mistakes(where, one)
        if one.filter is not None:
            yield from _filter_mistakes(f"{where}.filter", one.filter, view)


def _operand_mistakes(where: str, one: Aggregation, view: ViewDefinition) -> Iterator[Violation]:
    if one.field is None:
        if one.function is not Function.COUNT:
            yield Violation(f"{where}.field", f"{one.function} needs a field")
        return
    kind = {field.name: field.type for field in view.fields}.get(one.field)
    if kind is None:
        known = ", ".join(sorted(field.name for field in view.fields)) or "none"
        yield Violation(f"{where}.field", f"{one.field!r} is not a field of the view ({known})")
    elif kind is FieldType.STRING and one.function not in TEXT_FUNCTIONS:
        yield Violation(f"{where}.function", f"{one.function} cannot take the string {one.field!r}")
    if one.function is Function.DISTINCT and not 1 <= one.bound <= MAX_DISTINCT_BOUND:
        yield Violation(f"{where}.bound", f"{one.bound} is not in 1..{MAX_DISTINCT_BOUND}")


def _window_mistakes(where: str, one: Aggregation) -> Iterator[Violation]:
    if one.window_us is None:
        if one.hop_us is not None:
            yield Violation(f"{where}.hop", "a lifetime has no hop")
        return
    if not 0 < one.window_us <= MAX_TIME_US:
        yield Violation(f"{where}.window", f"{one.window_us} us is not positive")
        return
    if one.hop_us is None:
        try:
            default_hop(one.window_us)
        except Misconfigured as error:
            yield Violation(f"{where}.window", f"{error.message}; {error.hint}")
    elif one.hop_us <= 0 or one.window_us % one.hop_us:
        yield Violation(f"{where}.hop", f"{one.hop_us} us does not divide {one.window_us} us")
    elif one.window_us // one.hop_us > MAX_TILES_PER_WINDOW:
        tiles = one.window_us // one.hop_us
        yield Violation(f"{where}.hop", f"{tiles} tiles a window, at most {MAX_TILES_PER_WINDOW}")


def _filter_mistakes(where: str, sql: str, view: ViewDefinition) -> Iterator[Violation]:
    try:
        compile_expression(sql, field_types(view), FieldType.BOOL)
    except Misconfigured as error:
        yield Violation(where, error.message)


def _total_mistakes(view: ViewDefinition) -> Iterator[Violation]:
    hops = {hop_of(one) for one in view.aggregations if not any(_window_mistakes("", one))}
    if len(hops) > MAX_LEVELS:
        yield Violation("aggregations", f"{len(hops)} different hops, at most {MAX_LEVELS}")
    distinct = {
        (one.field, one.filter): one.bound + 1
        for one in view.aggregations
        if one.function is Function.DISTINCT
    }
    if sum(distinct.values()) > MAX_DISTINCT_TOTAL:
        yield Violation(
            "aggregations", f"distinct bounds add up to more than {MAX_DISTINCT_TOTAL} a tile"
        )
