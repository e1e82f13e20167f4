"""Row `training-sets`: a point-in-time set of labels with 20 features, from storage to Parquet."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.peers import environments, pit_data, tidemill_training_set
from benchmarks.peers.environments import python_of
from benchmarks.peers.pit_data import PitData
from benchmarks.peers.processes import Usage
from benchmarks.peers.processes import run as run_process
from benchmarks.peers.rounds import Figures, Keep, Participant, run
from tidemill_local.library import LocalStack

HERE = Path(__file__).parent
LABELS = 1_000_000
CHECK = PitData(5_000)
JUDGED = ("rows_per_second", "rows_per_cpu_second", "peak_mib", "rows_lost")


@dataclass(frozen=True, slots=True)
class Library:
    """A peer that joins two Parquet files in a process of its own."""

    name: str
    how: str
    labels: int = LABELS


LIBRARIES = (
    Library(
        "feast",
        "file source, dask offline store, get_historical_features; it joins every feature row of an"
        " entity with every label of it before it filters, so memory bounds it",
    ),
    Library("duckdb", "ASOF LEFT JOIN, 2 threads"),
    Library("pandas", "merge_asof by entity, both sides sorted by time first"),
)
TIDEMILL = (
    "BuildTrainingSet over gRPC: `last` of 20 fields over a lifetime window, from the Delta archive"
    " (written before, not counted); with content hash, profile and labels' order"
)
NAMES = ("tidemill-set", *(one.name for one in LIBRARIES))

ABOUT = {
    "what": "point-in-time set: labels with 20 features, ten feature rows an entity",
    "reach": ">= 10 x Feast, no row lost",
}


def measure(names: Iterable[str], rounds: int, scale: float, limit_s: float, keep: Keep) -> None:
    """Run the named participants on the same labels and feature rows."""
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        known = {one.name: one for one in _participants(Path(name), scale, limit_s)}
        run([known[one] for one in NAMES if one in names], rounds, JUDGED, keep)


def _participants(folder: Path, scale: float, limit_s: float) -> Iterator[Participant]:
    measured = PitData(max(int(LABELS * scale), 1))
    tidemill = partial(_tidemill, folder, limit_s)
    about = {"how": TIDEMILL, "exactly_once": True}
    yield Participant(NAMES[0], about, partial(tidemill, CHECK), partial(tidemill, measured))
    for one in LIBRARIES:
        work = partial(_library, one, folder, limit_s)
        yield Participant(
            one.name,
            {"how": one.how, "versions": environments.versions(one.name)},
            partial(work, CHECK),
            partial(work, measured),
        )


def _tidemill(folder: Path, limit_s: float, data: PitData) -> Figures:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        mine = Path(name)
        with LocalStack(mine / "stack", services=[], parts=["kafka"]) as stack:
            kafka = stack.address("kafka")
            work = tidemill_training_set.measure(kafka, mine, data, 1, limit_s)
            ((usage, verdict),) = asyncio.run(work)
    return _figures(usage, verdict, data)


def _library(library: Library, folder: Path, limit_s: float, data: PitData) -> Figures:
    environments.install(library.name)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        mine = Path(name)
        data.write(mine)
        files = {one: str(mine / f"{one}.parquet") for one in ("features", "labels", "results")}
        arguments = [text for key, value in files.items() for text in (f"--{key}", value)]
        program = str(HERE / library.name / "training_set.py")
        usage = run_process(
            [str(python_of(library.name)), program, *arguments, "--state", str(mine / "state")],
            log=mine / "log",
            limit_s=limit_s,
        )
        verdict = data.judge(*pit_data.read(mine / "results.parquet"))
    return _figures(usage, verdict, data)


def _figures(usage: Usage, verdict: dict[str, int], data: PitData) -> Figures:
    wrong = ("rows_lost", "rows_repeated", "rows_different")
    return {
        "labels": data.labels,
        **verdict,
        "exact": not any(verdict[name] for name in wrong),
        "seconds": round(usage.seconds, 3),
        "cpu_seconds": round(usage.cpu_seconds, 3),
        "rows_per_second": round(data.labels / usage.seconds),
        "rows_per_cpu_second": round(data.labels / max(usage.cpu_seconds, 1e-3)),
        "peak_mib": round(usage.peak_mib),
    }
