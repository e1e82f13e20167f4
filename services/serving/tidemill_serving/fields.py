"""What a request must carry: typed fields, checked values. Pure.

A value is bool, int, float, str or None; a timestamp is microseconds since the epoch as int.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tidemill.errors import Invalid, Violation
from tidemill_common.feature_views import FIELD_TYPES
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tidemill.definitions.v1 import project_pb2 as pb

Value = bool | int | float | str | None
Row = tuple[Value, ...]

MAX_TEXT = 4096
_SEPARATOR = "\x1f"
_INT64 = 1 << 63
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class RequestField:
    """One field that a request may or must carry."""

    name: str
    type: FieldType
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None

    def parse(self, text: str) -> Value:
        """Read a value from text; Invalid says what was expected."""
        try:
            return self.check(_PARSERS[self.type](text))
        except (ValueError, KeyError):
            raise self.wrong(f"{_short(text)} is no {_EXPECTED[self.type]}") from None

    def check(self, value: Value) -> Value:
        """Return the value if it may be used: NaN is missing, what breaks a rule is Invalid."""
        if value is None:
            return None
        if isinstance(value, str):
            return self._check_text(value)
        if isinstance(value, float):
            if math.isnan(value):
                return None
            if math.isinf(value):
                raise self.wrong("infinite values are refused; NaN means missing")
        elif not -_INT64 <= value < _INT64:
            raise self.wrong(f"{value} does not fit into 64 bits")
        if self.minimum is not None and value < self.minimum:
            raise self.wrong(f"{value} is below the minimum {self.minimum:g}")
        if self.maximum is not None and value > self.maximum:
            raise self.wrong(f"{value} is above the maximum {self.maximum:g}")
        return value

    def _check_text(self, value: str) -> str:
        if len(value) > MAX_TEXT:
            raise self.wrong(f"{len(value)} characters, at most {MAX_TEXT} are accepted")
        if _SEPARATOR in value:
            raise self.wrong("the character 0x1F is reserved")
        return value

    def wrong(self, what: str) -> Invalid:
        """Make the error that names this field."""
        return Invalid(violations=[Violation(self.name, what)])


@dataclass(frozen=True, slots=True)
class RequestFields:
    """All fields of a model's requests, in the order in which rows hold their values.

    `key` are the places of the spine key's fields; `time` is the place of the spine's time field,
    by which a row may say the moment that it asks for. Fields of the spine's events that change
    nothing (`ignored`) may come along, so that a caller may send a whole event.
    """

    fields: tuple[RequestField, ...]
    places: Mapping[str, int]
    key: tuple[int, ...]
    time: int | None = None
    ignored: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        declared: Iterable[pb.Field],
        key: Sequence[str],
        needed: set[str],
        time: str = "",
        spine: Iterable[str] = (),
    ) -> RequestFields:
        """Take the declared fields; what only joins labels (is not `needed`) may be left out."""
        fields = tuple(
            RequestField(
                field.name,
                FIELD_TYPES[field.type],
                required=field.required and field.name in needed,
                minimum=field.minimum if field.HasField("minimum") else None,
                maximum=field.maximum if field.HasField("maximum") else None,
            )
            for field in declared
        )
        places = {field.name: place for place, field in enumerate(fields)}
        ignored = frozenset(spine) - set(places)
        return cls(fields, places, tuple(places[name] for name in key), places.get(time), ignored)

    def field(self, name: str) -> RequestField:
        """Return the field called `name`; Invalid lists those that there are."""
        if name in self.places:
            return self.fields[self.places[name]]
        known = ", ".join(field.name for field in self.fields)
        raise Invalid(
            violations=[Violation(name[:40], f"the model has no such input; it has {known}")]
        )

    def row_of_text(self, values: Mapping[str, str]) -> Row:
        """Read one row given as text by name; every problem is named at once."""
        row: list[Value] = [None] * len(self.fields)
        problems: list[Violation] = []
        for name, text in values.items():
            if name in self.ignored:
                continue
            try:
                field = self.field(name)
                row[self.places[name]] = field.parse(text)
            except Invalid as error:
                problems.extend(error.violations)
        problems.extend(self.missing(row, {problem.field for problem in problems}))
        if problems:
            raise Invalid(violations=problems)
        return tuple(row)

    def missing(self, row: Sequence[Value], known: set[str]) -> list[Violation]:
        """Name the required fields without a value, except those in `known`."""
        return [
            Violation(field.name, f"required ({field.type}) and missing")
            for field, value in zip(self.fields, row, strict=True)
            if field.required and value is None and field.name not in known
        ]

    def key_text(self, row: Row) -> str:
        """Return the canonical join key of a row as text; empty unless it names all of it."""
        parts = [row[place] for place in self.key]
        if any(part is None for part in parts):
            return ""
        return _SEPARATOR.join(_key_part(part) for part in parts)


def parse_time(text: str) -> int:
    """Read RFC 3339 as microseconds; ValueError without an offset or beyond years 1970-9999."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("no offset from UTC")
    return time_in_range((at - _EPOCH) // _MICROSECOND)


def time_in_range(at_us: int) -> int:
    """Return `at_us`; ValueError when no time that is meant lies there."""
    if not 0 <= at_us <= _LATEST_US:
        raise ValueError("beyond the years 1970-9999")
    return at_us


def time_text(at_us: int) -> str:
    """Write microseconds as RFC 3339."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")


def _key_part(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


_PARSERS: Mapping[FieldType, Callable[[str], Value]] = {
    FieldType.BOOL: lambda text: _TRUTH[text.lower()],
    FieldType.INT64: int,
    FieldType.FLOAT64: float,
    FieldType.STRING: str,
    FieldType.TIMESTAMP: parse_time,
}
_EXPECTED = {
    FieldType.BOOL: "bool (true or false)",
    FieldType.INT64: "int64",
    FieldType.FLOAT64: "number",
    FieldType.STRING: "text",
    FieldType.TIMESTAMP: "time (RFC 3339, as 2013-01-31T10:00:00Z)",
}
