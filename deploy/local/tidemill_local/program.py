"""What a supervised process is: how to prepare, start, probe and stop it. Values only."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 5.0
"""For a process that answers, but has nothing to serve yet: one that has something soon says so."""


class Readiness(enum.Enum):
    """What a probe found."""

    NO = "no"  # does not answer
    UP = "up"  # answers, but not yet for its real work
    READY = "ready"


def nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process of the stack.

    `prepare` and `probe` block for at most seconds and run in a thread; `prepare` runs before
    every start and must not mind having run before.
    """

    name: str
    argv: tuple[str, ...]
    folder: Path
    probe: Callable[[], Readiness]
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = nothing
    wrapper: tuple[str, ...] = ()  # a command that changes who it runs as and then becomes argv
    user: str | None = None
    stop_signal: int = 15
    grace_s: float = 15.0
    patience_s: float = PATIENCE_S
