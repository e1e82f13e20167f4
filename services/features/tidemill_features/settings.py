"""Settings of both processes of the features service, read from the environment."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final, Literal

from tidemill_common import settings
from tidemill_common.settings import setting

GROUP: Final = "tidemill-features"
"""Consumer group, faust's application id, and the first part of every transactional id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(settings.Common):
    """Addresses of the parts, and what bounds a flush, an opening and an archive's commit."""

    listen: str
    kafka: str
    registry: str
    artifacts: str = ".tidemill/artifacts"
    archive: str = ".tidemill/archive"
    engine: Literal["aio", "native"] = setting("aio", choices=("aio", "native"))
    instance: str = ""
    session_seconds: float = setting(8.0, at_least=6.0, at_most=60.0)
    flush_bytes: int = setting(8 << 20, at_least=1 << 16)
    idle_seconds: float = setting(1.0, at_least=0.05)
    snapshot_seconds: float = setting(43_200.0, at_least=1.0)
    snapshot_bytes: int = setting(16 << 20, at_least=1 << 10)
    state_bytes: int = setting(1 << 30, at_least=1 << 20)
    archiver: bool = True
    archive_seconds: float = setting(60.0, at_least=0.5)
    audit_seconds: float = setting(3_600.0, at_least=1.0)
    erase_seconds: float = setting(60.0, at_least=0.2)
    erase_raw_seconds: float = setting(43_200.0, at_least=0.0)
    erase_log_seconds: float = setting(604_800.0, at_least=0.0)
    archive_bytes: int = setting(64 << 20, at_least=1 << 20)

    @property
    def member(self) -> str:
        """Return the static member id: the same after a restart, another for another worker."""
        return self.instance or f"{socket.gethostname()}-{self.data.name}"
