"""features diff, switch: how the next version of a view differs, and when it takes over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from tidemill.cli.arguments import At, instant, pairs
from tidemill.cli.events import features_app
from tidemill.cli.inspection import View
from tidemill.cli.output import (
    NOTHING,
    Json,
    number,
    print_fields,
    print_json,
    print_table,
    to_dict,
    when,
)
from tidemill.client import connect
from tidemill.features.v1 import feature_service_pb2 as pb

FEATURE_COLUMNS = (
    *("feature", "equal", "changed", "appeared", "gone"),
    *("mean diff", "max diff", "mean rel", "max rel"),
)


def register(app: typer.Typer) -> None:
    """Add the commands to those of `features`."""
    del app
    features_app.command("diff")(diff)
    features_app.command("switch")(switch)


def diff(
    view: View,
    entity: Annotated[
        list[str] | None, typer.Argument(help="Only this entity: user=u1 …; else a sample.")
    ] = None,
    *,
    entities: Annotated[
        int, typer.Option(min=1, max=10_000, help="Entities in the sample.")
    ] = 1_000,
    worst: Annotated[int, typer.Option(min=1, max=100, help="Entities shown, worst first.")] = 5,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Compare the next version of a view with the served one, on entities that are live now.

    Both are read at one time. The sample is the same at every call: the entities with the smallest
    hashes of their keys. Features are matched by name; relative differences are by the larger
    magnitude. `apart` is how many source records only one version had seen: with 0, what differs
    is what the definitions make of the same events.
    """
    with connect(author="cli") as client:
        reply = client.diff_features(
            view,
            [pairs(entity)] if entity else [],
            sample=entities,
            worst=worst,
            at=instant(at),
        )
    if as_json:
        print_json(to_dict(reply))
        return
    compared = f"{reply.entities:,} of {reply.entities_total:,}"
    print_fields(
        {
            "versions": f"{reply.served_version} served, {reply.next_version} next",
            "as of": when(reply.at),
            "entities": f"{compared} compared, {reply.entities_different:,} differ",
            "apart": f"{reply.records_apart:,} records",
            "added": ", ".join(reply.added_features) or NOTHING,
            "removed": ", ".join(reply.removed_features) or NOTHING,
        }
    )
    typer.echo()
    print_table(FEATURE_COLUMNS, map(_feature, reply.features), none="no feature is in both")
    if reply.worst:
        typer.echo()
        rows = [row for one in reply.worst for row in _entity(one)]
        print_table(["entity", "feature", "served", "next"], rows)


def _feature(one: pb.FeatureDiff) -> Sequence[object]:
    counts = (one.equal, one.changed, one.appeared, one.gone)
    spans = (one.mean_difference, one.max_difference, one.mean_relative, one.max_relative)
    return (one.feature, *counts, *map(number, spans))


def _entity(one: pb.EntityDiff) -> Iterator[Sequence[object]]:
    name = " ".join(f"{field}={value}" for field, value in one.entity.fields.items())
    for value in one.values:
        yield (name, value.feature, number(value.served), number(value.next))


def switch(
    *,
    abort: Annotated[bool, typer.Option("--abort", help="Drop what is held instead.")] = False,
    as_json: Json = False,
) -> None:
    """Make the generation that `apply --hold-switch` has stored the current one.

    Its views take over at once if they are built, else as soon as they are; no read fails and no
    value goes back meanwhile. With --abort the held generation is given up, and the current one
    stays.
    """
    with connect(author="cli") as client:
        held = client.project().held.generation
        reply = client.abort(held) if abort else client.switch(held)
    if as_json:
        print_json(to_dict(reply))
    elif not reply.generation:
        typer.echo("nothing is held")
    else:
        typer.echo(f"{'aborted' if abort else 'switched'}: generation {reply.generation}")
