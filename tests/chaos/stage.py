"""What a run stands on: the parts with a proxy before the broker on every edge, and the services."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

from tests.chaos.faults import (
    BROKER_EDGES,
    FRONTS,
    SESSION_S,
    THIRD_WORKER,
    WORKERS,
    Scenario,
    Skew,
)
from tests.chaos.proxy import FaultProxy, proxying
from tidemill_common.kafka import Broker
from tidemill_local.kafka import Edge
from tidemill_local.library import LocalStack
from tidemill_local.ports import LOOPBACK, choose
from tidemill_local.probes import grpc_health
from tidemill_local.program import Program

ROOT: Final = Path(__file__).parents[2]
ROLES: Final = ("ingestion", *WORKERS, "server")
"""The services of every run."""
MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "worker": ("tidemill_features", "worker"),
    "ingestion": ("tidemill_ingestion",),
    "server": ("tidemill_features", "server"),
    "registry": ("tidemill_registry",),
    "serving": ("tidemill_serving",),
    "monitoring": ("tidemill_monitoring",),
}
ERASING: Final[Mapping[str, str]] = {
    "TIDEMILL_FEATURES_ERASE_SECONDS": "0.5",
    "TIDEMILL_FEATURES_ERASE_RAW_SECONDS": "0",
    "TIDEMILL_FEATURES_ERASE_LOG_SECONDS": "10",
    "TIDEMILL_FEATURES_ARCHIVE_SECONDS": "1",
}
"""What takes half a day and a week takes seconds in a run."""
FLUSH: Final = "TIDEMILL_FEATURES_FLUSH_BYTES"
PARTS: Final = ("postgres", "kafka")
ASSIGNED: Final = b'"partitions.assigned"'
MUTANT: Final = "tests.chaos.worker"
SKEWED: Final = "tests.chaos.skewed"


@dataclass(frozen=True, slots=True)
class Stage:
    """The parts, and the port of the proxy before the broker on each service's edge."""

    stack: LocalStack
    proxies: Mapping[str, FaultProxy]
    edges: Mapping[str, int]

    @property
    def broker(self) -> Broker:
        """Return the broker as the harness reaches it: past all proxies."""
        return Broker(self.stack.address("kafka"), "chaos")


@dataclass(frozen=True, slots=True)
class Cast:
    """The services of one run; a role's process is named after the run."""

    stage: Stage
    run: str
    scenario: Scenario
    ports: Mapping[str, int]

    @property
    def roles(self) -> tuple[str, ...]:
        """Return every role of the run."""
        return (*ROLES, *self.scenario.beside)

    def process(self, role: str) -> str:
        """Return the name of a role's process in the stack."""
        return "kafka" if role == "broker" else f"{self.run}-{role}"

    def address(self, port: str) -> str:
        """Return an address of a service or of a proxy before it."""
        return f"{LOOPBACK}:{self.ports[port]}"

    def way(self, front: str, port: str) -> str:
        """Return the address of a port, through the proxy before it if the run has that edge."""
        return self.address(f"{front}-edge" if front in self.scenario.edges else port)

    @property
    def postgres(self) -> str:
        """Return where services find PostgreSQL; a file of passwords names an address, too."""
        dsn = self.stage.stack.address("postgres")
        if "postgres" not in self.scenario.edges:
            return dsn
        parts = urlsplit(dsn)
        (known,) = parse_qs(parts.query)["passfile"]
        told, file = self.address("postgres-edge"), self.stage.stack.data / self.run / "pgpass"
        file.touch(mode=0o600)
        file.write_text(Path(known).read_text().replace(f"{LOOPBACK}:{parts.port}", told))
        netloc = f"{parts.username}@{told}"
        return urlunsplit(parts._replace(netloc=netloc, query=f"passfile={file}"))

    @property
    def metrics(self) -> dict[str, str]:
        """Return where the metrics are of the services of every run."""
        return {role: self.address(f"{role}-metrics") for role in ROLES}

    def assignments(self, worker: str) -> int:
        """Return how often a worker was told of its partitions, if only that it has none."""
        return self.stage.stack.log(self.process(worker)).read_bytes().count(ASSIGNED)

    async def stop(self) -> None:
        """Stop every service of the run; the parts go on."""
        stack = self.stage.stack
        names = [self.process(role) for role in self.roles]
        there = {one.name for one in stack.view.processes}
        await asyncio.gather(
            *(asyncio.to_thread(stack.stop_process, name) for name in names if name in there)
        )


@contextlib.asynccontextmanager
async def staged(folder: Path, parts: Sequence[str] = PARTS) -> AsyncIterator[Stage]:
    """Start the parts, and a proxy for every service that talks to the broker.

    `folder` must be there.
    """
    names = [name for role in BROKER_EDGES for name in (role, f"{role}-told")]
    ports = choose(names, folder / "edges.json")
    edges = [
        Edge(role.replace("-", "").upper(), ports[role], ports[f"{role}-told"])
        for role in BROKER_EDGES
    ]
    async with contextlib.AsyncExitStack() as proxies:
        stack = await proxies.enter_async_context(
            LocalStack(folder / "parts", services=[], parts=parts, edges=edges)
        )
        made = {
            role: await proxies.enter_async_context(proxying(ports[f"{role}-told"], ports[role]))
            for role in BROKER_EDGES
        }
        yield Stage(stack, made, {role: ports[f"{role}-told"] for role in BROKER_EDGES})


async def cast(stage: Stage, run: str, scenario: Scenario) -> Cast:
    """Give every service of a run its place; none of them runs yet."""
    folder = stage.stack.data / run
    await asyncio.to_thread(folder.mkdir)
    roles = (*ROLES, *scenario.beside)
    names = [name for role in roles for name in (role, f"{role}-metrics")]
    ports = choose([*names, "http", *(f"{one}-edge" for one in FRONTS)], folder / "ports.json")
    return Cast(stage, run, scenario, ports)


@contextlib.asynccontextmanager
async def fronted(made: Cast, seed: int) -> AsyncIterator[Mapping[str, FaultProxy]]:
    """Put proxies before what a run's clients and services call; give those of every edge.

    There is always one before ingestion.
    """
    stack = made.stage.stack
    behind = {
        "publisher": made.ports["ingestion"],
        "reader": made.ports["server"],
        "registry": made.ports.get("registry", 0),
        "postgres": urlsplit(stack.address("postgres")).port or 0,
    }
    async with contextlib.AsyncExitStack() as proxies:
        fronts = {
            front: await proxies.enter_async_context(
                proxying(made.ports[f"{front}-edge"], behind[front], seed)
            )
            for front in FRONTS
            if front == "publisher" or front in made.scenario.edges
        }
        yield {**made.stage.proxies, **fronts}


async def start(made: Cast, roles: Sequence[str], registry: str, mutant: str = "") -> None:
    """Start these services of a run and wait until they are ready."""
    stack = made.stage.stack
    programs = [_program(made, role, registry, mutant) for role in roles]
    await asyncio.to_thread(stack.add, *programs)
    for role in roles:
        if role != THIRD_WORKER:
            await asyncio.to_thread(stack.wait_ready, made.process(role))


def _command(role: str, mutant: str, skew: Skew | None) -> tuple[str, ...]:
    """Return what to run for a role, with a known mistake or with a wrong clock."""
    module = MODULES[role.partition("-")[0]]
    if mutant and role in WORKERS:
        module = (MUTANT, mutant)
    return module if skew is None else (SKEWED, f"{skew.ahead_s:g}", f"{skew.drift:g}", *module)


def _program(made: Cast, role: str, registry: str, mutant: str) -> Program:
    """Say how a role is run."""
    listen, scenario = made.address(role), made.scenario
    folder = made.stage.stack.data / made.run / role
    through = role in scenario.edges & made.stage.edges.keys()
    kafka = f"{LOOPBACK}:{made.stage.edges[role]}" if through else made.stage.broker.address
    skews = {one.role: one for one in scenario.clocks}
    return Program(
        name=made.process(role),
        argv=(sys.executable, "-m", *_command(role, mutant, skews.get(role))),
        folder=folder,
        environment={
            **made.stage.stack.environment,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "TIDEMILL_KAFKA": kafka,
            "TIDEMILL_POSTGRES": made.postgres,
            "TIDEMILL_REGISTRY": registry,
            "TIDEMILL_LISTEN": listen,
            "TIDEMILL_INGESTION_HTTP": made.address("http"),
            "TIDEMILL_METRICS_LISTEN": made.address(f"{role}-metrics"),
            "TIDEMILL_DATA": str(folder),
            "TIDEMILL_ARCHIVE": f"file://{made.stage.stack.data / made.run / 'archive'}",
            "TIDEMILL_FEATURES_INSTANCE": made.process(role),
            "TIDEMILL_FEATURES_SESSION_SECONDS": f"{SESSION_S:g}",
            "TIDEMILL_FEATURES_SNAPSHOT_SECONDS": "10",
            "TIDEMILL_FEATURES_SNAPSHOT_BYTES": f"{1 << 18}",
            "TIDEMILL_FEATURES_ARCHIVE_SECONDS": "5",
            **(ERASING if scenario.erases_at_s else {}),
            **({FLUSH: f"{scenario.flush_bytes}"} if scenario.flush_bytes else {}),
        },
        probe=partial(grpc_health, listen),
    )
