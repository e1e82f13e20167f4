"""What a second features worker brings: the same backlog drained by one worker and by two.

The workers own their partitions before there is a backlog, and are stopped (SIGSTOP) while it is
appended. The rate runs from a quarter of the backlog to its end: before, state grows from nothing.
Where workers share few cores with the broker, look at the processor time, or give each worker the
same part of a core (`--worker-cpus 0.4`), as a container's limit does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from benchmarks.cpu_limits import limited
from benchmarks.decided import watching
from benchmarks.features_drain import LIMIT_S, PROJECT, RECORD, cpu, fill
from benchmarks.harness import write
from benchmarks.rebalance import Workers, until
from tidemill.project import loads, normalise
from tidemill_common import topics
from tidemill_common.feature_views import stream_spec, view_spec
from tidemill_common.kafka import Broker, administering
from tidemill_features.testing import one_project
from tidemill_local.library import LocalStack

SETTLED_S = 8.0
"""After the last partition was opened: a member that comes late would show by then."""
SESSION_S = 60.0
NAMES = ("a", "b")


@contextlib.contextmanager
def paused(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Let workers stand still, for less than their session, while the block runs."""
    for one in processes:
        one.suspend()
    try:
        yield
    finally:
        for one in processes:
            one.resume()


async def measure(
    kafka: str, folder: Path, total: int, count: int, partitions: int, cpus: float | None
) -> dict[str, float]:
    """Start the workers, give them a backlog, watch."""
    text = PROJECT.replace("partitions: 2", f"partitions: {partitions}")
    project = normalise(loads(text).project)
    spec, broker = stream_spec(project, "trades"), Broker(kafka)
    log = view_spec(project, "accounts").log("trades")
    names = NAMES[:count]
    async with one_project(project) as (registry, _), administering(broker) as admin:
        await admin.ensure([topics.REGISTRY_EVENTS, spec.topic, log])
        session = {"TIDEMILL_FEATURES_SESSION_SECONDS": f"{SESSION_S:g}"}
        workers = Workers(kafka, registry, folder, **session)
        try:
            for name in names:
                await workers.start(name)
            share = spec.partitions // count
            await until(
                lambda: all(workers.opened(name) >= share for name in names),
                f"{count} workers own partitions",
            )
            await asyncio.sleep(SETTLED_S)
            processes = workers.processes()

            def used() -> float:
                return sum(map(cpu, processes))

            wanted = total // RECORD
            async with watching(broker, spec, log, wanted, used, wanted // 4) as decided:
                with paused(processes):
                    await fill(broker, spec, total)
                if cpus is None:
                    return await decided.figures(RECORD, LIMIT_S)
                with limited([one.pid for one in processes], cpus):
                    return await decided.figures(RECORD, LIMIT_S)
        finally:
            await workers.close()


def median(rounds: Sequence[dict[str, float]], what: str) -> float:
    """Return the middle one of what each round gave."""
    return statistics.median(one[what] for one in rounds)


def main() -> None:
    """Measure one worker, then two, each on a broker of its own; again in each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=6_000_000)
    parser.add_argument("--partitions", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--worker-cpus", type=float, help="cores a worker has (default: all)")
    options = parser.parse_args()
    cpus = options.worker_cpus
    found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for count in (1, 2) * options.rounds:
        with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
            folder = Path(name)
            with LocalStack(folder / "stack", services=[], parts=["kafka"]) as stack:
                kafka = stack.address("kafka")
                figures = asyncio.run(
                    measure(kafka, folder, options.events, count, options.partitions, cpus)
                )
        found[count].append(figures)
    one, two = found[1], found[2]
    rate, per_cpu = "events_per_second", "events_per_cpu_second"
    write(
        "features_scaling" if cpus is None else "features_scaling_limited",
        {
            "what": "one features worker and two on the same backlog; ratios of medians",
            "partitions": options.partitions,
            "cores_a_worker": "all" if cpus is None else cpus,
            "reach": ">= 1.7 x with a second worker where cores allow",
            "one": one,
            "two": two,
            "speed_up": round(median(two, rate) / median(one, rate), 2),
            "cpu_for_an_event": round(median(one, per_cpu) / median(two, per_cpu), 2),
        },
    )


if __name__ == "__main__":
    main()
