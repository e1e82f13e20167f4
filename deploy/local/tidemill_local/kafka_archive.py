"""Halve the broker's start: its classes are dumped once, at install, and mapped from then on.

An archive that no longer fits (another JVM, other jars) is ignored by the JVM: slower, never wrong.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tidemill_local import kafka
from tidemill_local.errors import LocalError
from tidemill_local.layout import Data, Parts
from tidemill_local.ports import choose
from tidemill_local.program import Readiness

LIMIT_S = 60.0
POLL_S = 0.1


def dump(parts: Parts, scratch: Path) -> None:
    """Run a broker in `scratch` until it listens, and let it dump its classes as it ends."""
    parts.kafka_archive.unlink(missing_ok=True)
    ports = choose(["kafka", "controller"], scratch / "ports.json")
    broker = kafka.program(parts, Data(scratch), ports["kafka"], ports["controller"])
    broker.folder.mkdir(parents=True)
    broker.prepare()
    java, *rest = broker.argv
    with (scratch / "log").open("wb") as log:
        process = subprocess.Popen(
            [java, f"-XX:ArchiveClassesAtExit={parts.kafka_archive}", *rest],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            end = time.monotonic() + LIMIT_S
            while broker.probe() is not Readiness.READY:
                if process.poll() is not None or time.monotonic() > end:
                    raise LocalError(
                        f"Kafka does not start: {(scratch / 'log').read_text()[-2000:]}"
                    )
                time.sleep(POLL_S)
        finally:
            process.terminate()
            process.wait(LIMIT_S)
