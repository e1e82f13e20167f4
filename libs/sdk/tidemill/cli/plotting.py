"""features plot: a feature of an entity over time as a picture, with its events under it."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tidemill.cli.arguments import Key, instant, key_and_feature
from tidemill.cli.course import Since, Until
from tidemill.cli.events import features_app
from tidemill.cli.inspection import View
from tidemill.cli.output import Json, print_json
from tidemill.client import Client, connect
from tidemill.definitions.v1 import project_pb2
from tidemill.errors import Invalid, Misconfigured
from tidemill.features.v1 import feature_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt
    from google.protobuf.timestamp_pb2 import Timestamp
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS: Final = 10_000
EVENTS: Final = 4_000
POINTS: Final = 500
"""Of a feature that is another one at every moment."""
SIZE: Final = (11.0, 5.5)
DPI: Final = 120
COLOURS: Final = {
    pb.VERDICT_APPLIED: ("applied", "#1f6f8b"),
    pb.VERDICT_DUPLICATE: ("duplicate", "#9a9a9a"),
    pb.VERDICT_LATE: ("late", "#c0392b"),
}
MOVING: Final = project_pb2.FUNCTION_TIME_SINCE_LAST


def register(app: typer.Typer) -> None:
    """Add the commands to those of `features`."""
    del app
    features_app.command("plot")(plot)


def plot(
    view: View,
    key: Key,
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="PNG file to write.")],
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Draw a feature of an entity over time, as reads would have answered, its events under it.

    A gap is where there was no value. Events are drawn when they happened; those that were not
    applied, duplicates and late ones, in other colours. Times are UTC.
    """
    entity, feature = key_and_feature(key)
    if not feature:
        raise Invalid("which feature?", hint="its name comes behind the entity's fields")
    if out.suffix.lower() != ".png":
        raise Invalid(f"{out} is no PNG file", hint="-o feature.png")
    named = " ".join(f"{name}={value}" for name, value in entity.items())
    with connect(author="cli") as client:
        reply = _history(client, view, entity, feature, since, until)
    draw(reply, f"{view}  {named}  {feature}").savefig(out, format="png", dpi=DPI)
    shown = len(reply.rows), len(reply.events)
    if as_json:
        cut = {"rows_cut": reply.rows_cut, "events_total": reply.events_total}
        print_json({"file": str(out), "rows": shown[0], "events": shown[1], **cut})
    else:
        more = ", the newest of more" if _is_part(reply) else ""
        typer.echo(f"{out}: {shown[0]} values, {shown[1]} events{more}")


def _history(
    client: Client,
    view: str,
    entity: dict[str, str],
    feature: str,
    since: str | None,
    until: str | None,
) -> pb.GetHistoryResponse:
    """Ask for the history; of a feature that never stands still, at regular moments too."""

    def ask(every: timedelta | None = None) -> pb.GetHistoryResponse:
        return client.feature_history(
            view,
            entity,
            features=[feature],
            since=instant(since),
            until=instant(until),
            every=every,
            limit=ROWS,
            max_events=EVENTS,
        )

    reply = ask()
    kinds = {one.name: one for one in client.describe_view(view).features}
    if MOVING not in {kinds[name].function for name in (feature, *kinds[feature].operands)}:
        return reply
    length = reply.rows[-1].at.ToDatetime() - reply.rows[0].at.ToDatetime()
    return ask(length / POINTS) if length else reply


def _is_part(reply: pb.GetHistoryResponse) -> bool:
    return reply.rows_cut or len(reply.events) < reply.events_total


def draw(reply: pb.GetHistoryResponse, title: str) -> Figure:
    """Draw the first feature of a history; Misconfigured without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        hint = "pip install 'tidemill[plot]'"
        raise Misconfigured("drawing needs matplotlib", hint=hint) from error
    figure = Figure(figsize=SIZE, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    _draw_values(above, reply)
    _draw_events(below, reply)
    above.set_title(title, loc="left")
    below.set_xlabel("UTC; the newest part of the history" if _is_part(reply) else "UTC")
    return figure


def _draw_values(axes: Axes, reply: pb.GetHistoryResponse) -> None:
    """A value holds until the next row; where there is none the line has a gap."""
    times = moments(row.at for row in reply.rows)
    values = [row.values[0] for row in reply.rows]
    axes.step(times, values, where="post", color="#1f6f8b", linewidth=1.4)
    if values and not math.isnan(values[-1]):
        axes.plot(times[-1:], values[-1:], "o", color="#1f6f8b", markersize=4)
    axes.grid(visible=True, alpha=0.3)


def moments(stamps: Iterable[Timestamp]) -> npt.NDArray[np.datetime64]:
    """Return times as a column, in UTC."""
    import numpy as np  # here: no other command needs it, and each would wait for it

    return np.array([stamp.ToMicroseconds() for stamp in stamps], dtype="datetime64[us]")


def _draw_events(axes: Axes, reply: pb.GetHistoryResponse) -> None:
    """One line of marks for each fate that some event has."""
    fates = [fate for fate in COLOURS if any(one.verdict == fate for one in reply.events)]
    for height, fate in enumerate(fates):
        name, colour = COLOURS[fate]
        times = moments(one.event_time for one in reply.events if one.verdict == fate)
        axes.plot(times, [height] * len(times), "|", color=colour, markersize=11, label=name)
    axes.set_yticks(range(len(fates)), [COLOURS[fate][0] for fate in fates])
    axes.set_ylim(-0.6, max(len(fates), 1) - 0.4)
