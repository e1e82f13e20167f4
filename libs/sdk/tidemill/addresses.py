"""Where the platform's services are: the environment, else the nearest running local stack."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidemill.errors import Misconfigured, Unavailable

SERVICES: Final = ("registry", "ingestion", "features", "training", "serving", "monitoring")
METRICS: Final = "TIDEMILL_METRICS"
STACK_FILE: Final = Path(".tidemill") / "stack.json"


@dataclass(frozen=True, slots=True)
class Addresses:
    """`host:port` of each service's gRPC endpoint, and where that was read."""

    services: Mapping[str, str]
    origin: str

    def of(self, service: str) -> str:
        """Return one address; Unavailable says how to state it."""
        try:
            return self.services[service]
        except KeyError:
            message = f"no address of {service} in {self.origin}"
            hint = f"start a stack with `tidemill up`, or set {variable(service)}=host:port"
            raise Unavailable(message, hint=hint) from None


def variable(service: str) -> str:
    """Return the environment variable that holds the address of a service."""
    return f"TIDEMILL_{service.upper()}"


def find(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Addresses:
    """Read the environment (TIDEMILL_<SERVICE>); what it leaves out comes from the stack file.

    The stack file is TIDEMILL_STACK, else .tidemill/stack.json of `start` (default: the working
    folder) or the nearest folder above it.
    """
    given = {name: environ[key] for name in SERVICES if (key := variable(name)) in environ}
    path = stack_file(start, environ)
    if path is None:
        return Addresses(given, f"the environment, and no {STACK_FILE} here or in a folder above")
    return Addresses({**_read(path), **given}, f"{path}")


def stack_file(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the stack file that `find` would read, None if there is none."""
    if stated := environ.get("TIDEMILL_STACK"):
        return Path(stated)
    folder = (start or Path.cwd()).resolve()
    for parent in (folder, *folder.parents):
        if (parent / STACK_FILE).is_file():
            return parent / STACK_FILE
    return None


def metrics(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return `host:port` of every /metrics that is known; a process may be away.

    TIDEMILL_METRICS has them, separated by commas; else the stack file that `find` would read.
    """
    if stated := environ.get(METRICS):
        return tuple(part.strip() for part in stated.split(",") if part.strip())
    path = stack_file(start, environ)
    if path is None:
        return ()
    try:
        processes = json.loads(path.read_text()).get("processes", [])
        found = [str(one.get("metrics") or "") for one in processes]
    except (OSError, ValueError, AttributeError):
        return ()  # `find` says what is wrong with it
    return tuple(address for address in found if address)


def _read(path: Path) -> dict[str, str]:
    try:
        stated = json.loads(path.read_text())["environment"]
        return {name: str(stated[key]) for name in SERVICES if (key := variable(name)) in stated}
    except FileNotFoundError as error:
        raise Unavailable(f"no stack file {path}", hint="start one: tidemill up") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured(f"{path} is not a stack file: {error}") from error
