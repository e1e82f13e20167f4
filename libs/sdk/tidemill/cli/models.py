"""predict, runs, models, promote, rollback, audit: models and what decides about them."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.cli.arguments import At, ModelName, Number, Reason, instant, pairs
from tidemill.cli.output import (
    Json,
    number,
    print_fields,
    print_json,
    print_messages,
    short,
    to_dict,
    when,
)
from tidemill.client import connect
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.training.v1 import training_service_pb2 as training_pb

runs_app = typer.Typer(no_args_is_help=True, help="Training runs and the decisions behind them.")
models_app = typer.Typer(no_args_is_help=True, help="Model versions and their gates.")
audit_app = typer.Typer(no_args_is_help=True, help="The hash-chained audit.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(predict)
    runs_app.command("list")(list_runs)
    runs_app.command("show")(show_run)
    runs_app.command("submit")(submit)
    runs_app.command("cancel")(cancel)
    runs_app.command("decisions")(decisions)
    app.add_typer(runs_app, name="runs")
    models_app.command("list")(list_versions)
    models_app.command("show")(show_version)
    app.add_typer(models_app, name="models")
    app.command()(promote)
    app.command()(rollback)
    audit_app.command("verify")(verify_audit)
    audit_app.command("list")(list_audit)
    app.add_typer(audit_app, name="audit")


def predict(
    model: ModelName,
    fields: Annotated[list[str], typer.Argument(help="Request fields: carrier=UA …")],
    *,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Predict for one row."""
    with connect(author="cli") as client:
        prediction = client.predict(model, [pairs(fields)], at=instant(at))[0]
    if as_json:
        print_json(to_dict(prediction))
        return
    print_fields(
        {
            "score": number(prediction.score),
            "version": f"{prediction.version} ({prediction.variant})",
            "freshness": f"{prediction.freshness_ms:.1f} ms",
            "prediction": prediction.prediction_id,
        }
    )


RUN_COLUMNS = ["run", "model", "state", "version", "created", "error"]


def _run_row(run: training_pb.Run) -> tuple[object, ...]:
    state = short(training_pb.RunState.Name(run.state), "RUN_STATE_")
    if run.state == training_pb.RUN_STATE_RUNNING:
        state = f"{run.stage or state} {run.progress:.0%}"
    created = when(run.created_time)
    return (run.run_id, run.spec.model, state, run.version or "-", created, run.error)


def list_runs(
    model: Annotated[str, typer.Argument(help="Name of the model; empty: all.")] = "",
    *,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    with connect(author="cli") as client:
        runs = client.runs(model, limit=limit)
    print_messages(runs, RUN_COLUMNS, map(_run_row, runs), as_json=as_json)


def show_run(
    run_id: Annotated[str, typer.Argument(help="Id of the run.")], *, as_json: Json = False
) -> None:
    """Show one run with its metrics and causes."""
    with connect(author="cli") as client:
        run = client.run(run_id)
    if as_json:
        print_json(to_dict(run))
        return
    metrics = {name: number(value) for name, value in sorted(run.metrics.items())}
    causes = ", ".join(run.causes) or "-"
    shown = dict(zip(RUN_COLUMNS, _run_row(run), strict=True))
    print_fields({**shown, "attempt": run.attempt, "stage": run.stage, "causes": causes, **metrics})


def submit(
    model: ModelName,
    *,
    reason: Reason,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Trainer parameter: epochs=5; repeatable.")
    ] = None,
    max_rows: Annotated[int, typer.Option(help="Newest rows only; 0: the model's own.")] = 0,
    as_json: Json = False,
) -> None:
    """Ask for a run by hand."""
    overrides = {name: _number(name, value) for name, value in pairs(set_ or []).items()}
    with connect(author="cli") as client:
        run = client.submit_run(model, reason=reason, overrides=overrides, max_rows=max_rows)
    print_messages([run], RUN_COLUMNS, [_run_row(run)], as_json=as_json)


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise typer.BadParameter(f"{name}={value}: a trainer parameter is a number") from error


def cancel(
    run_id: Annotated[str, typer.Argument(help="Id of the run.")], *, as_json: Json = False
) -> None:
    """End a run; harmless when it has ended."""
    with connect(author="cli") as client:
        run = client.cancel_run(run_id)
    print_messages([run], RUN_COLUMNS, [_run_row(run)], as_json=as_json)


def decisions(
    model: Annotated[str, typer.Argument(help="Name of the model; empty: all.")] = "",
    *,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what the retrain policies decided, and on what evidence."""
    with connect(author="cli") as client:
        found = client.decisions(model, limit=limit)
    rows = [
        (
            *(when(one.stream_time), one.model, one.verdict, one.reason, one.run_id or "-"),
            ", ".join(f"{name}={value:g}" for name, value in sorted(one.signals.items())),
        )
        for one in found
    ]
    columns = ["stream time", "model", "verdict", "reason", "run", "signals"]
    print_messages(found, columns, rows, as_json=as_json)


def _version_row(version: registry_pb.Version) -> tuple[object, ...]:
    metrics = ", ".join(f"{name}={value:.4g}" for name, value in sorted(version.metrics.items()))
    return (
        version.number,
        short(registry_pb.Stage.Name(version.stage), "STAGE_"),
        ",".join(version.aliases) or "-",
        when(version.created_time),
        when(version.data_time),
        metrics,
        version.reason,
    )


VERSION_COLUMNS = ["version", "stage", "alias", "created", "data until", "metrics", "reason"]


def list_versions(
    model: ModelName,
    *,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """List versions, newest first, with the reason of the last decision about each."""
    with connect(author="cli") as client:
        versions = client.versions(model, limit=limit)
    print_messages(versions, VERSION_COLUMNS, map(_version_row, versions), as_json=as_json)


def show_version(model: ModelName, chosen: Number, *, as_json: Json = False) -> None:
    """Show one version: its gates with their reasons, and where it comes from."""
    with connect(author="cli") as client:
        version = client.version(model, chosen)
    if as_json:
        print_json(to_dict(version))
        return
    print_fields(
        {
            **dict(zip(VERSION_COLUMNS, _version_row(version), strict=True)),
            "digest": version.digest,
            "run": version.lineage.run_id,
            "training set": version.lineage.training_set_hash,
            "causes": ", ".join(version.lineage.causes),
        }
    )
    rows = [
        (
            *(gate.gate, short(registry_pb.Verdict.Name(gate.verdict), "VERDICT_")),
            *(f"{gate.value:.5g}", f"{gate.ci_low:.5g} … {gate.ci_high:.5g}"),
            *(f"{gate.threshold:.5g}", gate.reason),
        )
        for gate in version.gate_results
    ]
    columns = ["gate", "verdict", "value", "interval", "bound", "reason"]
    print_messages(version.gate_results, columns, rows, as_json=False)


ROLLOUT_COLUMNS = ["model", "state", "table", "champion", "challenger", "share", "reason"]


def _rollout_row(row: registry_pb.RolloutRow) -> tuple[object, ...]:
    state = short(registry_pb.RolloutState.Name(row.state), "ROLLOUT_STATE_")
    return (
        *(row.model, state, row.table_version, row.champion),
        *(row.challenger or "-", row.share, row.reason),
    )


def promote(model: ModelName, chosen: Number, *, reason: Reason, as_json: Json = False) -> None:
    """Make a version that passed its gates champion at once."""
    with connect(author="cli") as client:
        row = client.promote(model, chosen, reason=reason)
    print_messages([row], ROLLOUT_COLUMNS, [_rollout_row(row)], as_json=as_json)


def rollback(model: ModelName, *, reason: Reason, as_json: Json = False) -> None:
    """Return to the previous champion, or drop the challenger."""
    with connect(author="cli") as client:
        row = client.roll_back(model, reason=reason)
    print_messages([row], ROLLOUT_COLUMNS, [_rollout_row(row)], as_json=as_json)


def verify_audit(*, as_json: Json = False) -> None:
    """Walk the audit's hash chain; exit code 1 names the first bad entry."""
    with connect(author="cli") as client:
        reply = client.verify_audit()
    if as_json:
        print_json(to_dict(reply))
    elif reply.intact:
        typer.echo(f"intact: {reply.entries} entries, head {reply.head}")
    else:
        typer.echo(f"broken at entry {reply.first_bad_sequence}: {reply.problem}", err=True)
    if not reply.intact:
        raise typer.Exit(1)


def list_audit(
    *,
    after: Annotated[int, typer.Option(help="Entries after this sequence number.")] = 0,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """Show audit entries in order."""
    with connect(author="cli") as client:
        entries = client.audit(after=after, limit=limit)
    rows = [
        (one.sequence, when(one.time), one.author, one.action, one.subject, one.details)
        for one in entries
    ]
    columns = ["sequence", "time", "author", "action", "subject", "details"]
    print_messages(entries, columns, rows, as_json=as_json)
