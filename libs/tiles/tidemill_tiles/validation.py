"""Whether a view can be built: every mistake of its definition at once."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tidemill.errors import Misconfigured, Violation
from tidemill_tiles.definitions import (
    BOUNDED,
    MAX_AGGREGATIONS,
    MAX_DISTINCT_BOUND,
    MAX_DISTINCT_TOTAL,
    MAX_EDGES,
    MAX_HALF_LIFE_US,
    MAX_LEVELS,
    MAX_PLACES,
    MAX_POOL_WORDS,
    MAX_PRECISION,
    MAX_TILES_PER_WINDOW,
    MAX_TIME_US,
    NAME,
    PAIRS,
    Aggregation,
    Function,
    Gives,
    ViewDefinition,
    default_hop,
    error_of,
    field_types,
    hop_of,
    read_types,
    source_types,
    value_fields,
)
from tidemill_tiles.expressions import compile_expression
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.primitives import pool_words, thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TEXT_FUNCTIONS: Final = frozenset(
    {Function.COUNT, Function.DISTINCT, Function.TIME_SINCE_LAST, Function.TOP_K}
)
PLACES: Final = frozenset({Function.LAST_K, Function.TOP_K})
FIELDLESS: Final = frozenset({Function.COUNT, Function.RATE, Function.TIME_SINCE_LAST, *PAIRS})
"""What can do without a field: it then looks at events."""


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
        for part in (
            _head_mistakes,
            _field_mistakes,
            _derived_mistakes,
            _source_mistakes,
            _aggregation_mistakes,
            _total_mistakes,
        )
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


def _derived_mistakes(view: ViewDefinition) -> Iterator[Violation]:
    types = read_types(view)
    seen = set(types)
    for one in view.derived:
        where = f"derived.{one.field.name}"
        if one.field.name in seen:
            yield Violation(where, "is declared twice")
        seen.add(one.field.name)
        if not 0 < one.field.step < float("inf"):
            yield Violation(f"{where}.resolution", f"{one.field.step} is not positive")
        yield from _sql_mistakes(where, one.expression, types, one.field.type)


def _source_mistakes(view: ViewDefinition) -> Iterator[Violation]:
    if not view.sources:
        return
    if sorted(one.stream for one in view.sources) != sorted(set(view.streams)):
        yield Violation("sources", "must be one for each stream")
    for source in view.sources:
        where = f"sources.{source.stream}"
        types, columns = source_types(source), dict(source.columns)
        for name, kind in read_types(view).items():
            if name not in columns:
                yield Violation(f"{where}.columns.{name}", "is read, and nothing gives it")
            elif types.get(columns[name]) is not kind:
                yield from _sql_mistakes(f"{where}.columns.{name}", columns[name], types, kind)
        if source.filter is not None:
            yield from _sql_mistakes(f"{where}.filter", source.filter, types, FieldType.BOOL)


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
        if one.function in PAIRS:
            yield from _pair_mistakes(where, one, view)
        else:
            yield from _operand_mistakes(where, one, view)
            yield from _window_mistakes(where, one)
        yield from _parameter_mistakes(where, one, view)
        if one.filter is not None:
            yield from _filter_mistakes(f"{where}.filter", one.filter, view)


def _operand_mistakes(where: str, one: Aggregation, view: ViewDefinition) -> Iterator[Violation]:
    if one.field is None:
        if one.function not in FIELDLESS:
            yield Violation(f"{where}.field", f"{one.function} needs a field")
        return
    kind = {field.name: field.type for field in value_fields(view)}.get(one.field)
    if kind is None:
        known = ", ".join(sorted(field.name for field in value_fields(view))) or "none"
        yield Violation(f"{where}.field", f"{one.field!r} is not a field of the view ({known})")
    elif kind is FieldType.STRING and one.function not in TEXT_FUNCTIONS:
        yield Violation(f"{where}.function", f"{one.function} cannot take the string {one.field!r}")
    elif kind is FieldType.STRING and one.gives is Gives.VALUE:
        yield Violation(f"{where}.gives", f"the value of the string {one.field!r} is no number")
    if one.function in BOUNDED and not 1 <= one.bound <= MAX_DISTINCT_BOUND:
        yield Violation(f"{where}.bound", f"{one.bound} is not in 1..{MAX_DISTINCT_BOUND}")


def _pair_mistakes(where: str, one: Aggregation, view: ViewDefinition) -> Iterator[Violation]:
    known = {other.name for other in view.aggregations if other.function not in PAIRS}
    if len(one.operands) != 2:
        yield Violation(f"{where}.operands", f"{one.function} needs two features")
    for name in one.operands:
        if name not in known:
            what = "a ratio or difference itself" if name in _names(view) else "no feature"
            yield Violation(f"{where}.operands", f"{name!r} is {what} of the view")
    if one.field is not None or one.window_us is not None or one.filter is not None:
        yield Violation(where, f"{one.function} has no field, window or filter of its own")


def _names(view: ViewDefinition) -> set[str]:
    return {one.name for one in view.aggregations}


def _parameter_mistakes(where: str, one: Aggregation, view: ViewDefinition) -> Iterator[Violation]:
    """Check what only some functions have."""
    if one.default is not None and not math.isfinite(one.default):
        yield Violation(f"{where}.default", f"{one.default} is not finite")
    if one.function is Function.RATE and one.window_us is None:
        yield Violation(f"{where}.window", "a rate needs a window with a length")
    if one.function is Function.EWMA and not 0 < (one.half_life_us or 0) <= MAX_HALF_LIFE_US:
        yield Violation(f"{where}.half_life", f"{one.half_life_us} us is not in 1..2**50")
    if one.function is Function.HISTOGRAM:
        yield from _histogram_mistakes(where, one, view)
    if one.function is Function.QUANTILE:
        if one.quantile is None or not 0 <= one.quantile <= 1:
            yield Violation(f"{where}.quantile", f"{one.quantile} is not in 0..1")
        if one.error is not None and not error_of(MAX_PRECISION) <= one.error < 1:
            yield Violation(f"{where}.error", f"{one.error} is not in {error_of(MAX_PRECISION)}..1")
    if one.function in PLACES and not 1 <= (one.place or 0) <= MAX_PLACES:
        yield Violation(f"{where}.place", f"{one.place} is not in 1..{MAX_PLACES}")
    if one.function is Function.TOP_K and one.gives is None:
        yield Violation(f"{where}.gives", "top_k gives a value, a count or a share")


def _histogram_mistakes(where: str, one: Aggregation, view: ViewDefinition) -> Iterator[Violation]:
    if not 1 <= len(one.edges) <= MAX_EDGES or not all(map(math.isfinite, one.edges)):
        yield Violation(f"{where}.edges", f"needs 1 to {MAX_EDGES} finite numbers")
        return
    steps = [each.step for each in value_fields(view) if each.name == one.field and each.step > 0]
    if steps and not all(a < b for a, b in pairwise(thresholds(one.edges, steps[0]))):
        text = f"are not ascending by at least the field's resolution {steps[0]}"
        yield Violation(f"{where}.edges", f"{list(one.edges)} {text}")
    if one.place is None or not 0 <= one.place <= len(one.edges):
        yield Violation(f"{where}.place", f"{one.place} is not in 0..{len(one.edges)}")


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
    yield from _sql_mistakes(where, sql, field_types(view), FieldType.BOOL)


def _sql_mistakes(
    where: str, sql: str, types: Mapping[str, FieldType], result: FieldType
) -> Iterator[Violation]:
    try:
        compile_expression(sql, types, result)
    except Misconfigured as error:
        yield Violation(where, error.message)


def _total_mistakes(view: ViewDefinition) -> Iterator[Violation]:
    own = [one for one in view.aggregations if one.function not in PAIRS]
    if view.aggregations and not own:
        yield Violation("aggregations", "a view needs more than ratios and differences")
    hops = {hop_of(one) for one in own if not any(_window_mistakes("", one))}
    if len(hops) > MAX_LEVELS:
        yield Violation("aggregations", f"{len(hops)} different hops, at most {MAX_LEVELS}")
    distinct = {
        (one.field, one.filter): one.bound + 1 for one in own if one.function is Function.DISTINCT
    }
    if sum(distinct.values()) > MAX_DISTINCT_TOTAL:
        yield Violation(
            "aggregations", f"distinct bounds add up to more than {MAX_DISTINCT_TOTAL} a tile"
        )
    words: dict[tuple[object, ...], int] = {}
    for one in own:
        block, size = pool_words(one)
        words[block] = max(words.get(block, 0), size)
    if sum(words.values()) > MAX_POOL_WORDS:
        text = f"distinct, quantile, top_k, last_k and ewma may take {sum(words.values())} words"
        yield Violation("aggregations", f"{text} a tile, at most {MAX_POOL_WORDS}")
