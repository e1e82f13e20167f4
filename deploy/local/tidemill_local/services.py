"""The services of Tidemill: what each process runs and which addresses it gets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tidemill_local.errors import LocalError
from tidemill_local.layout import Data
from tidemill_local.ports import LOOPBACK
from tidemill_local.probes import grpc_health
from tidemill_local.program import PATIENCE_S, Program


@dataclass(frozen=True, slots=True)
class Service:
    """One process of a service; `variable` names its gRPC address for the others, if it has one.

    `settings` are what differs on one machine; the environment of `tidemill up` goes before them.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    variable: str | None = None
    settings: tuple[tuple[str, str], ...] = ()


SERVICES = (
    Service("registry", "tidemill_registry", variable="TIDEMILL_REGISTRY"),
    Service("ingestion", "tidemill_ingestion", variable="TIDEMILL_INGESTION"),
    Service("ingestion-bridge", "tidemill_ingestion", ("bridge",)),
    Service("features-worker", "tidemill_features", ("worker",)),
    Service("features-server", "tidemill_features", ("server",), "TIDEMILL_FEATURES"),
    Service(
        "training-controller",
        "tidemill_training",
        ("controller",),
        "TIDEMILL_TRAINING",
        # A killed worker's run goes on soon: nothing between two processes loses a heartbeat here.
        settings=(("TIDEMILL_TRAINING_LEASE_S", "10"),),
    ),
    Service("training-worker", "tidemill_training", ("worker",)),
    Service("serving", "tidemill_serving", variable="TIDEMILL_SERVING"),
    Service("monitoring", "tidemill_monitoring", variable="TIDEMILL_MONITORING"),
)
NAMES = tuple(service.name for service in SERVICES)
INGESTION_HTTP = "ingestion-http"


def chosen(names: Sequence[str] | None) -> tuple[Service, ...]:
    """Pick the services by name, all of them if None; in the order of the table."""
    if names is None:
        return SERVICES
    if unknown := sorted(set(names) - set(NAMES)):
        raise LocalError(f"no service {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return tuple(service for service in SERVICES if service.name in names)


def port_names(services: Sequence[Service]) -> list[str]:
    """Name the ports that these services listen on."""
    named = [name for one in services for name in (one.name, f"{one.name}-metrics")]
    return [*named, INGESTION_HTTP]


def addresses(ports: Mapping[str, int]) -> dict[str, str]:
    """Give the address of every service that has a port, by the name of its variable."""
    found = {
        service.variable: f"{LOOPBACK}:{ports[service.name]}"
        for service in SERVICES
        if service.variable is not None and service.name in ports
    }
    if INGESTION_HTTP in ports:
        found["TIDEMILL_INGESTION_HTTP"] = f"{LOOPBACK}:{ports[INGESTION_HTTP]}"
    return found


def program(
    service: Service,
    data: Data,
    ports: Mapping[str, int],
    environment: Mapping[str, str],
    *,
    is_first: bool = False,
) -> Program:
    """Describe one process: the addresses of all, and its own listeners and folder.

    At the first start of a stack there is no project yet: it is as it should be if nothing is to
    be served.
    """
    listen = f"{LOOPBACK}:{ports[service.name]}"
    folder = data.folder(service.name)
    own = {
        "TIDEMILL_LISTEN": listen,
        "TIDEMILL_METRICS_LISTEN": f"{LOOPBACK}:{ports[f'{service.name}-metrics']}",
        "TIDEMILL_DATA": str(folder),
        "TIDEMILL_LOG_LEVEL": os.environ.get("TIDEMILL_LOG_LEVEL", "INFO"),
    }
    return Program(
        name=service.name,
        argv=(sys.executable, "-m", service.module, *service.arguments),
        folder=folder,
        environment={**environment, **own, **_settings(service)},
        probe=partial(grpc_health, listen),
        patience_s=0.0 if is_first else PATIENCE_S,
    )


def _settings(service: Service) -> dict[str, str]:
    """Give what differs on one machine, unless the environment says otherwise."""
    return {name: os.environ.get(name, value) for name, value in service.settings}
