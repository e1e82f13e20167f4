"""What the registry is told by its environment."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill_common import settings
from tidemill_common.settings import Dsn, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(settings.Common):
    """Addresses of the registry and its neighbours, and the pace of its loops."""

    listen: str = "127.0.0.1:7104"
    kafka: str
    postgres: Dsn
    artifacts: str
    serving: str = ""
    """Where versions are tried in the real model server; without it such gates wait."""
    connections: int = setting(10, at_least=3, at_most=50)
    """Connections to PostgreSQL: two loops hold one each now and then, commands share the rest."""
    gate_seconds: float = setting(1.0, at_least=0.05)
    """How often candidates are looked for when nobody says that there is one."""
    gate_requests: int = setting(200, at_least=1, at_most=10_000)
    """Inferences by which the server gate measures latency."""
    gate_timeout_s: float = setting(120.0, at_least=1.0)
    """How long the model server may take to load and measure a version."""
    chain_seconds: float = setting(0.2, at_least=0.01)
    """How often settled audit entries are chained."""
    anchor_seconds: float = setting(60.0, at_least=1.0)
    """How often the head of the audit is written outside of the database."""
