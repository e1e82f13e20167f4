"""publish, features, dlq: events in, feature values out."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from tidemill.cli.arguments import At, Token, instant, pairs, position_token
from tidemill.cli.output import (
    Json,
    number,
    print_fields,
    print_json,
    print_table,
    short,
    to_dict,
    when,
)
from tidemill.cli.publishing import Publishing
from tidemill.client import Client, connect
from tidemill.errors import FailedPrecondition, NotFound
from tidemill.events import merge, token_text
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb

MAX_SHOWN = 20
"""Refusals, and rows of a dead letter, that are printed."""

features_app = typer.Typer(no_args_is_help=True, help="Read features, and see how they came to be.")
dlq_app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, replay.")

StreamName = Annotated[str, typer.Argument(help="Name of the stream.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(publish)
    features_app.command("get")(get)
    app.add_typer(features_app, name="features")
    dlq_app.command("list")(list_letters)
    dlq_app.command("show")(show_letter)
    dlq_app.command("replay")(replay)
    app.add_typer(dlq_app, name="dlq")


def publish(
    stream: StreamName,
    file: Annotated[Path, typer.Argument(help="JSON lines, one event's fields each; - is stdin.")],
    *,
    source: Annotated[str, typer.Option(help="Source of the events.")] = "cli",
    id_field: Annotated[str, typer.Option(help="Field that holds the event's id.")] = "",
    as_json: Json = False,
) -> None:
    """Publish events from a file of JSON lines.

    Prints each refusal and the position token. Good lines are not held up by bad ones. Exit code 1
    if a line was refused, 3 if one did not get through.
    """
    done = Publishing(stream, source, id_field)
    with connect(author="cli") as client:
        done.run(client, _lines(file))
    token = token_text(merge(done.tokens))
    if as_json:
        print_json({**done.counts, "refused": done.refused, "token": token})
    else:
        _print_refused(file, sorted(done.refused, key=lambda one: one["line"]))
        print_fields({**done.counts, "token": token or "-"})
    if done.counts["rejected"]:
        raise typer.Exit(1)
    if done.refused:
        raise typer.Exit(3)


def _print_refused(file: Path, refused: Sequence[dict[str, Any]]) -> None:
    for one in refused[:MAX_SHOWN]:
        field = f"{one['field']}: " if one["field"] else ""
        typer.echo(f"{file}:{one['line']}: {one['outcome']}: {field}{one['reason']}", err=True)
    if len(refused) > MAX_SHOWN:
        typer.echo(f"… and {len(refused) - MAX_SHOWN} more (--json lists all)", err=True)


def _lines(file: Path) -> Iterator[bytes]:
    if str(file) == "-":
        yield from sys.stdin.buffer
        return
    if not file.is_file():
        raise NotFound(f"no file {file}")
    with file.open("rb") as lines:
        yield from lines


def get(
    view: Annotated[str, typer.Argument(help="Name of the feature view.")],
    entity: Annotated[list[str], typer.Argument(help="Entity fields: user=u1 …")],
    *,
    at: At = None,
    token: Token = "",
    version: Annotated[
        str, typer.Option(help="Version of the view, also one that is built beside.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Read all features of one entity: value, status, event time, freshness.

    A status says why there is no value: null (the window holds none), not_found (no such entity in
    the longest window), expired; stale warns that the value's log is silent. Times are UTC. A read
    of an earlier time counts whole hops of its windows; `features history` is exact.
    """
    with connect(author="cli") as client:
        reply = client.get_features(
            view, [pairs(entity)], at=instant(at), token=position_token(token), version=version
        )
    if as_json:
        print_json(to_dict(reply))
        return
    values = reply.entities[0]
    found = zip(reply.features, values.values, values.statuses, strict=True)
    print_table(
        ["feature", "value", "status"],
        [
            (name, number(value), short(features_pb.ValueStatus.Name(status), "VALUE_STATUS_"))
            for name, value, status in found
        ],
    )
    typer.echo()
    print_fields(
        {
            "as of": when(reply.at),
            "newest event": when(values.event_time),
            "freshness": f"{reply.freshness.ToMilliseconds()} ms",
            "version": reply.view_version,
        }
    )


def list_letters(
    stream: StreamName,
    *,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """List a stream's newest dead letters."""
    with connect(author="cli") as client:
        reply = client.dead_letters(stream, limit=limit)
    rows = [
        (
            one.offset,
            when(one.time),
            one.headers["stage"],
            one.headers["error"],
            "replayed" if one.replayed else "-",
            one.headers["message"],
        )
        for one in reply.dead_letters
    ]
    columns = ["offset", "time", "stage", "error", "replay", "message"]
    if as_json:
        print_json(to_dict(reply))
        return
    print_table(columns, rows)
    if reply.total > len(rows):
        typer.echo(f"{len(rows)} of {reply.total}; --limit shows more")


def show_letter(
    stream: StreamName,
    offset: Annotated[int, typer.Argument(help="Offset that `dlq list` shows.")],
    *,
    as_json: Json = False,
) -> None:
    """Show one dead letter with its original bytes."""
    with connect(author="cli") as client:
        letter = _letter(client, stream, offset)
    if as_json:
        print_json(to_dict(letter))
        return
    known = {name: value for name, value in sorted(letter.headers.items()) if value}
    replayed = "yes" if letter.replayed else "no"
    print_fields({"topic": letter.topic, "time": when(letter.time), "replayed": replayed, **known})
    typer.echo(f"\nvalue ({len(letter.value)} bytes, base64)")
    typer.echo(base64.b64encode(letter.value).decode())
    for row in _rows(letter.value):
        typer.echo(f"row  {orjson.dumps(row, option=orjson.OPT_UTC_Z, default=str).decode()}")


def _rows(value: bytes) -> list[dict[str, Any]]:
    """Return the first rows of a record of events; none if its bytes are not one."""
    import pyarrow as pa  # here: no other command needs it, and each would wait for it

    try:
        with pa.ipc.open_stream(value) as reader:
            rows: list[dict[str, Any]] = reader.read_all().slice(0, MAX_SHOWN).to_pylist()
    except (pa.ArrowException, OSError, ValueError):
        return []
    return rows


def _letter(client: Client, stream: str, offset: int) -> pb.DeadLetter:
    reply = client.dead_letters(stream, offset=offset, limit=1)
    for letter in reply.dead_letters:
        if letter.offset == offset:
            return letter
    hint = f"tidemill dlq list {stream}"
    raise NotFound(f"no dead letter of {stream} at offset {offset}", hint=hint)


def replay(
    stream: StreamName,
    offsets: Annotated[list[int] | None, typer.Argument(help="Which; none: all.")] = None,
    *,
    really: Annotated[bool, typer.Option("--yes", help="Do it; else only say what.")] = False,
    as_json: Json = False,
) -> None:
    """Put dead letters back, each exactly once; without --yes it only says what would happen."""
    with connect(author="cli") as client:
        reply = client.replay_dead_letters(stream, offsets or [], dry_run=not really)
    if as_json:
        print_json({"dry_run": not really, **to_dict(reply)})
    else:
        word = "replayed" if really else "would be replayed (add --yes)"
        print_fields(
            {
                word: reply.replayed,
                "already replayed": reply.already_replayed,
                "refused" if really else "would be refused": reply.refused,
            }
        )
        for reason in reply.reasons:
            typer.echo(reason, err=True)
    if really and reply.refused:
        raise FailedPrecondition(f"{reply.refused} were not replayed", hint="see the reasons above")
