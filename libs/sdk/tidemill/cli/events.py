"""publish, features, dlq: events in, feature values out."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import orjson
import typer

from tidemill.cli.arguments import At, instant, pairs
from tidemill.cli.output import (
    Json,
    print_fields,
    print_json,
    print_messages,
    print_table,
    to_dict,
    when,
)
from tidemill.client import Client, connect
from tidemill.errors import Invalid, NotFound, Unavailable
from tidemill.events import Event, from_timestamp, merge, token_text
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb

BATCH = 500

features_app = typer.Typer(no_args_is_help=True, help="Read features.")
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
    """Publish events from a file of JSON lines; prints each refusal and the position token."""
    counts = dict.fromkeys(("accepted", "rejected", "unknown", "unavailable"), 0)
    refused: list[dict[str, Any]] = []
    tokens: list[pb.PositionToken] = []
    with connect(author="cli") as client:
        for first, events in _batches(_lines(file), stream, source, id_field):
            reply = client.publish(events)
            tokens.append(reply.token)
            for line, result in enumerate(reply.results, start=first):
                outcome = pb.Outcome.Name(result.outcome).removeprefix("OUTCOME_").lower()
                counts[outcome] += 1
                if outcome != "accepted":
                    refused.append(
                        {
                            "line": line,
                            "outcome": outcome,
                            "field": result.field,
                            "reason": result.reason,
                        }
                    )
    token = token_text(merge(tokens))
    if as_json:
        print_json({**counts, "refused": refused, "token": token})
    else:
        for one in refused:
            typer.echo(
                f"{file}:{one['line']}: {one['outcome']}: {one['field']}: {one['reason']}", err=True
            )
        print_fields({**counts, "token": token})
    if counts["rejected"]:
        raise typer.Exit(1)
    if refused:
        raise typer.Exit(3)


def _lines(file: Path) -> Iterator[bytes]:
    if str(file) == "-":
        yield from sys.stdin.buffer
        return
    if not file.is_file():
        raise Invalid(f"no file {file}")
    with file.open("rb") as lines:
        yield from lines


def _batches(
    lines: Iterator[bytes], stream: str, source: str, id_field: str
) -> Iterator[tuple[int, list[Event]]]:
    batch: list[Event] = []
    number = 0
    for number, line in enumerate(lines, start=1):
        try:
            data = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise Invalid(f"line {number} is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise Invalid(f"line {number} is not a JSON object")
        event_id = str(data[id_field]) if id_field in data else str(uuid4())
        batch.append(Event(stream, data, id=event_id, source=source))
        if len(batch) == BATCH:
            yield number - BATCH + 1, batch
            batch = []
    if batch:
        yield number - len(batch) + 1, batch


def get(
    view: Annotated[str, typer.Argument(help="Name of the feature view.")],
    entity: Annotated[list[str], typer.Argument(help="Entity fields: user=u1 …")],
    *,
    at: At = None,
    token: Annotated[str, typer.Option(help="Wait for the events of a publish call.")] = "",
    as_json: Json = False,
) -> None:
    """Read all features of one entity: value, status, event time, freshness."""
    with connect(author="cli") as client:
        reply = client.get_features(view, [pairs(entity)], at=instant(at), token=_token(token))
    if as_json:
        print_json(to_dict(reply))
        return
    values = reply.entities[0]
    names = features_pb.ValueStatus.Name
    print_table(
        ["feature", "value", "status"],
        [
            (name, value, names(status).removeprefix("VALUE_STATUS_").lower())
            for name, value, status in zip(
                reply.features, values.values, values.statuses, strict=True
            )
        ],
    )
    print_fields(
        {
            "at": from_timestamp(reply.at).isoformat(),
            "newest event": when(values.event_time),
            "freshness": f"{reply.freshness.ToMilliseconds()} ms",
        }
    )


def _token(text: str) -> pb.PositionToken | None:
    if not text:
        return None
    try:
        return pb.PositionToken.FromString(base64.urlsafe_b64decode(text))
    except ValueError as error:
        raise Invalid("the token is not one that `publish` printed") from error


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
            one.headers["message"][:80],
            "replayed" if one.replayed else "",
        )
        for one in reply.dead_letters
    ]
    columns = ["offset", "time", "stage", "error", "message", ""]
    print_messages(reply.dead_letters, columns, rows, as_json=as_json)
    if not as_json:
        typer.echo(f"{reply.total} in all")


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
    print_fields({"topic": letter.topic, "time": when(letter.time), **dict(letter.headers)})
    typer.echo(f"value ({len(letter.value)} bytes, base64):")
    typer.echo(base64.b64encode(letter.value).decode())


def _letter(client: Client, stream: str, offset: int) -> pb.DeadLetter:
    reply = client.dead_letters(stream, offset=offset, limit=1)
    for letter in reply.dead_letters:
        if letter.offset == offset:
            return letter
    raise NotFound(f"no dead letter of {stream} at offset {offset}")


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
                "refused": reply.refused,
            }
        )
        for reason in reply.reasons:
            typer.echo(reason, err=True)
    if reply.refused:
        raise Unavailable(f"{reply.refused} were not replayed", hint="see the reasons above")
