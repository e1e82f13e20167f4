"""Row `reads`: 50 features of one entity and of a hundred, from a server that holds them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import orjson
import psutil

from benchmarks.harness import applied, quantiles, running, wait_for_views, where
from benchmarks.peers import asking, environments
from benchmarks.peers.processes import LOG_LINES, Meter, PeerFailed, kill_tree
from benchmarks.peers.reads_data import FEATURES, PARTITIONS, ReadData, names, project
from benchmarks.peers.rounds import Figures, Keep, Participant, run
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.project import loads, normalise
from tidemill_common.feature_views import stream_spec
from tidemill_common.kafka import Broker, administering, producing

ENTITIES = 2_000
RECORD = 500
SECONDS = 10.0
READY_S = 90.0
WORKERS = os.cpu_count() or 1
VIEW = "readings"
ENGINE = "TIDEMILL_FEATURES_ENGINE"
METHOD = "/tidemill.features.v1.FeatureService/GetFeatures"
PATH = "/get-online-features"
SERVICES = ("registry", "features-worker", "features-server")
SERVING = ("features-worker", "features-server")
# (name, entities a request, clients); JUDGED is of each.
KINDS = (("one", 1, 1), ("hundred", 100, 1), ("ten_clients", 1, 10))
JUDGED = tuple(
    f"{figure}_{kind}"
    for kind, _, _ in KINDS
    for figure in ("p50_ms", "p99_ms", "requests_per_second", "cpu_ms")
)
HOW = {
    "tidemill-reads": "GetFeatures over gRPC, one features server; the worker beside it counts too",
    "tidemill-reads-native": "the same with TIDEMILL_FEATURES_ENGINE=native (HTTP/2 in Rust)",
    "feast-redis": (
        f"feast serve over HTTP, {WORKERS} workers that never restart, hiredis; Redis without"
        " snapshots counts too"
    ),
}
NAMES = tuple(HOW)

ABOUT = {
    "what": f"{len(FEATURES)} features of 1 and of 100 entities of {ENTITIES:,}",
    "reach": (
        "p50 <= 0.8 ms, p99 <= 2 ms for one; p99 <= 4 ms for a hundred; >= 2,500 requests/s by ten"
    ),
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server that holds the features: how it is asked, and what its answers say."""

    processes: Sequence[psutil.Process]
    connect: asking.Connect
    request: Callable[[Sequence[str]], bytes]
    values: Callable[[bytes], list[list[float]]]


Serving = Callable[[ReadData], AbstractContextManager[Server]]


def measure(names: Iterable[str], rounds: int, scale: float, limit_s: float, keep: Keep) -> None:
    """Run the named participants; `limit_s` is not needed, since a run takes as long as it asks."""
    del limit_s
    serving: dict[str, Serving] = {
        "tidemill-reads": partial(tidemill, "aio"),
        "tidemill-reads-native": partial(tidemill, "native"),
        "feast-redis": feast,
    }
    versions = {"feast-redis": environments.versions("feast")}
    people = [
        Participant(
            name,
            {"how": HOW[name], "versions": versions.get(name, [])},
            partial(_checked, serving[name]),
            partial(_measured, serving[name], SECONDS * scale),
        )
        for name in NAMES
        if name in names
    ]
    run(people, rounds, JUDGED, keep)


def _checked(serving: Serving) -> Figures:
    data = ReadData(ENTITIES)
    with serving(data) as server:
        return {"compared": data.entities * len(FEATURES), "exact": _exact(server, data)}


def _measured(serving: Serving, seconds: float) -> Figures:
    data = ReadData(ENTITIES)
    with serving(data) as server:
        found: Figures = {}
        for kind, entities, clients in KINDS:
            found |= {
                f"{name}_{kind}": value
                for name, value in _asked(server, entities, clients, seconds).items()
            }
        compared = data.entities * len(FEATURES)
        return found | {"compared": compared, "exact": _exact(server, data)}


def _asked(server: Server, entities: int, clients: int, seconds: float) -> dict[str, float]:
    chosen = np.random.default_rng(entities).integers(0, ENTITIES, (ENTITIES, entities))
    bodies = [server.request(names(row)) for row in chosen.tolist()]
    meter = Meter(server.processes)
    before = meter.cpu_seconds()
    taken = asyncio.run(asking.measure(server.connect, bodies, clients, seconds))
    used = meter.cpu_seconds() - before
    return {
        "requests": len(taken),
        "requests_per_second": round(len(taken) / seconds),
        "cpu_ms": round(used / len(taken) * 1_000, 3),
        **quantiles(taken),
    }


def _exact(server: Server, data: ReadData) -> bool:
    """Read every entity, 100 at once, and compare every value bit for bit."""

    async def read() -> list[list[float]]:
        found = []
        async with server.connect() as ask:
            for start in range(0, data.entities, 100):
                wanted = names(range(start, min(start + 100, data.entities)))
                found += server.values(await ask(server.request(wanted)))
        return found

    return bool(np.array_equal(np.array(asyncio.run(read())), data.values))


@contextmanager
def tidemill(engine: str, data: ReadData) -> Iterator[Server]:
    """Start Tidemill, fill the stream, and wait until the replica has every row."""
    text = project(VIEW)
    spec = stream_spec(normalise(loads(text).project), VIEW)
    features = [f"{one}_lifetime" for one in FEATURES]

    async def fill(kafka: str) -> None:
        async with administering(Broker(kafka)) as admin, producing(Broker(kafka)) as producer:
            await admin.ensure([spec.topic])
            for partition in range(PARTITIONS):
                mine = np.arange(partition, data.entities, PARTITIONS)
                for start in range(0, len(mine), RECORD):
                    value = data.record(spec, mine[start : start + RECORD])
                    await producer.send(spec.topic.name, value, partition=partition)

    def request(keys: Sequence[str]) -> bytes:
        entities = [pb.EntityKey(fields={"entity": key}) for key in keys]
        message = pb.GetFeaturesRequest(view=VIEW, entities=entities, features=features)
        return message.SerializeToString()

    def values(reply: bytes) -> list[list[float]]:
        return [list(one.values) for one in pb.GetFeaturesResponse.FromString(reply).entities]

    os.environ[ENGINE] = engine
    with running(SERVICES) as stack:
        asyncio.run(fill(stack.address("kafka")))
        with applied(stack, text) as client:
            wait_for_views(client)
            end = time.monotonic() + READY_S
            while any(one.position < one.source_end for one in client.describe_views().views):
                if time.monotonic() > end:
                    raise PeerFailed(f"the rows were not in the replica in {READY_S:.0f} s")
                time.sleep(0.1)
            yield Server(
                [psutil.Process(stack.pid(name)) for name in SERVING],
                partial(asking.over_grpc, where(stack).of("features"), METHOD),
                request,
                values,
            )


@contextmanager
def feast(data: ReadData) -> Iterator[Server]:
    """Start Feast's feature server on a Redis that holds the rows, and wait until it answers."""
    environments.install("feast")

    def request(keys: Sequence[str]) -> bytes:
        wanted = [f"readings:{one}" for one in FEATURES]
        return orjson.dumps({"features": wanted, "entities": {"entity": list(keys)}})

    def values(reply: bytes) -> list[list[float]]:
        message = orjson.loads(reply)
        columns = dict(zip(message["metadata"]["feature_names"], message["results"], strict=True))
        found = zip(*(columns[one]["values"] for one in FEATURES), strict=True)
        return [list(row) for row in found]

    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        folder = Path(name)
        data.write(folder / "features.parquet")
        port, redis_port = _free_port(), _free_port()
        given = {
            "features": folder / "features.parquet",
            "state": folder / "state",
            "port": port,
            "redis-port": redis_port,
            "workers": WORKERS,
        }
        arguments = [text for key, value in given.items() for text in (f"--{key}", str(value))]
        program = str(Path(__file__).parent / "feast" / "online.py")
        log = folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [str(environments.python_of("feast")), program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            connect = partial(asking.over_http, "127.0.0.1", port, PATH)
            _await_answer(connect, request(names(range(1))), process, log)
            yield Server([psutil.Process(process.pid)], connect, request, values)
        finally:
            kill_tree(process.pid)
            process.wait()


def _await_answer(
    connect: asking.Connect, body: bytes, process: subprocess.Popen[bytes], log: Path
) -> None:
    async def once() -> None:
        async with connect() as ask:
            await ask(body)

    end = time.monotonic() + READY_S
    while time.monotonic() < end and process.poll() is None:
        try:
            asyncio.run(once())
        except (OSError, asyncio.IncompleteReadError):
            time.sleep(0.2)
        else:
            return
    said = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    raise PeerFailed(f"does not answer: {' | '.join(said)}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
