"""What ingestion is told by its environment."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from tidemill_common import settings
from tidemill_common.settings import Dsn, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(settings.Common):
    """Addresses and limits of the edge."""

    listen: str = "127.0.0.1:7101"
    ingestion_http: str = "127.0.0.1:7181"
    kafka: str
    registry: str
    postgres: Dsn
    linger_ms: float = setting(2.0, at_least=0.0, at_most=100.0)
    """How long the first event of a micro-batch waits for company."""
    batch_events: int = setting(500, at_least=1, at_most=10_000)
    """Events of one record."""
    pending_events: int = setting(100_000, at_least=1)
    """Accepted work in memory; more is refused with RESOURCE_EXHAUSTED."""
    append_timeout_s: float = setting(10.0, at_least=0.1)
    """After so long without an acknowledgement an event's outcome is unknown."""
    instance: str = ""
    """Static member id of a bridge; default: host and name of the data folder."""
    session_seconds: float = setting(10.0, at_least=6.0, at_most=60.0)
    """A bridge that is silent for so long loses its partitions."""
    bridge_records: int = setting(20_000, at_least=1, at_most=50_000)
    """Records of a foreign topic that are taken at once, if so many wait."""
    bridge_events: int = setting(10_000, at_least=1, at_most=10_000)
    """Events of one record of a bridge: as many as were taken at once, so that readers gain."""
    source_rate: float = setting(0.0, at_least=0.0)
    """Events per second that one source may publish; 0 is no limit."""

    @property
    def member(self) -> str:
        """Return the static member id: the same after a restart, another for another bridge."""
        return self.instance or f"{socket.gethostname()}-{self.data.name}"
