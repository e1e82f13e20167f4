"""erase, erasures: an entity is removed everywhere, and its events are refused from then on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import typer

from tidemill.cli.arguments import pairs
from tidemill.cli.output import (
    Json,
    print_fields,
    print_json,
    print_messages,
    print_table,
    short,
    to_dict,
    when,
)
from tidemill.client import Client, connect
from tidemill.errors import Invalid
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.registry.v1 import erasure_service_pb2 as pb

NOT_YET: Final = 3
LOOK_SECONDS: Final = 1.0
COLUMNS: Final = ["erasure", "fields", "state", "requested", "completed", "author", "reason"]
PLACES: Final = ["service", "kind", "name", "found", "removed", "until", "waiting"]

erasures_app = typer.Typer(no_args_is_help=True, help="How far erasures are.")
EntityWords = Annotated[list[str], typer.Argument(help="Key fields of the entity: user=u7 …")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(erase)
    erasures_app.command("list")(list_erasures)
    erasures_app.command("show")(show)
    app.add_typer(erasures_app, name="erasures")


def erase(
    key: EntityWords,
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be touched.")] = False,
    reason: Annotated[str, typer.Option(help="Why; goes into the audit, so never the key.")] = "",
    wait: Annotated[float, typer.Option(help="Wait so many seconds for the end.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Erase an entity: its events, features, logs, archived rows and training sets.

    Its events are refused from then on, for ever; nothing of it comes back. Ask again for the same
    entity to see how far it is. Exit code 3 if it is not complete when the waiting ends.
    """
    entity = to_be_erased(key)
    with connect(author="cli") as client:
        if plan:
            _print_plan(client.plan_erasure(entity), as_json=as_json)
            return
        erasure = _waited(client, client.erase(entity, reason=reason), wait)
    _print(erasure, as_json=as_json)
    if wait and erasure.state != pb.ERASURE_STATE_COMPLETE:
        raise typer.Exit(NOT_YET)


def to_be_erased(words: Iterable[str]) -> dict[str, str]:
    """Read the entity; an empty value is more likely a mistake than a key, and this is for ever."""
    entity = pairs(words)
    if empty := [name for name, value in entity.items() if not value]:
        message = f"{', '.join(empty)} has no value, and an erasure is for ever"
        raise Invalid(message, hint="is a variable of the shell empty?")
    return entity


def list_erasures(
    *,
    open_only: Annotated[bool, typer.Option("--open", help="Only those not complete.")] = False,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List erasures, newest first."""
    with connect(author="cli") as client:
        found = client.erasures(open_only=open_only, limit=limit)
    print_messages(found, COLUMNS, map(_row, found), as_json=as_json)


def show(
    which: Annotated[list[str], typer.Argument(help="Id of an erasure, or user=u7 …")],
    *,
    as_json: Json = False,
) -> None:
    """Show one erasure: place by place what was removed, and what is waited for."""
    with connect(author="cli") as client:
        if len(which) == 1 and "=" not in which[0]:
            erasure = client.erasure(which[0])
        else:
            erasure = client.erasure(entity=pairs(which))
    _print(erasure, as_json=as_json)


def _waited(client: Client, erasure: pb.Erasure, seconds: float) -> pb.Erasure:
    end = time.monotonic() + seconds
    while erasure.state != pb.ERASURE_STATE_COMPLETE and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        erasure = client.erasure(erasure.erasure_id)
    return erasure


def _row(erasure: pb.Erasure) -> Sequence[str]:
    return (
        erasure.erasure_id,
        ", ".join(erasure.fields),
        short(pb.ErasureState.Name(erasure.state), "ERASURE_STATE_"),
        when(erasure.requested_time),
        when(erasure.completed_time),
        erasure.author,
        erasure.reason or "-",
    )


def _print(erasure: pb.Erasure, *, as_json: bool) -> None:
    if as_json:
        print_json(to_dict(erasure))
        return
    print_fields(dict(zip(COLUMNS, _row(erasure), strict=True)))
    if erasure.HasField("reopened_time"):
        began = when(erasure.reopened_time)
        typer.echo(f"began again {began}: a stream got a further name for its fields")
    places = [
        (report.service, *_place(place)) for report in erasure.reports for place in report.places
    ]
    print_table(PLACES, places, none="no place has been looked at yet")
    for report in erasure.reports:
        for held in report.training_sets:
            versions = ", ".join(f"{one.model}/{one.number}" for one in held.versions)
            typer.echo(f"training set {held.digest}: {held.rows} rows; {versions or 'no version'}")


def _place(place: pb.ErasurePlace) -> tuple[Any, ...]:
    return (
        place.kind,
        place.name,
        place.found,
        place.removed,
        when(place.due_time),
        place.waiting or "-",
    )


def _print_plan(found: features_pb.PlanErasureResponse, *, as_json: bool) -> None:
    if as_json:
        print_json(to_dict(found))
        return
    print_table(
        ["kind", "name", "found"], [(one.kind, one.name, one.found) for one in found.places]
    )
    for digest in found.training_sets:
        typer.echo(f"training set {digest}: its file would be removed")
    for view in found.kept_views:
        typer.echo(f"view {view}: keeps what it counted, it is not by this entity")
