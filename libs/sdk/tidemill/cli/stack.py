"""up, down: the local stack."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli.status import status
from tidemill.errors import Misconfigured

Data = Annotated[Path, typer.Option(help="Folder that holds everything of the stack.")]
DEFAULT_DATA = Path(".tidemill")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    data: Data = DEFAULT_DATA,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready.")] = False,
) -> None:
    """Start the whole stack on loopback and stay (Ctrl-C stops it).

    Prints where its pages are. The first time it installs the parts it needs.
    """
    _local("install")
    _local("up", f"--data={data}", *(["--detach"] if detach else []))


def down(data: Data = DEFAULT_DATA) -> None:
    """Stop the stack; its data stays."""
    _local("down", f"--data={data}")


def _local(*arguments: str) -> None:
    if importlib.util.find_spec("tidemill_local") is None:
        raise Misconfigured(
            "the local stack is not installed", hint="pip install 'tidemill[local]'"
        )
    done = subprocess.run([sys.executable, "-m", "tidemill_local", *arguments], check=False)  # noqa: S603
    if done.returncode:
        raise typer.Exit(done.returncode)
