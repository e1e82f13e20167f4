"""Every command under one name, and one place where an error becomes a line and an exit code."""

from __future__ import annotations

import sys

import typer

from tidemill.cli import (
    course,
    erasures,
    events,
    inspection,
    models,
    operations,
    plotting,
    project,
    stack,
    switching,
)
from tidemill.errors import Invalid, Misconfigured, TidemillError, Transient

REFUSED, USAGE, RETRY = 1, 2, 3
"""Exit codes: the input or the state is wrong; the call is wrong; try again later."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Tidemill: events to features to a served model that retrains itself.\n\n"
    "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 a part is away (try again).",
)
COMMANDS = (
    stack,
    project,
    events,
    inspection,
    course,
    plotting,
    switching,
    erasures,
    models,
    operations,
)
for commands in COMMANDS:
    commands.register(app)


def main() -> None:
    """Run one command; a user's mistake is one message, never a stack trace."""
    try:
        app(prog_name="tidemill")
    except KeyboardInterrupt:
        sys.exit(130)
    except TidemillError as error:
        sys.stderr.write(text_of(error))
        sys.exit(code_of(error))
    except OSError as error:  # a file of the user's that cannot be read or written
        sys.stderr.write(f"error: {error.filename or ''}: {error.strerror or error}\n")
        sys.exit(REFUSED)


def code_of(error: TidemillError) -> int:
    """Say by the exit code whether to repair the input, the settings, or to try again."""
    match error:
        case Transient():
            return RETRY
        case Misconfigured():
            return USAGE
        case _:
            return REFUSED


def text_of(error: TidemillError) -> str:
    """Say what is wrong, every rule that is broken, and a way out."""
    lines = [f"error: {error.message}"]
    violations = list(map(str, error.violations)) if isinstance(error, Invalid) else []
    if violations != [error.message]:  # else the message is the only one
        told = error.message == "; ".join(violations)
        lines = ["error:" if told else lines[0], *(f"  {violation}" for violation in violations)]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    if isinstance(error, Transient) and error.retry_after is not None:
        lines.append(f"try again in {error.retry_after:.0f} s")
    return "\n".join(lines) + "\n"
