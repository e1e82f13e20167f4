"""Arguments that several commands share, and how they are read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer

from tidemill.errors import Invalid

At = Annotated[str | None, typer.Option(help="As of this time (ISO 8601; UTC without a zone).")]
ModelName = Annotated[str, typer.Argument(help="Name of the model.")]
Number = Annotated[int, typer.Argument(metavar="VERSION", help="Number of the version.")]
Reason = Annotated[str, typer.Option(help="Why; goes into the audit.")]


def pairs(words: Iterable[str]) -> dict[str, str]:
    """Read `name=value` words."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise Invalid(f"{word!r} is not name=value")
        found[name] = value
    return found


def instant(text: str | None) -> datetime | None:
    """Read a time; without a zone it is UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not an ISO 8601 time", hint="2026-01-31T12:00:00Z") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
