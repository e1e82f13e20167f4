"""What serving is told by its environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tidemill_common import settings
from tidemill_common.settings import Dsn, Secret, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(settings.Common):
    """Addresses and limits of the inference edge."""

    listen: str = "127.0.0.1:7107"
    kafka: str
    registry: str
    postgres: Dsn
    artifacts: str
    triton: str
    triton_key: Secret
    triton_models: Path = setting(env="TIDEMILL_TRITON_MODELS")  # noqa: RUF009 (it declares)
    """The folder that Triton loads from; this process writes it."""
    platform: Literal["python", "onnxruntime"] = setting(
        "python", choices=("python", "onnxruntime")
    )
    """Which backend the model server has: python in the wheel, onnxruntime in the image."""
    engine: Literal["aio", "native"] = setting("aio", choices=("aio", "native"))
    """What serves HTTP/2: grpc.aio, or pygrpc-native (needs the extra `native`)."""
    batch_rows: int = setting(64, at_least=1, at_most=1024)
    """Rows of one call to the model server."""
    calls: int = setting(2, at_least=1, at_most=8)
    """Calls to the model server that one version has away at once."""
    waiting_rows: int = setting(2048, at_least=1)
    """Rows of one version that may wait; more are refused with RESOURCE_EXHAUSTED."""
    patience_s: float = setting(3.0, at_least=0.0, at_most=30.0)
    """How long requests wait for a model server that is away, within their deadline."""
    grace_s: float = setting(10.0, at_least=0.0)
    """How long a version that nothing wants any more stays loaded."""
    log_rows: int = setting(100_000, at_least=1)
    """Rows of the prediction log that may wait for Kafka; more are dropped and counted."""
