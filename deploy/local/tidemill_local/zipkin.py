"""Zipkin: traces in memory, with a web page."""

from __future__ import annotations

import shutil
import signal
from functools import partial

from tidemill_local.errors import LocalError
from tidemill_local.layout import Data, Parts
from tidemill_local.ports import LOOPBACK
from tidemill_local.probes import http_answers
from tidemill_local.program import Program

HEAP = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
MAX_SPANS = 100_000


def program(parts: Parts, data: Data, port: int) -> Program:
    """Describe the server on loopback."""
    java = shutil.which("java")
    if java is None:
        raise LocalError("java is not on PATH: install Java 17, then run this again")
    settings = (
        f"--armeria.ports[0].ip={LOOPBACK}",
        f"--armeria.ports[0].port={port}",
        "--armeria.ports[0].protocols[0]=http",
        f"--zipkin.storage.mem.max-spans={MAX_SPANS}",
        "--zipkin.self-tracing.enabled=false",
    )
    return Program(
        name="zipkin",
        argv=(java, *HEAP, "-jar", str(parts.zipkin_jar), *settings),
        folder=data.folder("zipkin"),
        probe=partial(http_answers, f"{LOOPBACK}:{port}", "/health"),
        stop_signal=signal.SIGKILL,  # it keeps all in memory: there is nothing to end in order
    )
