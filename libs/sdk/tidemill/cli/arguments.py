"""Arguments that several commands share, and how they are read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from google.protobuf.message import DecodeError

from tidemill.errors import Invalid
from tidemill.ingestion.v1 import ingestion_service_pb2 as ingestion_pb

At = Annotated[str | None, typer.Option(help="As of this time (ISO 8601; UTC without a zone).")]
Key = Annotated[
    list[str],
    typer.Argument(
        metavar="KEY... [FEATURE]", help="Entity fields (user=u1 …), then a feature's name."
    ),
]
Token = Annotated[str, typer.Option(help="Wait for the events of a publish call.")]
ModelName = Annotated[str, typer.Argument(help="Name of the model.")]
Number = Annotated[int, typer.Argument(metavar="VERSION", help="Number of the version.")]
Reason = Annotated[str, typer.Option(help="Why; goes into the audit.")]


def pairs(words: Iterable[str]) -> dict[str, str]:
    """Read `name=value` words; each name once, so that no value is dropped unseen."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise Invalid(f"{word!r} is not name=value")
        if name in found:
            raise Invalid(f"{name!r} is given twice: {found[name]!r} and {value!r}")
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


def key_and_feature(words: Sequence[str]) -> tuple[dict[str, str], str]:
    """Read the fields of an entity and, behind them, the name of a feature (empty: none)."""
    feature = "" if "=" in words[-1] else words[-1]
    entity = pairs(words[:-1] if feature else words)
    if not entity:
        raise Invalid(f"{feature!r} names no entity", hint="write its fields first: user=u1")
    return entity, feature


def position_token(text: str) -> ingestion_pb.PositionToken | None:
    """Read the token that `publish` printed; None if there is none."""
    if not text:
        return None
    try:
        return ingestion_pb.PositionToken.FromString(base64.urlsafe_b64decode(text))
    except (binascii.Error, DecodeError, ValueError) as error:
        raise Invalid("the token is not one that `publish` printed") from error
