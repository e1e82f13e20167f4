"""up, down, status: the local stack."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tidemill import addresses
from tidemill.cli.output import Json, print_json, print_table, when
from tidemill.client import connect
from tidemill.errors import Misconfigured, TidemillError, Unavailable

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
    detach: Annotated[bool, typer.Option(help="Return when it is ready.")] = False,
) -> None:
    """Start the whole stack on loopback and stay (Ctrl-C stops it); prints where its pages are."""
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


def status(*, as_json: Json = False) -> None:
    """Show what runs, the state of every view, what is routed, and open alerts."""
    path = addresses.stack_file()
    parts = _stack(path) if path else {}
    services = _services()
    if as_json:
        print_json({"stack": parts, **services})
        return
    if parts:
        typer.echo(f"stack {parts.get('state', '?')}  ({path})")
        rows = [
            (p["name"], p["state"], p.get("pid") or "-", p["message"]) for p in parts["processes"]
        ]
        print_table(["process", "state", "pid", "message"], rows)
        if zipkin := parts["environment"].get("TIDEMILL_ZIPKIN"):
            typer.echo(f"traces: {zipkin}")
    for name, lines in services.items():
        typer.echo(f"\n{name}")
        print_table(list(lines[0]) if lines else ["-"], [list(line.values()) for line in lines])


def _stack(path: Path) -> dict[str, Any]:
    try:
        stack: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise Unavailable(f"no stack file {path}", hint="start one: tidemill up") from error
    return stack


def _services() -> dict[str, list[dict[str, Any]]]:
    """Ask each service; one that is away shows its error instead of hiding the others."""
    with connect(author="cli") as client:
        asks: dict[str, Callable[[], list[dict[str, Any]]]] = {
            "views": lambda: _views(client.describe_views()),
            "models": lambda: _models(client.routing()),
            "alerts": lambda: _alerts(client.alerts(open_only=True)),
        }
        return {name: _asked(ask) for name, ask in asks.items()}


def _asked(ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return ask()
    except TidemillError as error:
        return [{"error": error.message}]


def _views(reply: Any) -> list[dict[str, Any]]:
    return [
        {
            "view": view.view,
            "stream": view.stream,
            "partition": view.partition,
            "position": view.position,
            "lag": max(0, view.source_end - view.position),
            "entities": view.entities,
            "rows": view.rows,
            "ready": view.ready,
            "newest": when(view.newest_available),
        }
        for view in reply.views
    ]


def _models(reply: Any) -> list[dict[str, Any]]:
    return [
        {
            "model": model.model,
            "version": version.number,
            "variant": version.variant,
            "share": version.share,
            "state": version.state,
            "requests": version.requests,
            "errors": version.errors,
        }
        for model in reply.models
        for version in model.versions
    ]


def _alerts(alerts: Any) -> list[dict[str, Any]]:
    return [
        {"alert": a.alert_id, "severity": a.severity, "subject": a.subject, "summary": a.summary}
        for a in alerts
    ]
