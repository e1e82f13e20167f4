"""init, apply, check: project files."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli.output import Json, print_json, short, to_dict
from tidemill.client import connect
from tidemill.errors import Invalid
from tidemill.project import generation, normalise, read
from tidemill.registry.v1 import registry_service_pb2 as pb

File = Annotated[Path, typer.Argument(help="Project file, YAML or Python.")]
DEFAULT_FILE = Path("tidemill.yaml")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(check)
    app.command()(apply)


def init(folder: Annotated[Path, typer.Argument(help="New folder.")]) -> None:
    """Make a new project folder to edit: a project file, sample events, what to do next."""
    if folder.exists() and any(folder.iterdir()):
        raise Invalid(f"{folder} exists and is not empty", hint="name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    template = resources.files("tidemill.cli") / "template"
    for item in template.iterdir():
        with resources.as_file(item) as path:
            if path.is_file() and path.suffix != ".py":
                shutil.copy(path, folder / path.name)
    typer.echo(f"made {folder}; next: cd {folder}, read README.md, tidemill up --detach")


def check(file: File = DEFAULT_FILE, *, as_json: Json = False) -> None:
    """Check a project file and print every mistake with its line; needs no stack."""
    problems = _problems(file)
    if as_json:
        print_json({"file": str(file), "problems": problems})
    if problems and not as_json:
        typer.echo("\n".join(problems), err=True)
    if problems:
        raise typer.Exit(1)
    if not as_json:
        typer.echo(f"{file} is good")


def _problems(file: Path) -> list[str]:
    if not file.is_file():
        raise Invalid(f"no project file {file}", hint="make one: tidemill init FOLDER")
    return [str(problem) for problem in read(file).problems]


def apply(
    file: File = DEFAULT_FILE,
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would change.")] = False,
    hold_switch: Annotated[
        bool, typer.Option("--hold-switch", help="Build it beside; `features switch` takes it up.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Store the project; services take it up without a restart. A repeat changes nothing.

    With --hold-switch its new and changed views are built beside what is served, and kept fresh,
    until `features switch` or `features switch --abort`; `status` shows how far they are,
    `features diff` how they differ.
    """
    problems = _problems(file)
    if problems:
        typer.echo("\n".join(problems), err=True)
        raise typer.Exit(1)
    project = normalise(read(file).project)
    reply: pb.ApplyResponse | pb.HoldProjectResponse
    with connect(author="cli") as client:
        if hold_switch and not plan:
            reply = client.hold(project)
            state = "held" if reply.held else "already held, or current"
        else:
            reply = client.apply(project, plan_only=plan)
            state = "applied" if reply.applied else "plan only" if plan else "already applied"
    if as_json:
        print_json(to_dict(reply))
        return
    for change in reply.changes:
        kind = short(pb.ChangeKind.Name(change.kind), "CHANGE_KIND_")
        cost = ""
        if change.bytes_per_entity:
            cost = f"  ({change.rows_per_entity} rows, {change.bytes_per_entity} bytes per entity)"
        typer.echo(f"{kind:8} {change.type} {change.name}{cost}")
        for detail in change.details:
            typer.echo(f"           {detail}")
    if not reply.changes:
        typer.echo("nothing changes")
    typer.echo(f"{state}: generation {reply.generation or generation(project)}")
