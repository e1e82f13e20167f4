"""Where the installed parts and the files of a running stack live."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
POM = HERE / "parts" / "pom.xml"
TRITON_REQUIREMENTS = HERE / "parts" / "triton-requirements.txt"
PYTHON_MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


def default_parts() -> Path:
    """Name the folder of the installed parts.

    TIDEMILL_PARTS, else what `make install` made beside this environment, else the user's cache.
    """
    if told := os.environ.get("TIDEMILL_PARTS"):
        return Path(told).resolve()
    checkout = Path(sys.prefix).parent / ".tidemill" / "parts"
    if checkout.is_dir():
        return checkout
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "tidemill" / "parts"


@dataclass(frozen=True, slots=True)
class Parts:
    """The installed parts: shared by every stack of this machine, written by install only."""

    root: Path

    @property
    def kafka_jars(self) -> Path:
        """The folder of the broker's jars."""
        return self.root / "kafka"

    @property
    def kafka_archive(self) -> Path:
        """The broker's classes as the JVM maps them, made at install."""
        return self.kafka_jars / "kafka.jsa"

    @property
    def zipkin_jar(self) -> Path:
        """The Zipkin server in one jar."""
        return self.root / "zipkin" / "zipkin.jar"

    @property
    def triton(self) -> Path:
        """Triton's environment."""
        return self.root / "triton"

    @property
    def triton_python(self) -> Path:
        """The interpreter that has onnxruntime and numpy below 2."""
        return self.triton / "bin" / "python"

    @property
    def triton_packages(self) -> Path:
        """The site-packages of Triton's environment."""
        return self.triton / "lib" / f"python{PYTHON_MINOR}" / "site-packages"

    @property
    def tritonserver(self) -> Path:
        """The server's binary."""
        return self.triton_packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def triton_backends(self) -> Path:
        """The backend directory that install lays out: python/ with its library and its stub."""
        return self.triton / "backends"


@dataclass(frozen=True, slots=True)
class Data:
    """The folder of one stack: everything it writes is in here."""

    root: Path

    @property
    def stack_file(self) -> Path:
        """Addresses, pids and states, rewritten at every change."""
        return self.root / "stack.json"

    @property
    def ports_file(self) -> Path:
        """The ports that this stack keeps across restarts."""
        return self.root / "ports.json"

    @property
    def lock_file(self) -> Path:
        """Held by the one supervisor of this folder."""
        return self.root / "supervisor.lock"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """Files that only their owner may read."""
        return self.root / "secrets"

    @property
    def artifacts(self) -> Path:
        """The content-addressed store."""
        return self.root / "artifacts"

    @property
    def archive(self) -> Path:
        """The Delta tables."""
        return self.root / "archive"

    def log(self, name: str) -> Path:
        """Name the log of one process."""
        return self.logs / f"{name}.log"

    def folder(self, name: str) -> Path:
        """Name the private working folder of one process."""
        return self.root / "run" / name
