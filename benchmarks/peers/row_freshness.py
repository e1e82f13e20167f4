"""Row `freshness`: from publishing an event to reading its effect, at a steady rate."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import freshness
from benchmarks.harness import applied, quantiles, running, wait_for_views, where
from benchmarks.peers import environments, latency, topics
from benchmarks.peers.environments import java
from benchmarks.peers.processes import PeerFailed, kill_tree
from benchmarks.peers.rounds import Figures, Keep, Participant, run
from benchmarks.publish import wait_for_stream
from tidemill.errors import TidemillError
from tidemill_local.library import LocalStack

RATES = (1_000, 20_000)
SECONDS = 20.0
CHECK_SECONDS = 2.0
JUDGED = tuple(f"{name}_{rate}" for rate in RATES for name in ("p50_ms", "p99_ms"))
SERVICES = ("registry", "ingestion", "features-worker", "features-server")


@dataclass(frozen=True, slots=True)
class Engine:
    """A peer that counts per key from topic to topic."""

    name: str
    environment: str
    commit_ms: int
    how: str


ENGINES = (
    Engine(
        "kafka-streams-10ms",
        "kafka_streams",
        10,
        "exactly-once-v2, commit every 10 ms, one thread, linger 0; counts per key, of which only"
        " the probes' are written to the output; read by a read_committed consumer",
    ),
    Engine(
        "flink-100ms",
        "flink",
        100,
        "local cluster, parallelism 1, exactly-once checkpoints every 100 ms, buffer timeout 0,"
        " transactional sink; otherwise as Kafka Streams",
    ),
)
TIDEMILL = {
    "tidemill-token": "publish over gRPC, read over gRPC with the publish token; count and 2 means",
    "tidemill-polling": "the same, reading again and again without the token",
}
NAMES = (*TIDEMILL, *(one.name for one in ENGINES))

ABOUT = {
    "what": "publish to readable at 1,000 and 20,000 events/s",
    "reach": "p50 <= 10 ms, p99 <= 30 ms at 1,000/s; p99 <= 150 ms at 20,000/s",
}


def measure(names: Iterable[str], rounds: int, scale: float, limit_s: float, keep: Keep) -> None:
    """Run the named participants, each on a broker of its own kind; `limit_s` is not needed."""
    del limit_s  # a run takes as long as it probes
    known = {one.name: one for one in _participants(scale)}
    run([known[name] for name in NAMES if name in names], rounds, JUDGED, keep)


def _participants(scale: float) -> Iterator[Participant]:
    seconds = SECONDS * scale
    for name, how in TIDEMILL.items():
        kind = name.removeprefix("tidemill-")
        yield Participant(
            name,
            {"how": how, "exactly_once": True},
            partial(_tidemill, kind, CHECK_SECONDS, RATES[:1]),
            partial(_tidemill, kind, seconds, RATES),
        )
    for one in ENGINES:
        about = {
            "how": one.how,
            "exactly_once": True,
            "versions": environments.versions(one.environment),
        }
        yield Participant(
            one.name,
            about,
            partial(_engine, one, CHECK_SECONDS, RATES[:1]),
            partial(_engine, one, seconds, RATES),
        )


def _tidemill(kind: str, seconds: float, rates: Iterable[int]) -> Figures:
    found: Figures = {"exact": True}
    with running(SERVICES) as stack, applied(stack, freshness.PROJECT) as client:
        wait_for_stream(where(stack).of("ingestion"))
        wait_for_views(client)
        for rate in rates:
            try:
                figures = asyncio.run(freshness.measure(where(stack), rate, seconds, (kind,)))
            except TidemillError as error:
                raise PeerFailed(f"at {rate} events/s: {error}") from error
            found |= _named(figures[f"with_{kind}"], rate)
    return found


def _engine(engine: Engine, seconds: float, rates: Iterable[int]) -> Figures:
    environments.install(engine.environment)
    found: Figures = {"exact": True}
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        with LocalStack(folder / "stack", services=[], parts=["kafka"]) as stack:
            kafka = stack.address("kafka")
            for rate in rates:
                found |= _at_rate(engine, kafka, folder / str(rate), rate, seconds)
    return found


def _at_rate(engine: Engine, kafka: str, folder: Path, rate: int, seconds: float) -> Figures:
    folder.mkdir()
    topic, output = f"clicks-{rate}", f"counts-{rate}"
    for one in (topic, output):
        asyncio.run(topics.create(kafka, one))
    options = {
        "bootstrap": kafka,
        "topic": topic,
        "output": output,
        "group": f"counts-{rate}",
        "state": folder / "state",
        "commit-ms": engine.commit_ms,
    }
    arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    with _started([*java(engine.environment, "peers.Counts"), *arguments], folder / "log"):
        probes = asyncio.run(latency.measure(kafka, topic, output, rate, seconds))
    times = list(probes.seconds.values())
    published = round(probes.published)
    figures = {"probes": len(times), "published_per_second": published, **quantiles(times)}
    return _named(figures, rate) | ({"exact": False, "wrong": probes.wrong} if probes.wrong else {})


@contextmanager
def _started(argv: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as file:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield
    finally:
        kill_tree(process.pid)
        process.wait()


def _named(figures: Figures, rate: int) -> Figures:
    return {f"{name}_{rate}": value for name, value in figures.items()}
