"""A terminal in which a user types `tidemill …`: the installed command, its output, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("tidemill")
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """What one command did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Read what it printed."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Shell:
    """A terminal of 80 columns in one folder."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, code: int = 0, seconds: float = 60.0) -> Done:
        """Run `tidemill …` and expect its exit code."""
        done = self.attempt(*words, seconds=seconds)
        assert done.code == code, (words, done.out, done.err)
        return done

    def attempt(self, *words: str, seconds: float = 60.0) -> Done:
        """Run `tidemill …`; a stack trace is never right."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")
        }
        if parts := os.environ.get("TIDEMILL_PARTS"):
            environment["TIDEMILL_PARTS"] = parts
        done = subprocess.run(
            [COMMAND, *words],
            cwd=self.folder,
            env={**environment, **self.environment, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def eventually(self, ask: Callable[[], bool], what: str) -> None:
        """Ask until it is so."""
        end = time.monotonic() + PATIENCE_S
        while not ask():
            assert time.monotonic() < end, f"{what}: not within {PATIENCE_S:.0f} s"
            time.sleep(0.5)
