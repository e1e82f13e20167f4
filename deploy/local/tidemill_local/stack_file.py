"""stack.json: addresses, pids and states of a stack, as the CLI, the SDK and the tests read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from tidemill_local.identity import Identity

FORMAT = 1


class StackState(StrEnum):
    """What a stack is doing."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


class ProcessState(StrEnum):
    """What one process is doing."""

    STARTING = "starting"
    UP = "up"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ProcessView:
    """One process as others see it."""

    name: str
    state: ProcessState
    log: str
    identity: Identity | None = None
    restarts: int = 0
    ready_after_s: float | None = None
    message: str = ""
    metrics: str = ""  # host:port of /metrics; empty: it has none


@dataclass(frozen=True, slots=True)
class StackView:
    """A stack as others see it."""

    state: StackState
    supervisor: Identity | None
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: Sequence[ProcessView] = ()
    message: str = ""

    @property
    def leftovers(self) -> list[Identity]:
        """The processes that this stack owned when it was last written."""
        return [one.identity for one in self.processes if one.identity is not None]

    @property
    def is_supervised(self) -> bool:
        """Whether its supervisor still runs."""
        return self.supervisor is not None and self.supervisor.is_alive()


def write(view: StackView, file: Path) -> None:
    """Replace the file in one step: a reader sees the old or the new one."""
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(to_json(view), indent=1) + "\n")
    draft.replace(file)


def read(file: Path) -> StackView | None:
    """Read the file; None if there is none or it is of another format."""
    try:
        found = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return from_json(found) if found.get("format") == FORMAT else None


def to_json(view: StackView) -> dict[str, Any]:
    """Show a view as plain values."""
    return {
        "format": FORMAT,
        "state": view.state.value,
        "message": view.message,
        "supervisor": _identity_to_json(view.supervisor),
        "environment": dict(view.environment),
        "processes": [_process_to_json(one) for one in view.processes],
    }


def from_json(found: Mapping[str, Any]) -> StackView:
    """Build a view from what `to_json` gave."""
    return StackView(
        state=StackState(found["state"]),
        supervisor=_identity_from_json(found["supervisor"]),
        environment=found["environment"],
        processes=[_process_from_json(one) for one in found["processes"]],
        message=found["message"],
    )


def _process_to_json(view: ProcessView) -> dict[str, Any]:
    identity = _identity_to_json(view.identity) or {"pid": None, "started": None}
    return {
        "name": view.name,
        "state": view.state.value,
        **identity,
        "restarts": view.restarts,
        "ready_after_s": view.ready_after_s,
        "log": view.log,
        "message": view.message,
        "metrics": view.metrics,
    }


def _process_from_json(found: Mapping[str, Any]) -> ProcessView:
    return ProcessView(
        name=found["name"],
        state=ProcessState(found["state"]),
        log=found["log"],
        identity=_identity_from_json(found if found["pid"] is not None else None),
        restarts=found["restarts"],
        ready_after_s=found["ready_after_s"],
        message=found["message"],
        metrics=found.get("metrics", ""),
    )


def _identity_to_json(identity: Identity | None) -> dict[str, Any] | None:
    return None if identity is None else {"pid": identity.pid, "started": identity.started}


def _identity_from_json(found: Mapping[str, Any] | None) -> Identity | None:
    return None if found is None else Identity(found["pid"], found["started"])
