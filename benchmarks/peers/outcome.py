"""What one run gave: what it used, and whether its values are right."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks.peers.expected import Verdict
from benchmarks.peers.processes import Usage


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of a peer over so many events."""

    events: int
    usage: Usage
    verdict: Verdict

    def figures(self) -> dict[str, object]:
        """Return the rates and the verdict."""
        return {
            "events": self.events,
            "seconds": round(self.usage.seconds, 3),
            "cpu_seconds": round(self.usage.cpu_seconds, 3),
            "events_per_second": round(self.events / self.usage.seconds),
            "events_per_cpu_second": round(self.events / max(self.usage.cpu_seconds, 1e-3)),
            "peak_mib": round(self.usage.peak_mib),
            "cpu_seconds_by_process": self.usage.by_process,
            "exact": self.verdict.exact,
            "verdict": asdict(self.verdict),
        }
