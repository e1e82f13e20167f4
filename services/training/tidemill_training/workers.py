"""Who works: the workers that this controller has heard of lately, for its metrics only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill_common.clock import Clock


class Workers:
    """Remembers when each worker was heard of; what is silent for too long is forgotten."""

    def __init__(self, clock: Clock, silent_s: float) -> None:
        self._clock = clock
        self._silent_s = silent_s
        self._heard: dict[str, float] = {}
        self._worker_of: dict[str, str] = {}

    def asked(self, worker: str, run_id: str = "") -> None:
        """Note that a worker asked for a run, and which one it got."""
        self._heard[worker] = self._clock.monotonic()
        if run_id:
            self._worker_of[run_id] = worker

    def beat(self, run_id: str) -> None:
        """Note a heartbeat; of a run that another controller gave away, only the run is known."""
        self._heard[self._worker_of.get(run_id, run_id)] = self._clock.monotonic()

    def alive(self) -> int:
        """Count those heard of lately."""
        since = self._clock.monotonic() - self._silent_s
        self._heard = {name: at for name, at in self._heard.items() if at >= since}
        self._worker_of = {r: w for r, w in self._worker_of.items() if w in self._heard}
        return len(self._heard)
