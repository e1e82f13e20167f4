"""Print results: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def to_dict(message: Message) -> dict[str, Any]:
    """Return a message with its proto field names, defaults included."""
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def print_json(value: object) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_messages(
    messages: Iterable[Message],
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    as_json: bool,
) -> None:
    """Print messages as a JSON list, or the rows made of them as a table."""
    if as_json:
        print_json([to_dict(message) for message in messages])
    else:
        print_table(columns, rows)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns; without rows only the head."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(columns)]
    for cells in (list(columns), *texts):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        typer.echo(line.rstrip())


def print_fields(values: Mapping[str, object]) -> None:
    """Print names and values, one a line."""
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        typer.echo(f"{name.ljust(width)}  {value}")


def when(stamp: Timestamp) -> str:
    """Show a time in seconds, or a dash for none."""
    if not (stamp.seconds or stamp.nanos):
        return "-"
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")


def short(enum_name: str, prefix: str) -> str:
    """`RUN_STATE_QUEUED` reads as `queued`."""
    return enum_name.removeprefix(prefix).lower()
