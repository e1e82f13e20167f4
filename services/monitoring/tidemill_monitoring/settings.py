"""What monitoring is told by its environment."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill_common import settings
from tidemill_common.settings import Dsn, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(settings.Common):
    """Addresses and pace."""

    listen: str = "127.0.0.1:7106"
    kafka: str
    registry: str
    postgres: Dsn
    artifacts: str
    step_s: float = setting(0.2, at_least=0.01, at_most=10.0)
    """How long records are gathered for one step: longer is cheaper, shorter is quicker."""
    reports_gap_s: float = setting(45.0, at_least=0.0)
    """Rest after an automatic report: one takes seconds of a core."""
