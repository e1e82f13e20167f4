"""Every command under one name, and one place where an error becomes a line and an exit code."""

from __future__ import annotations

import sys

import click
import typer

from tidemill.cli import events, models, operations, project, stack
from tidemill.errors import Invalid, Misconfigured, TidemillError, Transient

REJECTED, USAGE, RETRY = 1, 2, 3
"""Exit codes: the input or the state is wrong; the call is wrong; try again later."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Tidemill: events to features to a served model that retrains itself.\n\n"
    "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 a part is away (try again).",
)
for commands in (stack, project, events, models, operations):
    commands.register(app)


def main() -> None:
    """Run one command; a user's mistake is one message, never a stack trace."""
    try:
        code = app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except TidemillError as error:
        _say(error)
        sys.exit(RETRY if isinstance(error, (Transient, Misconfigured)) else REJECTED)
    sys.exit(code or 0)


def _say(error: TidemillError) -> None:
    lines = [f"error: {error.message}"]
    if isinstance(error, Invalid) and len(error.violations) > 1:
        lines = ["error:", *(f"  {violation}" for violation in error.violations)]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    print("\n".join(lines), file=sys.stderr)  # noqa: T201 - this is the command line
