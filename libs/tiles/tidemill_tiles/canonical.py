"""One canonical key as bytes; whole columns of them are in `keys`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

SEPARATOR: Final = "\x1f"


def canonical_key(values: Sequence[str | int | bool]) -> bytes:
    """Return the canonical bytes of one key; Invalid if a string holds the separator."""
    return SEPARATOR.join(map(_word, values)).encode()


def _word(value: str | int | bool) -> str:  # noqa: FBT001
    if isinstance(value, str):
        if SEPARATOR in value:
            raise Invalid(f"a key must not hold the character U+001F: {value!r}")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
