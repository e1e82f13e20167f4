"""What every benchmark needs: a stack of its own, a project, and a result that says where."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tidemill.addresses import Addresses, variable
from tidemill.client import Client, connect
from tidemill.errors import TidemillError
from tidemill.project import loads, normalise
from tidemill_local.library import LocalStack

RESULTS = Path(__file__).parent / "results"
SERVICES = ("registry", "ingestion", "features", "training", "serving", "monitoring")
MEASURED_WITH = ("aiokafka", "grpcio", "pyarrow", "numba", "torch")
READY_S = 60.0


@contextmanager
def running(services: Sequence[str]) -> Iterator[LocalStack]:
    """Start the parts and these services in a folder that is forgotten afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder,
        LocalStack(Path(folder), services=services) as stack,
    ):
        yield stack


def where(stack: LocalStack) -> Addresses:
    """Return the addresses of the services that run."""
    known = stack.environment
    return Addresses(
        {name: known[variable(name)] for name in SERVICES if variable(name) in known}, "benchmark"
    )


@contextmanager
def applied(stack: LocalStack, project: str) -> Iterator[Client]:
    """Connect and apply a project file's text."""
    with connect(where(stack), author="benchmark") as client:
        loaded = loads(project)
        if loaded.problems:
            raise SystemExit("\n".join(map(str, loaded.problems)))
        client.apply(normalise(loaded.project))
        yield client


def wait_for_views(client: Client) -> None:
    """Wait until every view can be read."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        try:
            views = client.describe_views().views
            if views and all(view.ready for view in views):
                return
        except TidemillError:
            pass  # the service is taking the project up
        time.sleep(0.2)
    raise SystemExit(f"the views were not ready in {READY_S:.0f} s")


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return milliseconds."""
    values = np.asarray(seconds) * 1_000
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return {
        "p50_ms": round(float(p50), 3),
        "p90_ms": round(float(p90), 3),
        "p99_ms": round(float(p99), 3),
        "max_ms": round(float(values.max()), 3),
    }


def machine() -> dict[str, Any]:
    """Say what this machine is."""
    return {
        "cores": os.cpu_count(),
        "system": platform.system(),
        "processor": platform.machine(),
        "python": platform.python_version(),
    }


def write(name: str, figures: dict[str, Any], *, quiet: bool = False) -> None:
    """Store a result with what it was measured on, and print it unless it is to be quiet."""
    result = {
        "name": name,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {package: version(package) for package in MEASURED_WITH},
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    if not quiet:
        print(text)
