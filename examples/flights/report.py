"""The run in pictures: `demo/report.html`, one file that needs nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from summary import Run, weekly

from tidemill.monitoring.v1 import monitoring_service_pb2 as monitoring_pb

mpl.use("svg")
TEMPLATE = Path(__file__).parent / "report.html.j2"
SERVED, FIRST, ALARM = "#0b6e99", "#b8b8b8", "#c0392b"
KIND_ROWS = {
    monitoring_pb.ALERT_KIND_DATA: "data",
    monitoring_pb.ALERT_KIND_QUALITY: "quality",
    monitoring_pb.ALERT_KIND_PREDICTION_DRIFT: "prediction drift",
    monitoring_pb.ALERT_KIND_FEATURE_DRIFT: "feature drift",
}


def write(run: Run, summary: dict[str, Any], to: Path) -> None:
    """Write the report."""
    pictures = {
        "Traffic: predictions a day, by version": _picture(lambda axes: _traffic(axes, run.served)),
        "Freshness of the features behind each answer": _picture(
            lambda axes: _freshness(axes, run.served)
        ),
        "AUC by week": _picture(lambda axes: _quality(axes, run.served, "auc")),
        "Log loss by week (lower is better)": _picture(
            lambda axes: _quality(axes, run.served, "log_loss")
        ),
        "Alerts": _picture(lambda axes: _alerts(axes, run)),
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text())
    decisions = sorted(run.decisions, key=lambda one: one.decided_time.ToMicroseconds())
    to.write_text(template.render(summary=summary, pictures=pictures, decisions=decisions))


def _picture(draw: Callable[[Axes], None]) -> str:
    figure = Figure(figsize=(10, 3), layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    out = io.StringIO()
    figure.savefig(out, format="svg")
    text = out.getvalue()
    return text[text.index("<svg") :]


def _traffic(axes: Axes, served: pl.DataFrame) -> None:
    days = (
        served.with_columns(day=pl.col("at").dt.truncate("1d"))
        .group_by("day", "version")
        .len()
        .pivot("version", index="day", values="len")
        .fill_null(0)
        .sort("day")
    )
    versions = sorted((name for name in days.columns if name != "day"), key=int)
    stacks = [days[name].to_numpy() for name in versions]
    axes.stackplot(days["day"].to_numpy(), *stacks, labels=[f"v{name}" for name in versions])
    axes.set_ylabel("predictions / day")
    axes.legend(loc="upper left", ncols=8, fontsize=7)


def _freshness(axes: Axes, served: pl.DataFrame) -> None:
    days = (
        served.with_columns(day=pl.col("at").dt.truncate("1d"))
        .group_by("day")
        .agg(
            p50=pl.col("freshness_ms").quantile(0.5),
            p99=pl.col("freshness_ms").quantile(0.99),
        )
        .sort("day")
    )
    axes.plot(days["day"].to_numpy(), days["p50"].to_numpy(), color=SERVED, label="p50")
    axes.plot(days["day"].to_numpy(), days["p99"].to_numpy(), color=FIRST, label="p99")
    axes.set_ylabel("ms since the log's last record")
    axes.set_ylim(bottom=0)
    axes.legend()


def _quality(axes: Axes, served: pl.DataFrame, metric: str) -> None:
    weeks = weekly(served)
    at = [week["week"] for week in weeks]
    axes.plot(
        at, [week["first"][metric] for week in weeks], "o-", color=FIRST, label="first version"
    )
    axes.plot(at, [week["served"][metric] for week in weeks], "o-", color=SERVED, label="served")
    axes.set_ylabel(metric.replace("_", " "))
    axes.legend()


def _alerts(axes: Axes, run: Run) -> None:
    """A bar from opening to resolution, a row a kind."""
    end = run.progress.now.replace(tzinfo=None)
    for alert in run.seen.alerts:
        opened = alert.opened_stream_time.ToDatetime()
        open_still = not alert.HasField("resolved_stream_time")
        until = end if open_still else alert.resolved_stream_time.ToDatetime()
        row = list(KIND_ROWS).index(alert.kind)
        colour = ALARM if alert.severity <= 2 else FIRST
        axes.plot(
            np.array([opened, until], dtype="datetime64[us]"),
            [row, row],
            linewidth=6,
            color=colour,
            alpha=0.6,
        )
    axes.set_yticks(range(len(KIND_ROWS)), list(KIND_ROWS.values()))
    axes.set_ylim(-0.5, len(KIND_ROWS) - 0.5)
