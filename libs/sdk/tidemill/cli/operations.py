"""alerts: what the platform has noticed."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.cli.output import Json, print_fields, print_json, print_messages, short, to_dict, when
from tidemill.client import connect
from tidemill.errors import NotFound
from tidemill.monitoring.v1 import monitoring_service_pb2 as pb

alerts_app = typer.Typer(no_args_is_help=True, help="Alerts with their ranked causes.")

AlertId = Annotated[str, typer.Argument(help="Id that `alerts list` shows.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    alerts_app.command("list")(list_alerts)
    alerts_app.command("show")(show)
    alerts_app.command("ack")(acknowledge)
    alerts_app.command("report")(report)
    app.add_typer(alerts_app, name="alerts")


COLUMNS = ["alert", "severity", "kind", "subject", "state", "opened", "summary"]


def _row(alert: pb.Alert) -> tuple[object, ...]:
    return (
        alert.alert_id,
        alert.severity,
        short(pb.AlertKind.Name(alert.kind), "ALERT_KIND_"),
        alert.subject,
        short(pb.AlertState.Name(alert.state), "ALERT_STATE_"),
        when(alert.opened_stream_time),
        alert.summary,
    )


def list_alerts(
    model: Annotated[str, typer.Argument(help="Name of the model; empty: all.")] = "",
    *,
    open_only: Annotated[bool, typer.Option("--open", help="Only those not resolved.")] = False,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List alerts, newest first."""
    with connect(author="cli") as client:
        alerts = client.alerts(model, open_only=open_only, limit=limit)
    print_messages(alerts, COLUMNS, map(_row, alerts), as_json=as_json)


def show(alert_id: AlertId, *, as_json: Json = False) -> None:
    """Show one alert: causes, the first bad record, the report."""
    with connect(author="cli") as client:
        found = [one for one in client.alerts(limit=1000) if one.alert_id == alert_id]
    if not found:
        raise NotFound(f"no alert {alert_id!r}", hint="tidemill alerts list")
    alert = found[0]
    if as_json:
        print_json(to_dict(alert))
        return
    bad = alert.first_bad
    print_fields(
        {
            **dict(zip(COLUMNS, _row(alert), strict=True)),
            "effect": f"{alert.effect:.4g} (p {alert.p_value:.3g})",
            "first bad": f"{bad.topic}/{bad.partition} offset {bad.offset}: {bad.value}",
            "bad from": when(alert.bad_from),
            "bad to": when(alert.bad_to),
            "resolved": when(alert.resolved_stream_time),
            "report": alert.report_path or "-",
            "seen by": alert.acknowledged_by or "-",
        }
    )
    for rank, cause in enumerate(alert.causes, start=1):
        typer.echo(
            f"cause {rank}: {cause.text or cause.subject} ({cause.shape}, {cause.weight:.2g})"
        )


def acknowledge(alert_id: AlertId, *, as_json: Json = False) -> None:
    """Say that you have seen an alert."""
    with connect(author="cli") as client:
        alert = client.acknowledge(alert_id)
    print_messages([alert], COLUMNS, [_row(alert)], as_json=as_json)


def report(alert_id: AlertId, *, as_json: Json = False) -> None:
    """Build (or find) the report of an alert and print its path."""
    with connect(author="cli") as client:
        path = client.report(alert_id=alert_id)
    if as_json:
        print_json({"path": path})
    else:
        typer.echo(path)
