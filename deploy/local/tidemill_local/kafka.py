"""Apache Kafka: one KRaft process that is broker and controller."""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tidemill_local.errors import LocalError
from tidemill_local.layout import HERE, Data, Parts
from tidemill_local.ports import LOOPBACK
from tidemill_local.probes import listens
from tidemill_local.program import Program

LOGGING = HERE / "parts" / "log4j2.properties"
# The first compiler only: a local stack lives for minutes, and the second one would take a core
# from the services for the first of them.
HEAP = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:TieredStopAtLevel=1",
)
MIB = 1024 * 1024
GRACE_S = 20.0

# One broker: every replication factor is 1. Partition verification is off because aiokafka's older
# transaction protocol otherwise pays 100 ms for the first batch of each transaction.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "BROKER",
    "auto.create.topics.enable": "false",
    # A broker that was killed may come back when its session has ended: 9 s by default.
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 3000,
    "default.replication.factor": 1,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 2000,
    "log.cleaner.dedupe.buffer.size": 16 * MIB,
    "log.segment.bytes": 256 * MIB,
    "message.max.bytes": 16 * MIB,
    "num.io.threads": 4,
    "num.network.threads": 3,
    "num.partitions": 1,
    "num.recovery.threads.per.data.dir": 2,
    "offsets.topic.num.partitions": 8,
    "offsets.topic.replication.factor": 1,
    "replica.fetch.max.bytes": 16 * MIB,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "transaction.partition.verification.enable": "false",
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 8,
    "transaction.state.log.replication.factor": 1,
}


@dataclass(frozen=True, slots=True)
class Edge:
    """One more listener, whose clients are told another port: that of a proxy in between.

    `name` is in capitals, as Kafka wants it.
    """

    name: str
    port: int
    advertised: int


def program(
    parts: Parts, data: Data, port: int, controller_port: int, edges: Sequence[Edge] = ()
) -> Program:
    """Describe the broker on loopback."""
    folder = data.folder("kafka")
    java = (
        _java(),
        *HEAP,
        *_mapped_classes(parts),
        f"-Dlog4j2.configurationFile={LOGGING}",
        *("-cp", f"{parts.kafka_jars}/*"),
    )
    properties = folder / "server.properties"
    return Program(
        name="kafka",
        argv=(*java, "kafka.Kafka", str(properties)),
        folder=folder,
        prepare=partial(
            _prepare, java, folder, properties_of(folder / "log", port, controller_port, edges)
        ),
        probe=partial(listens, f"{LOOPBACK}:{port}"),
        grace_s=GRACE_S,
    )


def properties_of(log: Path, port: int, controller_port: int, edges: Sequence[Edge] = ()) -> str:
    """Write the broker's settings as its file wants them."""
    broker, controller = f"{LOOPBACK}:{port}", f"{LOOPBACK}:{controller_port}"
    names = ["CONTROLLER", "BROKER", *(edge.name for edge in edges)]
    listeners = [f"BROKER://{broker}", *(f"{e.name}://{LOOPBACK}:{e.port}" for e in edges)]
    told = [f"BROKER://{broker}", *(f"{e.name}://{LOOPBACK}:{e.advertised}" for e in edges)]
    addresses = {
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
        "listeners": ",".join([*listeners, f"CONTROLLER://{controller}"]),
        "advertised.listeners": ",".join(told),
        "controller.quorum.voters": f"1@{controller}",
        "log.dirs": log,
    }
    lines = (f"{name}={value}" for name, value in sorted((SETTINGS | addresses).items()))
    return "\n".join(lines) + "\n"


def _prepare(java: tuple[str, ...], folder: Path, settings: str) -> None:
    log, properties = folder / "log", folder / "server.properties"
    properties.write_text(settings)
    if (log / "meta.properties").exists():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    done = subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise LocalError(f"Kafka cannot format {log}: {done.stderr.strip() or done.stdout.strip()}")


def _mapped_classes(parts: Parts) -> tuple[str, ...]:
    if not parts.kafka_archive.is_file():
        return ()
    quiet = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off", "-Xlog:class+path=off")
    return ("-Xshare:auto", f"-XX:SharedArchiveFile={parts.kafka_archive}", *quiet)


def _java() -> str:
    found = shutil.which("java")
    if found is None:
        raise LocalError("java is not on PATH: install Java 17, then run this again")
    return found
