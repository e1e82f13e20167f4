"""features history: how features of an entity went over time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from tidemill.cli.arguments import instant, pairs
from tidemill.cli.events import features_app
from tidemill.cli.inspection import EVENT_COLUMNS, View, event_row, value_and_status
from tidemill.cli.output import Json, print_json, print_table, short, to_dict
from tidemill.client import connect
from tidemill.errors import Invalid
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.project import durations

Since = Annotated[str | None, typer.Option(help="From this time on; else the first event.")]
Until = Annotated[str | None, typer.Option(help="Up to this time; else now.")]


def register(app: typer.Typer) -> None:
    """Add the commands to those of `features`."""
    del app
    features_app.command("history")(history)


def history(
    view: View,
    entity: Annotated[list[str], typer.Argument(help="Entity fields: user=u1 …")],
    *,
    feature: Annotated[
        list[str] | None, typer.Option(help="Only this feature; repeatable. Else all.")
    ] = None,
    since: Since = None,
    until: Until = None,
    every: Annotated[str, typer.Option(help="Rows at this distance too: 1h.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Newest rows shown.")] = 50,
    events: Annotated[int, typer.Option(min=0, max=4_000, help="Newest events shown.")] = 0,
    as_json: Json = False,
) -> None:
    """Show how features of an entity went: what a read would have answered at each time.

    A row for the start, for the end, and for each moment at which a value changed: an event became
    known, or a window moved past one. From the archive, exact. An event counts from when it became
    known, while `features get --at` of an earlier time has all that is known now. With --events
    also the events, and whether each was applied, or came late or twice. Times are UTC.
    """
    with connect(author="cli") as client:
        reply = client.feature_history(
            view,
            pairs(entity),
            features=feature or [],
            since=instant(since),
            until=instant(until),
            every=span(every),
            limit=limit,
            max_events=events,
        )
    if as_json:
        print_json(to_dict(reply))
        return
    rows = [
        (
            moment(row.at.ToDatetime()),
            *map(value_and_status, row.values, row.statuses),
        )
        for row in reply.rows
    ]
    print_table(["from", *reply.features], rows)
    if reply.rows_cut:
        typer.echo(f"the newest {len(rows)}; --limit or --since shows others")
    if events:
        typer.echo(f"\nevents ({len(reply.events)} of {reply.events_total})")
        print_table([*EVENT_COLUMNS[:-1], "verdict"], map(_event, reply.events))


def moment(at: datetime) -> str:
    """Show a time in UTC, with fractions where it has some."""
    return at.isoformat(sep=" ")


def span(text: str) -> timedelta | None:
    """Read a duration; None if there is none."""
    if not text:
        return None
    try:
        found = durations.parse_us(text)
    except ValueError as error:
        raise Invalid(str(error), hint=durations.FORM) from error
    if not found:
        raise Invalid(f"{text!r} is no distance", hint=durations.FORM)
    return timedelta(microseconds=found)


def _event(event: pb.FeatureEvent) -> tuple[object, ...]:
    return (*event_row(event)[:-1], short(pb.Verdict.Name(event.verdict), "VERDICT_"))
