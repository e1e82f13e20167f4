"""Generations of the project as the registry keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tidemill.definitions.v1 import project_pb2 as pb


@dataclass(frozen=True, slots=True)
class StoredProject:
    """One generation as it was applied last; with number 0 it never was."""

    project: pb.Project
    generation: str
    number: int
    applied: datetime | None


@dataclass(frozen=True, slots=True)
class HeldProject:
    """The generation that is built beside the current one."""

    project: pb.Project
    generation: str
    author: str
    held: datetime
