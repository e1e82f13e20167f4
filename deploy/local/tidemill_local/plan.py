"""Which processes a stack has, in which order they start, and what each one is told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tidemill_local import kafka, postgres, services, triton, zipkin
from tidemill_local.errors import LocalError
from tidemill_local.install import missing
from tidemill_local.layout import Data, Parts
from tidemill_local.ports import LOOPBACK, choose
from tidemill_local.program import Program
from tidemill_local.secrets_file import secret

PART_VARIABLES = {
    "postgres": "TIDEMILL_POSTGRES",
    "kafka": "TIDEMILL_KAFKA",
    "zipkin": "TIDEMILL_ZIPKIN",
    "triton": "TIDEMILL_TRITON",
}
PARTS = tuple(PART_VARIABLES)
EXTRA_PORTS = ("kafka-controller", "triton-metrics")


@dataclass(frozen=True, slots=True)
class Plan:
    """Waves of programs: one starts when the one before answers. Stopped the other way round."""

    waves: tuple[tuple[Program, ...], ...]
    environment: dict[str, str]


def plan(
    data: Data,
    parts: Parts,
    *,
    services_wanted: Sequence[str] | None,
    parts_wanted: Sequence[str],
    edges: Sequence[kafka.Edge] = (),
) -> Plan:
    """Choose ports and describe every process.

    A part whose address the environment tells is left out.
    """
    if unknown := sorted(set(parts_wanted) - set(PARTS)):
        raise LocalError(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    run = [name for name in PARTS if name in parts_wanted and not _is_replaced(name)]
    _require_installed(parts, run)
    all_services = services.chosen(None)
    names = [*PARTS, *EXTRA_PORTS, *services.port_names(all_services)]
    ports = choose(names, data.ports_file)
    environment = _environment(data, ports, run)
    started = services.chosen(services_wanted)
    is_first = "postgres" in run and not postgres.is_there(data)
    return Plan(
        waves=(
            tuple(_part(name, data, parts, ports, edges) for name in run),
            tuple(
                services.program(one, data, ports, environment, is_first=is_first)
                for one in started
            ),
        ),
        environment=environment,
    )


def _require_installed(parts: Parts, run: Sequence[str]) -> None:
    if lacking := sorted(set(missing(parts)) & set(run)):
        raise LocalError(
            f"not installed in {parts.root}: {', '.join(lacking)};"
            " run `python -m tidemill_local install` (or `make install`)"
        )


def _is_replaced(name: str) -> bool:
    return bool(os.environ.get(PART_VARIABLES[name]))


def _environment(data: Data, ports: dict[str, int], run: Sequence[str]) -> dict[str, str]:
    """Name every address. What is set outside wins for the parts that are replaced."""
    made = {
        "postgres": lambda: postgres.dsn(data, _postgres_password(data), ports["postgres"]),
        "kafka": lambda: f"{LOOPBACK}:{ports['kafka']}",
        "zipkin": lambda: f"http://{LOOPBACK}:{ports['zipkin']}",
        "triton": lambda: f"{LOOPBACK}:{ports['triton']}",
    }
    found = {PART_VARIABLES[name]: made[name]() for name in run}
    replaced = {name: value for name in PART_VARIABLES.values() if (value := os.environ.get(name))}
    if "triton" in run:
        secret(triton.key_file(data))
        found["TIDEMILL_TRITON_KEY_FILE"] = str(triton.key_file(data))
        found["TIDEMILL_TRITON_MODELS"] = str(triton.models(data))
    found["TIDEMILL_ARTIFACTS"] = os.environ.get("TIDEMILL_ARTIFACTS", f"file://{data.artifacts}")
    found["TIDEMILL_ARCHIVE"] = os.environ.get("TIDEMILL_ARCHIVE", f"file://{data.archive}")
    return {**replaced, **found, **services.addresses(ports)}


def _part(
    name: str, data: Data, parts: Parts, ports: dict[str, int], edges: Sequence[kafka.Edge]
) -> Program:
    match name:
        case "postgres":
            return postgres.program(data, _postgres_password(data), ports["postgres"])
        case "kafka":
            return kafka.program(parts, data, ports["kafka"], ports["kafka-controller"], edges)
        case "zipkin":
            return zipkin.program(parts, data, ports["zipkin"])
        case _:
            key = secret(triton.key_file(data))
            return triton.program(parts, data, key, ports["triton"], ports["triton-metrics"])


def _postgres_password(data: Data) -> str:
    return secret(data.secrets / "postgres.password")
