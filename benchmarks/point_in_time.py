"""How fast one process makes point-in-time rows, and what memory that takes: a made-up shop.

A million payments ask for the eight features of one view; half as many again are its labels. The
archive is written without a broker; a builder process of its own then works on jobs, as the
server's does: reading the archive, labels, features, Parquet, content hash, profile. The second
history is four times as long and has four times the rows: memory must not follow.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.harness import write
from tidemill.definitions.v1 import project_pb2
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.project import loads, normalise
from tidemill_common.events import TIMESTAMP
from tidemill_features.building import ALLOCATORS, BUILDER
from tidemill_features.definitions import work_of
from tidemill_features.jobs import Job, read_reply
from tidemill_features.testing import WrittenArchive

PROJECT: Final = """
project: shop
streams:
  payments:
    key: [card]
    replay: true
    lateness: 1h
    partitions: 4
    fields:
      card: {type: string, required: true}
      amount: {type: float64, resolution: 0.01}
  disputes:
    key: [card]
    replay: true
    lateness: 1h
    partitions: 4
    fields:
      card: {type: string, required: true}
      lost: {type: float64, resolution: 0.01}
views:
  cards:
    stream: payments
    entity: [card]
    aggregations:
      - {function: count, windows: [1h, 1d, 7d]}
      - {function: sum, field: amount, windows: [1d, 7d]}
      - {function: mean, field: amount, windows: [7d]}
      - {function: max, field: amount, windows: [1d]}
      - {function: std, field: amount, windows: [7d]}
models:
  disputed:
    spine: {stream: payments, key: [card]}
    inputs:
      - {view: cards}
      - {field: amount}
    label:
      stream: disputes
      expression: CAST(lost > 10 AS DOUBLE)
      max_delay: 2d
      task: binary
    trainer: {name: tabular, seed: 1}
"""
MODEL: Final = "disputed"
CARDS: Final = 10_000
ROWS: Final = 1_000_000
DAYS: Final = 30
DAY_US: Final = 86_400_000_000
START_US: Final = 20_000 * DAY_US
BUILDS: Final = 2


def day_of(stream: str, day: int, count: int, chance: np.random.Generator) -> pa.Table:
    """Return the events of one day in the order in which they became available."""
    time = np.sort(chance.integers(0, DAY_US, count)) + START_US + day * DAY_US
    cards = chance.integers(0, CARDS, count)
    names = pa.array([f"card-{number:05d}" for number in range(CARDS)]).take(pa.array(cards))
    value = "amount" if stream == "payments" else "lost"
    return pa.table(
        {
            "_id": pa.array(np.arange(count) + day * ROWS).cast(pa.string()),
            "_source": pa.repeat("bench", count),
            "_time": pa.array(time).cast(TIMESTAMP),
            "_available": pa.array(time + chance.integers(0, 2_000_000, count)).cast(TIMESTAMP),
            "_replay_of": pa.nulls(count, pa.string()),
            "card": names,
            value: np.round(chance.gamma(2.0, 20.0, count), 2),
        }
    )


def archived(root: Path, project: project_pb2.Project, days: int) -> Job:
    """Write a history of so many days; return the job that builds its training set."""
    chance = np.random.default_rng(7)
    versions: dict[str, int] = {}
    cut: dict[str, dict[int, int]] = {}
    for name, work in work_of(project, "1-bench").streams.items():
        archive = WrittenArchive(root / "archive", work)
        count = ROWS // DAYS if name == "payments" else ROWS // DAYS // 2
        for day in range(days):
            archive.add(day_of(name, day, count, chance), START_US + (day + 1) * DAY_US)
        versions[name], cut[name] = archive.version, archive.cut
    request = pb.BuildTrainingSetRequest(model=MODEL, unlabelled=True)
    return Job(
        kind="training_set",
        project=project,
        generation="1-bench",
        model=MODEL,
        archive=str(root / "archive"),
        artifacts=str(root / "artifacts"),
        versions=versions,
        cut=cut,
        request=request,
    )


def built(job: Job, builds: int) -> tuple[list[pb.TrainingSet], list[dict[str, Any]]]:
    """Let a fresh builder process build again and again; return the sets and what it logged."""
    process = subprocess.Popen(
        [sys.executable, "-m", BUILDER],
        env=os.environ | ALLOCATORS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said, errors = process.communicate(job.to_line() * builds, timeout=1_800)
    if process.returncode:
        raise SystemExit(errors.decode())
    replies = [read_reply(line) for line in said.splitlines()]
    sets = [pb.TrainingSet.FromString(one) for one in replies if isinstance(one, bytes)]
    lines = errors.decode().splitlines()
    return sets, [json.loads(line) for line in lines if '"training_set.built"' in line]


def measured(days: int, builds: int) -> dict[str, Any]:
    """Measure one length of history."""
    loaded = loads(PROJECT)
    if loaded.problems:
        raise SystemExit("\n".join(map(str, loaded.problems)))
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        job = archived(Path(name), normalise(loaded.project), days)
        sets, logged = built(job, builds)
    assert len({one.row_hash for one in sets}) == 1
    seconds = [round(one.seconds, 3) for one in sets]
    cpu = [one["cpu_seconds"] for one in logged]
    return {
        "days": days,
        "rows": sets[0].rows,
        "events": sets[0].events,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "rows_per_second": round(sets[0].rows / min(seconds)),
        "rows_per_cpu_second": round(sets[0].rows / min(cpu)),
        "peak_memory_mib": [one["peak_memory_mib"] for one in logged],
        "row_hash": sets[0].row_hash,
    }


def main() -> None:
    """Measure both."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    write(
        "point_in_time",
        {
            "what": "point-in-time rows of one view with 8 features, one process",
            "reach": ">= 500,000 rows/s, memory follows the state and not the history",
            "builds": BUILDS,
            "histories": [measured(DAYS, BUILDS), measured(4 * DAYS, BUILDS)],
        },
    )


if __name__ == "__main__":
    main()
