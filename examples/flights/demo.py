"""The flights of New York 2013: the whole loop on real data. `make demo`, or `demo.py --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import rescore
import timetable
from display import Display
from replay import MODEL, Progress, Replay
from report import write
from rich.console import Console
from summary import Run, summarise
from watch import Watch

from tidemill.addresses import Addresses, variable
from tidemill.aio import AsyncClient, connect
from tidemill.errors import TidemillError, Transient
from tidemill.project import load
from tidemill_common.artifacts import Artifacts
from tidemill_local.errors import LocalError
from tidemill_local.library import LocalStack

HERE = Path(__file__).parent
DEFAULT_STACK = Path(".tidemill") / "demo"
DEFAULT_OUT = Path("demo")
BAD_RUN_AFTER = timedelta(days=45)
BAD_RUN = {"epochs": 1.0, "learning_rate": 1.0}
"""What a colleague in a hurry tries by hand; the gates must refuse what comes of it."""
SETTLE_S = 60.0
SERVICES = ("registry", "ingestion", "features", "training", "serving", "monitoring")


def main() -> int:
    """Run the demo; exit code 1 if the loop did not do what it should."""
    options = _options()
    console = Console()
    try:
        return asyncio.run(_demo(options, console))
    except (LocalError, TidemillError) as error:
        console.print(f"error: {error}", style="red")
        return 1
    except KeyboardInterrupt:
        return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="start", type=_day, default=_day("2013-01-01"))
    parser.add_argument("--to", dest="end", type=_day, default=_day("2013-04-01"))
    parser.add_argument("--step", type=int, default=60, help="minutes of a step (%(default)s)")
    parser.add_argument(
        "--fault",
        nargs="?",
        type=_day,
        const=_day("2013-02-18"),
        help="for three days from then one airline reports delays in seconds",
    )
    parser.add_argument("--stack", type=Path, default=DEFAULT_STACK, help="folder of the stack")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the results")
    parser.add_argument("--keep", action="store_true", help="leave the stack up until Ctrl-C")
    return parser.parse_args()


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def _demo(options: argparse.Namespace, console: Console) -> int:
    begun = time.monotonic()
    shutil.rmtree(options.stack, ignore_errors=True)
    options.out.mkdir(parents=True, exist_ok=True)
    stack = LocalStack(options.stack, say=lambda text: console.print(text, style="dim"))
    async with stack:
        started = time.monotonic()
        where = Addresses(
            {name: stack.environment[variable(name)] for name in SERVICES}, str(options.stack)
        )
        console.print(f"traces: {stack.environment.get('TIDEMILL_ZIPKIN', '-')}", style="dim")
        artifacts = Artifacts(stack.environment["TIDEMILL_ARTIFACTS"])
        async with connect(where, author="demo") as client:
            run = await _loop(client, artifacts, options, console)
            run.seconds["start_of_the_stack"] = started - begun
            run.seconds["all"] = time.monotonic() - begun
            summary = _write(run, options.out)
            _print(summary, console, options.out)
            if options.keep:
                console.print("the stack stays up; Ctrl-C ends it")
                await asyncio.Event().wait()
    return 0 if _good(summary) else 1


async def _loop(
    client: AsyncClient, artifacts: Artifacts, options: argparse.Namespace, console: Console
) -> Run:
    """Replay, let the platform work, then collect what it did."""
    fault = timetable.Fault(options.fault) if options.fault else None
    table = await asyncio.to_thread(timetable.load, options.start, options.end, fault)
    await _apply(client)
    progress, watch = Progress(options.start), Watch(client)
    replay = Replay(client, table, options.start, options.end, timedelta(minutes=options.step))
    begun = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch.run())
        showing = tasks.create_task(Display(console, progress, watch.seen).run())
        await replay.run(progress, _Colleague(client, watch, options.start).before_step)
        replayed = time.monotonic()
        await _settle(watch)
        watching.cancel()
        showing.cancel()
    await watch.look()
    inputs, built = await rescore.inputs(client, artifacts)
    verified = await client.verify_vectors(MODEL)
    return Run(
        progress=progress,
        served=_served(progress, table, inputs, watch, artifacts),
        seen=watch.seen,
        decisions=await client.decisions(MODEL, limit=200, verdict="fire"),
        verified=verified,
        training_set=built,
        fault=fault,
        seconds={
            "replay": replayed - begun,
            "of_that_held_for_runs": watch.seen.held_s,
            "settling_and_checking": time.monotonic() - replayed,
        },
    )


async def _apply(client: AsyncClient) -> None:
    """Store the project and wait until its streams are taken up."""
    await client.apply(load(HERE / "tidemill.yaml"))
    for _ in range(360):
        try:
            views = (await client.describe_views()).views
            if views and all(view.ready for view in views):
                return
        except Transient:
            pass  # the service is taking the project up
        await asyncio.sleep(0.5)
    raise LocalError("the feature views were not ready within three minutes; see the stack's logs")


class _Colleague:
    """Holds the clock while the platform works, and once asks for a hasty run by hand."""

    def __init__(self, client: AsyncClient, watch: Watch, start: datetime) -> None:
        self._client = client
        self._watch = watch
        self._bad_run_at = start + BAD_RUN_AFTER
        self._asked = False

    async def before_step(self, until: datetime) -> None:
        """Wait while a run or the gates are at work."""
        await self._watch.hold()
        if not self._asked and until >= self._bad_run_at and self._watch.seen.rollout.champion:
            self._asked = True
            await self._client.submit_run(
                MODEL, reason="a hasty try", overrides=BAD_RUN, max_rows=8000, request_id="hasty"
            )
            await self._watch.look()


async def _settle(watch: Watch) -> None:
    """Let the last run and its gates end."""
    end = time.monotonic() + SETTLE_S
    while time.monotonic() < end:
        await asyncio.sleep(1.0)
        await watch.look()
        if not watch.seen.busy:
            return


def _served(
    progress: Progress,
    table: timetable.Timetable,
    inputs: pl.DataFrame,
    watch: Watch,
    artifacts: Artifacts,
) -> pl.DataFrame:
    """One row per answer, with the truth and what the first version would have said."""
    answers = pl.DataFrame(progress.answers)
    truth = table.flights.select("flight_id", "late")
    rows = answers.join(truth, on="flight_id", how="left").sort("asked")
    served = [v for v in watch.seen.versions if v.number == rows["version"][0]]
    first = rescore.scores(served[0], inputs, artifacts)
    return rows.join(first, on="flight_id", how="left", maintain_order="left")


def _write(run: Run, out: Path) -> dict[str, Any]:
    summary = summarise(run)
    (out / "summary.json").write_text(json.dumps(summary, indent=2, default=str) + "\n")
    run.served.write_parquet(out / "predictions.parquet")
    write(run, summary, out / "report.html")
    return summary


def _good(summary: dict[str, Any]) -> bool:
    """Whether vectors agree and nothing was refused; quality is for a person to judge."""
    recomputed = summary["served_vectors_recomputed"]
    assert isinstance(recomputed, dict)  # noqa: S101 - narrows the type
    return (
        recomputed["mismatches"] == 0
        and recomputed["vectors"] > 0
        and not summary["events_refused"]
    )


def _print(summary: dict[str, Any], console: Console, out: Path) -> None:
    for name in (
        *("events", "predictions", "seconds", "quality", "freshness_ms", "latency_ms"),
        *("policy_fires_to_traffic_s", "fault", "served_vectors_recomputed"),
    ):
        console.print(f"{name}: {json.dumps(summary[name], default=str)}", highlight=False)
    if not summary["quality"]["wanted_gain_reached"]:
        wanted = json.dumps(summary["quality"]["wanted_gain"])
        console.print(f"the gain over the first version is less than {wanted}", style="yellow")
    console.print(f"summary: {out / 'summary.json'}   report: {out / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())
