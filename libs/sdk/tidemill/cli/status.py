"""status: one look at what runs, what the features hold, what is served, what is wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tidemill import addresses
from tidemill.cli.exposition import fetch
from tidemill.cli.flow import (
    BRIDGE_COLUMNS,
    NEXT_COLUMNS,
    VIEW_COLUMNS,
    Rows,
    bridge_row,
    by_view,
    next_rows,
    partition_row,
    shown,
    shown_next,
    sources,
    stream_row,
)
from tidemill.cli.output import Json, print_json, print_table, short, when
from tidemill.client import Client, connect
from tidemill.errors import FailedPrecondition, Misconfigured, NotFound, TidemillError, Unavailable
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.monitoring.v1 import monitoring_service_pb2 as monitoring_pb
from tidemill.serving.v1 import serving_service_pb2 as serving_pb
from tidemill.training.v1 import training_service_pb2 as training_pb

AWAY = 3
APART_SECONDS = 1.0
"""Between two looks at the metrics."""
DONE = ("ready", "up")


def status(
    *,
    processes: Annotated[
        bool, typer.Option("--processes", help="List every process, also when all is well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what runs, what the features hold, what is served, and what is wrong.

    A view's lag is in records, `behind` is the age of the oldest of them; fresh is how long ago its
    log was written. Rates and flush times come from the processes' metrics: those of the stack
    file, or TIDEMILL_METRICS=host:port,… Exit code 3 if a part is away.
    """
    path = addresses.stack_file()
    stack = _stack(path) if path else {}
    if stack.get("state") == "stopped":
        if as_json:
            print_json({"stack": stack})
        raise Unavailable(f"the stack of {path} is stopped", hint="start it: tidemill up")
    where = addresses.find()
    if not where.services:
        message = f"no stack runs here: no address of a service in {where.origin}"
        raise Unavailable(message, hint="start a stack: tidemill up")
    answers = _answers(where)
    if as_json:
        print_json({"stack": stack, **answers})
    else:
        if stack:
            _print_stack(stack, every=processes)
        _print_answers(answers)
    away = any(_away(rows) for rows in answers.values())
    if away or any(one["state"] not in DONE for one in stack.get("processes", ())):
        raise typer.Exit(AWAY)


def _answers(where: addresses.Addresses) -> dict[str, Rows]:
    """Ask every service; rates and durations take a second look at the processes' metrics."""
    processes = addresses.metrics()
    before = fetch(processes)
    with connect(where, author="cli") as client:
        answers = {name: _asked(ask) for name, ask in _questions(client).items()}
    if processes:
        time.sleep(max(0.0, before.at + APART_SECONDS - time.monotonic()))
    after = fetch(processes)
    views, bridges = answers["views"], answers["bridges"]
    if not _away(views):
        streams = dict.fromkeys(row["stream"] for row in views)
        answers["streams"] = [stream_row(stream, before, after) for stream in streams]
    if not _away(bridges):
        answers["bridges"] = [bridge_row(row, before, after) for row in bridges]
    return answers


def _stack(path: Path) -> dict[str, Any]:
    try:
        stack: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise Unavailable(f"no stack file {path}", hint="start a stack: tidemill up") from error
    except ValueError as error:
        raise Misconfigured(f"{path} is not a stack file: {error}") from error
    if not isinstance(stack, dict) or not {"state", "processes", "environment"} <= stack.keys():
        raise Misconfigured(f"{path} is not a stack file")
    return stack


def _questions(client: Client) -> dict[str, Callable[[], Rows]]:
    """Return what to ask, in this order: what is built beside comes with the views."""
    described: list[features_pb.DescribeViewsResponse] = []

    def views() -> Rows:
        described.append(client.describe_views(lag_times=True))
        return [partition_row(state) for state in described[0].views]

    return {
        "project": lambda: _project(client),
        "views": views,
        "next": lambda: [row for reply in described for row in next_rows(reply.next)],
        "bridges": lambda: sources(client.project().project),
        "models": lambda: _models(client),
        "runs": lambda: [_run(run) for run in client.runs(limit=3)],
        "alerts": lambda: [_alert(alert) for alert in client.alerts(open_only=True)],
    }


def _away(rows: Rows) -> str:
    """Return why a service did not answer, empty if it did."""
    return next((str(row["error"]) for row in rows if set(row) == {"error"}), "")


def _asked(ask: Callable[[], Rows]) -> Rows:
    """Ask one service; when it is away its error is the answer, and the others are still asked.

    Without a project there is nothing yet, and nothing wrong.
    """
    try:
        return ask()
    except (FailedPrecondition, NotFound):
        return []
    except TidemillError as error:
        return [{"error": error.message}]


def _project(client: Client) -> Rows:
    try:
        reply = client.project()
    except NotFound:
        return [{"project": "none yet (tidemill apply)", "generation": ""}]
    return [{"project": reply.project.name, "generation": reply.generation}]


def _models(client: Client) -> Rows:
    """Return every declared model with each of its versions that is loaded; one at least."""
    routed = {model.model: model for model in client.routing().models}
    try:
        declared = [model.name for model in client.project().project.models]
    except NotFound:
        declared = []
    rows: Rows = []
    for name in dict.fromkeys([*declared, *routed]):
        versions = routed[name].versions if name in routed else ()
        rows += [_version(name, version) for version in versions]
        if not versions:
            rows.append({"model": name, "version": None, "state": "no version yet"})
    return rows


def _version(model: str, version: serving_pb.RoutedVersion) -> dict[str, Any]:
    return {
        "model": model,
        "version": version.number,
        "variant": version.variant,
        "share": version.share,
        "state": version.state,
        "requests": version.requests,
        "errors": version.errors,
    }


def _run(run: training_pb.Run) -> dict[str, Any]:
    return {
        "run": run.run_id,
        "model": run.spec.model,
        "state": short(training_pb.RunState.Name(run.state), "RUN_STATE_"),
        "version": run.version or None,
        "created": when(run.created_time),
        "error": run.error,
    }


def _alert(alert: monitoring_pb.Alert) -> dict[str, Any]:
    return {
        "alert": alert.alert_id,
        "severity": alert.severity,
        "subject": alert.subject,
        "opened": when(alert.opened_stream_time),
        "summary": alert.summary,
    }


def _print_stack(stack: dict[str, Any], *, every: bool) -> None:
    parts = stack["processes"]
    running = [one for one in parts if one["state"] in DONE]
    typer.echo(f"stack    {stack['state']}, {len(running)} of {len(parts)} processes")
    if zipkin := stack["environment"].get("TIDEMILL_ZIPKIN"):
        typer.echo(f"traces   {zipkin}/zipkin/")
    shown = parts if every else [one for one in parts if one not in running]
    if shown:
        typer.echo()
        rows = [
            (one["name"], one["state"], one.get("pid") or "-", one.get("message", ""))
            for one in shown
        ]
        print_table(["process", "state", "pid", "message"], rows)


def _print_answers(answers: dict[str, Rows]) -> None:
    for row in answers["project"]:
        said = row.get("error") or f"{row['project']}  {row['generation'][:12]}"
        typer.echo(f"project  {said}")
    streams = answers.get("streams", [])
    _section("views", answers["views"], VIEW_COLUMNS, lambda rows: by_view(rows, streams))
    if answers["next"]:
        rows = [shown_next(row) for row in answers["next"]]
        _section("built beside", rows, NEXT_COLUMNS)
    if answers["bridges"]:
        bridges = answers["bridges"]
        _section("bridges", bridges, BRIDGE_COLUMNS, lambda rows: [shown(row) for row in rows])
    columns = ["model", "version", "variant", "share", "requests", "errors", "state"]
    _section("models", answers["models"], columns)
    _section("newest runs", answers["runs"], ["run", "model", "state", "version", "error"])
    _section("open alerts", answers["alerts"], ["alert", "severity", "subject", "summary"])


def _section(
    title: str,
    rows: Rows,
    columns: Sequence[str],
    summed: Callable[[Rows], Rows] = lambda rows: rows,
) -> None:
    """Print one answer under its title; an error takes the place of the table."""
    typer.echo(f"\n{title}")
    if error := _away(rows):
        typer.echo(f"  error: {error}")
        return
    cells = [[_cell(row.get(name)) for name in columns] for row in summed(rows)]
    indented = [[f"  {row[0]}", *row[1:]] for row in cells]
    print_table([f"  {columns[0]}", *columns[1:]], indented, none="  none")


def _cell(value: object) -> str:
    return "-" if value is None else str(value)
