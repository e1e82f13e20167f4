"""What training is told by its environment, one class per role."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill_common import settings
from tidemill_common.settings import Dsn, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(settings.Common):
    """The controller: policies, queue, gRPC. Variables TIDEMILL_TRAINING_<NAME>."""

    listen: str = "127.0.0.1:7401"
    kafka: str
    postgres: Dsn
    registry: str
    lease_s: float = setting(30.0, at_least=1.0, at_most=600.0)
    """How long a worker may be silent before its run is given to another."""
    attempts: int = setting(5, at_least=1, at_most=100)
    """Attempts of a run before it has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings(settings.Common):
    """The worker. Variables TIDEMILL_TRAINER_<NAME>; it has no database and no broker."""

    listen: str = "127.0.0.1:7402"
    training: str
    features: str
    registry: str
    artifacts: str
    gpus: int = setting(-1, at_least=-1)
    """GPUs to offer; -1 counts them."""
    memory_mb: int = setting(0, at_least=0)
    """Memory to offer; 0 asks the machine."""
    threads: int = setting(1, at_least=1, at_most=256)
    """Threads of one training process on the CPU. Part of what makes runs equal to the bit."""
    checkpoint_s: float = setting(1.0, at_least=0.0, at_most=30.0)
    """Least time between two checkpoints."""
