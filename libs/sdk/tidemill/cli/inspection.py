"""features describe, explain: what a view is, and what made a value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from tidemill.cli.arguments import At, Key, Token, instant, key_and_feature, position_token
from tidemill.cli.events import features_app
from tidemill.cli.flow import next_rows, shown_next
from tidemill.cli.output import (
    NOTHING,
    Json,
    number,
    print_fields,
    print_json,
    print_table,
    short,
    to_dict,
    when,
)
from tidemill.client import connect
from tidemill.definitions.v1 import project_pb2
from tidemill.errors import Corrupt
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.project import durations

View = Annotated[str, typer.Argument(help="Name of the feature view.")]

EVENT_COLUMNS = ["event", "event time", "available", "from", "value"]
FEATURE_COLUMNS = ["feature", "function", "field", "window", "hop", "default", "filter", "error"]


def register(app: typer.Typer) -> None:
    """Add the commands to those of `features`."""
    del app
    features_app.command("describe")(describe)
    features_app.command("explain")(explain)


def describe(view: View, *, as_json: Json = False) -> None:
    """Show what a view is: features, windows, error bounds, streams, where it is held."""
    with connect(author="cli") as client:
        reply = client.describe_view(view)
    if as_json:
        print_json(to_dict(reply))
        return
    print_fields(
        {
            "view": reply.view,
            "version": f"{reply.version} (generation {reply.generation[:12]})",
            "description": reply.description or NOTHING,
            "entity": ", ".join(map(_field, reply.entity)),
            "filter": reply.filter or NOTHING,
            "ttl": _span(reply.ttl) if reply.HasField("ttl") else "none",
            "an entity": f"up to {reply.rows_per_entity:,} rows, {reply.bytes_per_entity:,} bytes",
            "read by": ", ".join(["features get", *(f"model {name}" for name in reply.models)]),
            **(_next(reply) if reply.HasField("next") else {}),
        }
    )
    typer.echo()
    print_table(FEATURE_COLUMNS, map(_feature, reply.features))
    typer.echo()
    columns = ["field", "type", "resolution", "expression"]
    print_table(columns, map(_column, reply.fields), none="it reads no field")
    typer.echo()
    columns = ["stream", "key", "partitions", "lateness", "dedupe", "retention", "log"]
    print_table(columns, map(_stream, reply.streams))
    typer.echo()
    columns = ["stream", "partition", "position", "lag", "entities", "rows", "ready"]
    print_table(columns, map(_log, reply.logs))


def _next(reply: pb.DescribeViewResponse) -> dict[str, object]:
    """Say what there is of the next version, and what it brings."""
    (row,) = map(shown_next, next_rows(reply.next))
    left = f", {row['left']} left" if row["left"] != NOTHING else ""
    return {
        "next": f"{row['version']} (generation {row['generation']})",
        "next is": f"{row['state']}, {row['built']} built, {row['lag']} records behind{left}",
        "adds": ", ".join(reply.added_features) or NOTHING,
        "removes": ", ".join(reply.removed_features) or NOTHING,
    }


def _field(field: pb.ViewField) -> str:
    return f"{field.name} ({_type(field)})"


def _type(field: pb.ViewField) -> str:
    return short(project_pb2.FieldType.Name(field.type), "FIELD_TYPE_")


def _column(field: pb.ViewField) -> Sequence[object]:
    resolution = f"{field.resolution:g}" if field.resolution else NOTHING
    return (field.name, _type(field), resolution, field.expression or NOTHING)


def _feature(one: pb.ViewFeature) -> Sequence[object]:
    function = short(project_pb2.Function.Name(one.function), "FUNCTION_")
    return (
        one.name,
        f"{function} ({one.part})" if one.part else function,
        one.field or ", ".join(one.operands) or NOTHING,
        _window(one),
        _span(one.hop) if one.HasField("hop") else NOTHING,
        f"{one.default:g}" if one.HasField("default") else NOTHING,
        one.filter or NOTHING,
        one.error_bound,
    )


def _window(one: pb.ViewFeature) -> str:
    if one.HasField("window"):
        return _span(one.window)
    return NOTHING if one.operands else "lifetime"


def _stream(one: pb.ViewStream) -> Sequence[object]:
    spans = (_span(one.lateness), _span(one.dedupe), _span(one.retention))
    return (one.stream, ", ".join(one.key), one.partitions, *spans, one.log)


def _log(one: pb.ViewState) -> Sequence[object]:
    lag = max(0, one.source_end - one.position)
    ready = "yes" if one.ready else "no"
    return (one.stream, one.partition, one.position, lag, one.entities, one.rows, ready)


def _span(span: Duration) -> str:
    return durations.text_of(span.ToMicroseconds())


def explain(
    view: View,
    key: Key,
    *,
    at: At = None,
    token: Token = "",
    limit: Annotated[int, typer.Option(min=1, help="Newest events and tiles shown.")] = 20,
    as_json: Json = False,
) -> None:
    """Show which tiles and which events made a value, and whether they add up to it.

    With a feature behind the key, its tiles and events; without one, a line for each feature. What
    is served is computed again from the archive, at the positions that were read at. Exit code 1 if
    it is not the same.
    """
    entity, feature = key_and_feature(key)
    with connect(author="cli") as client:
        reply = client.explain_features(
            view,
            entity,
            features=[feature] if feature else [],
            at=instant(at),
            token=position_token(token),
            max_events=limit,
        )
    if as_json:
        print_json(to_dict(reply))
    elif feature:
        for one in reply.features:
            _print_explained(one)
    else:
        print_table(
            ["feature", "served", "recomputed", "tiles", "events", "left out"],
            map(_summary, reply.features),
        )
    if not as_json:
        typer.echo()
        print_fields(_about(reply))
    if not reply.agrees:
        wrong = [one.feature for one in reply.features if not one.agrees]
        raise Corrupt(
            f"{', '.join(wrong)}: served is not what the events make",
            hint="docs/runbooks/skew.md; events that the archive never had count in state only",
        )


def _about(reply: pb.ExplainFeaturesResponse) -> dict[str, object]:
    adds_up = "yes, bit for bit" if reply.agrees else "NO"
    newer = " (events available later are in the state already)" if reply.state_newer else ""
    return {"as of": f"{when(reply.at)}{newer}", "adds up": adds_up}


def _summary(one: pb.Explanation) -> Sequence[object]:
    return (
        one.feature,
        value_and_status(one.served, one.served_status),
        "the same" if one.agrees else value_and_status(one.recomputed, one.recomputed_status),
        NOTHING if one.operands else one.tiles_total,
        NOTHING if one.operands else one.events_total,
        _left_out(one),
    )


def _left_out(one: pb.Explanation) -> str:
    counts = sorted(one.left_out.items())
    return ", ".join(f"{count} {reason}" for reason, count in counts) or NOTHING


def value_and_status(value: float, status: pb.ValueStatus) -> str:
    """Show a value; instead of one, or beside a stale one, its status."""
    said = short(pb.ValueStatus.Name(status), "VALUE_STATUS_")
    if math.isnan(value):
        return said
    return number(value) if status == pb.VALUE_STATUS_PRESENT else f"{number(value)} {said}"


def _print_explained(one: pb.Explanation) -> None:
    typer.echo(f"{one.feature} = {value_and_status(one.served, one.served_status)}")
    if not one.agrees:
        again = value_and_status(one.recomputed, one.recomputed_status)
        typer.echo(f"  but its events make {again}")
    if one.operands:
        typer.echo(f"  of {' and '.join(one.operands)}:\n")
        return
    typer.echo(f"\n{_of('tiles', len(one.tiles), one.tiles_total)}")
    tiles = [
        (when(tile.start), when(tile.end), number(tile.value), tile.events) for tile in one.tiles
    ]
    print_table(["after", "up to", "value alone", "events"], tiles)
    typer.echo(f"\n{_of('events', len(one.events), one.events_total)}")
    print_table(EVENT_COLUMNS, map(event_row, one.events))
    if one.left_out:
        typer.echo(f"\nleft out: {_left_out(one)}")


def _of(what: str, shown: int, total: int) -> str:
    return f"{what} ({total})" if shown == total else f"{what} (the newest {shown} of {total})"


def event_row(event: pb.FeatureEvent) -> Sequence[object]:
    """Show one event and where it lies."""
    place = f"{event.stream}/{event.partition}@{event.offset}.{event.row}"
    value = event.text if event.HasField("text") else NOTHING
    if event.HasField("value"):
        value = number(event.value)
    return (event.id, when(event.event_time), when(event.available_time), place, value)
