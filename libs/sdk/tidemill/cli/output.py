"""Print results: tables that fit the terminal for people, JSON for programs."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

GAP: Final = "  "
INDENT: Final = "    "
NOTHING: Final = "-"
_UNBOUNDED: Final = 10_000
WHOLE_FROM: Final = 1e5
"""From here on six digits lose something of a sum of money, and soon of a count."""
WHOLE_TO: Final = 1e16
"""Beyond it a float64 does not hold every whole number."""
_INT64: Final = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def to_dict(message: Message) -> dict[str, Any]:
    """Return a message with its proto field names, defaults included, and numbers as numbers."""
    found: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    _as_numbers(found, message.DESCRIPTOR)
    return found


def _as_numbers(found: dict[str, Any], descriptor: Any) -> None:
    """Turn the text that JSON has for 64-bit integers into numbers: ours are below 2**53."""
    for field in descriptor.fields:
        value, inner = found.get(field.name), field.message_type
        if field.cpp_type in _INT64 and value is not None:
            found[field.name] = [int(v) for v in value] if isinstance(value, list) else int(value)
        elif inner is not None and not inner.GetOptions().map_entry:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    _as_numbers(each, inner)


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


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, none: str = "none"
) -> None:
    """Print aligned columns; the last ones, where they do not fit, go below their row.

    Without rows it prints `none`. Piped output has one line per row, for grep and awk.
    """
    texts = [[_one_line(str(cell)) for cell in row] for row in rows]
    if not texts:
        typer.echo(none)
        return
    widths = [max(len(name), *(len(row[i]) for row in texts)) for i, name in enumerate(columns)]
    width = terminal_width()
    shown = len(columns)
    while shown > 1 and sum(widths[:shown]) + len(GAP) * (shown - 1) > width:
        shown -= 1
    typer.echo(_line(columns[:shown], widths))
    for cells in texts:
        typer.echo(_line(cells[:shown], widths))
        for name, cell in zip(columns[shown:], cells[shown:], strict=True):
            if cell and cell != NOTHING:
                typer.echo(indented(cell if name == columns[-1] else f"{name} {cell}", width))


def _one_line(text: str) -> str:
    """Escape what would break the line or command the terminal: texts come from events."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
    return GAP.join(padded).rstrip()


def indented(text: str, width: int) -> str:
    """Wrap a text below its row; what has no space to break at stays whole."""
    return _wrapped(text, width, INDENT, INDENT)


def _wrapped(text: str, width: int, first: str, others: str) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def terminal_width() -> int:
    """Columns of the terminal, COLUMNS if it is set; a pipe has no width."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return _UNBOUNDED


def print_fields(values: Mapping[str, object]) -> None:
    """Print names and values, one a line; a long value goes on below itself."""
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        first = f"{name.ljust(width)}{GAP}"
        text = _wrapped(str(value), terminal_width(), first, " " * len(first))
        typer.echo(text or name)


def when(stamp: Timestamp) -> str:
    """Show a time in seconds (UTC), or a dash for none."""
    if not (stamp.seconds or stamp.nanos):
        return NOTHING
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")


def number(value: float) -> str:
    """Show a number with the digits that matter; a dash where there is none.

    Whole numbers keep every digit, others six, or two places where six digits do not reach those.
    """
    if math.isnan(value):
        return NOTHING
    if WHOLE_FROM <= abs(value) < WHOLE_TO:
        return f"{value:.0f}" if value == int(value) else f"{value:.2f}"
    return f"{value:.6g}"


def short(enum_name: str, prefix: str) -> str:
    """`RUN_STATE_QUEUED` reads as `queued`."""
    return enum_name.removeprefix(prefix).lower()
