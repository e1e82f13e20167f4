"""The port to the model server: what the rest of serving may ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from tidemill.errors import TidemillError


class ModelFailed(TidemillError):
    """The server has the model and it cannot do it: not the caller's fault, and not passing."""

    reason: ClassVar[str] = "MODEL_FAILED"


@dataclass(frozen=True, slots=True)
class Tensors:
    """One batch as raw little-endian bytes: float32 [rows, features], int64 [rows, categories]."""

    rows: int
    features: bytes
    width: int
    categories: bytes
    kinds: int


class ModelServer(Protocol):
    """A server of models that are loaded under unique names.

    Every method raises Unavailable when the server is away or does not have the model (yet, or any
    more), DeadlineExceeded when the time ran out, and ModelFailed when the model cannot do it.
    """

    async def live(self) -> bool:
        """Say whether the server answers."""

    async def load(self, name: str, *, timeout: float) -> None:
        """Load the model that lies in the repository; a model that is loaded is loaded again."""

    async def unload(self, name: str) -> None:
        """Forget a model; one that is not loaded is no error."""

    async def ready(self, name: str) -> bool:
        """Say whether a model answers."""

    async def loaded(self) -> frozenset[str]:
        """Return the names of all models that are ready."""

    async def infer(self, name: str, output: str, tensors: Tensors, *, timeout: float) -> bytes:
        """Return `output`, float32 [rows, 1], as raw bytes; never fewer bytes than rows need."""
