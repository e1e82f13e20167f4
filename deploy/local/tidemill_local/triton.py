"""Triton: the wheel's tritonserver with the python backend, its control interfaces closed."""

from __future__ import annotations

import os
import uuid
from functools import partial
from pathlib import Path

from tidemill_local.layout import Data, Parts
from tidemill_local.ports import LOOPBACK
from tidemill_local.probes import listens
from tidemill_local.program import Program

RESTRICTED = "shared-memory,model-config,model-repository,statistics,trace,logging"
KEY_NAME = "tidemill"  # callers send metadata `triton-grpc-protocol-tidemill`
GRACE_S = 10.0


def models(data: Data) -> Path:
    """Name the model repository: serving writes it, Triton loads from it when told."""
    return data.folder("triton") / "models"


def key_file(data: Data) -> Path:
    """Name the file of the secret that opens the restricted calls."""
    return data.secrets / "triton.key"


def program(parts: Parts, data: Data, key: str, port: int, metrics_port: int) -> Program:
    """Describe the server on loopback. HTTP is off: it would need the same guard again."""
    packages = parts.triton_packages
    repository = models(data)
    return Program(
        name="triton",
        argv=(
            str(parts.tritonserver),
            f"--model-repository={repository}",
            "--model-control-mode=explicit",
            f"--backend-directory={parts.triton_backends}",
            "--allow-http=false",
            f"--grpc-address={LOOPBACK}",
            f"--grpc-port={port}",
            f"--metrics-address={LOOPBACK}",
            f"--metrics-port={metrics_port}",
            f"--grpc-restricted-protocol={RESTRICTED}:{KEY_NAME}={key}",
            "--exit-on-error=true",
            "--strict-readiness=true",
            "--disable-auto-complete-config",
            # Two servers with one prefix would attach to each other's memory.
            f"--backend-config=python,shm-region-prefix-name=tidemill_{uuid.uuid4().hex[:12]}_",
            "--exit-timeout-secs=5",
        ),
        folder=data.folder("triton"),
        environment={
            "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
            "PATH": f"{parts.triton / 'bin'}:{os.environ.get('PATH', '')}",
            "PYTHONPATH": str(packages),
            "PYTHONNOUSERSITE": "1",
        },
        prepare=partial(repository.mkdir, parents=True, exist_ok=True),
        probe=partial(listens, f"{LOOPBACK}:{port}"),
        grace_s=GRACE_S,
    )
