"""Row `windows`: JSON events, six aggregations, three windows that slide by five minutes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.peers import environments
from benchmarks.peers.contenders import CONTENDERS, Contender
from benchmarks.peers.outcome import Outcome
from benchmarks.peers.rounds import Figures, Keep, Participant, run
from benchmarks.peers.tidemill_windows import BRIDGE, MEASURED, SERVICES, Tidemill
from benchmarks.peers.topics import Topics
from benchmarks.peers.windows import Peers
from benchmarks.peers.workload import CHECK, Workload
from tidemill_local.library import LocalStack

JUDGED = ("events_per_second", "events_per_cpu_second", "peak_mib")
# Archiving is work that no peer does here.
SETTINGS = {"TIDEMILL_ARCHIVER": "false"}
OWN: Mapping[str, tuple[str, int, str]] = {
    "tidemill": (
        "publish",
        1_000_000,
        (
            "JSON over gRPC in batches of 500 through ingestion, one features worker, one replica;"
            " the processor time of all three counts; archiver off"
        ),
    ),
    "tidemill-json-topic": (
        "json_topic",
        1_000_000,
        (
            "the topic that the peers read, taken up by the bridge for foreign topics, one features"
            " worker, one replica; the processor time of all three counts; archiver off"
        ),
    ),
    "tidemill-backlog": (
        "backlog",
        1_000_000,
        (
            "the same, but everything is published before the worker starts, as the peers read a"
            " topic that is full; the costs of publishing and of draining are added up"
        ),
    ),
    "tidemill-columns": (
        "columns",
        3_000_000,
        "the engine alone: a backlog of columnar records of 500 events; worker and replica count",
    ),
}
# Those that read many events first: a run that is broken off has the fairer ways.
NAMES = (*OWN, *(one.name for one in sorted(CONTENDERS, key=lambda one: -one.events)))

ABOUT = {
    "what": "one JSON event a record, 10,000 keys, 6 aggregations x 3 windows by 5 minutes",
    "reach": ">= 100,000 events per CPU second, goal 200,000",
}


def measure(names: Iterable[str], rounds: int, scale: float, limit_s: float, keep: Keep) -> None:
    """Run the named participants on one stack."""
    with _stack() as (stack, folder):
        kafka = stack.address("kafka")
        filled = Topics(kafka)
        tidemill = Tidemill(stack, filled, limit_s)
        peers = Peers(kafka, filled, folder / "peers", limit_s)
        known = {one.name: one for one in _participants(tidemill, peers, scale)}
        run([known[name] for name in NAMES if name in names], rounds, JUDGED, keep)


@contextmanager
def _stack() -> Iterator[tuple[LocalStack, Path]]:
    """Start the parts, and Tidemill's processes only to see that they can start."""
    os.environ.update(SETTINGS)
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        parts = ("kafka", "postgres")
        with LocalStack(folder / "stack", services=SERVICES, parts=parts) as stack:
            for process in (BRIDGE, *MEASURED):
                stack.stop_process(process)
            yield stack, folder


def _participants(tidemill: Tidemill, peers: Peers, scale: float) -> Iterator[Participant]:
    for name, (way, events, how) in OWN.items():
        work: Callable[[Workload], Outcome] = getattr(tidemill, way)
        yield Participant(
            name,
            {"how": how, "readable": "gRPC reads, when committed", "exactly_once": True},
            partial(_figures, work, CHECK),
            partial(_figures, work, Workload(max(int(events * scale), 1))),
        )
    for one in CONTENDERS:
        yield Participant(
            one.name,
            {
                "how": one.how,
                "readable": one.readable,
                "exactly_once": one.exactly_once,
                "versions": environments.versions(one.environment),
            },
            partial(_checked, peers, one),
            partial(_figures, partial(peers.run, one), Workload(max(int(one.events * scale), 1))),
        )


def _figures(work: Callable[[Workload], Outcome], load: Workload) -> Figures:
    return work(load).figures()


def _checked(peers: Peers, contender: Contender) -> Figures:
    environments.install(contender.environment)
    return peers.run(contender, CHECK).figures()
