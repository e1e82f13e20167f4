"""Progress on the terminal: a status line, and a line for each version and alert."""

from __future__ import annotations

import asyncio
import time

from replay import Progress
from rich.console import Console
from watch import Seen

from tidemill.monitoring.v1 import monitoring_service_pb2 as monitoring_pb
from tidemill.registry.v1 import registry_service_pb2 as registry_pb

EVERY_S = 0.5
LINES_EVERY_S = 10.0
"""Without a terminal a state line is printed so often."""


class Display:
    """A status line that is rewritten on a terminal, and printed now and then elsewhere."""

    def __init__(self, console: Console, progress: Progress, seen: Seen) -> None:
        self._console = console
        self._progress = progress
        self._seen = seen
        self._told: set[str] = set()

    async def run(self) -> None:
        """Show until cancelled."""
        shown = 0.0
        then, before = time.monotonic(), 0
        with self._console.status("replaying") as status:
            while True:
                await asyncio.sleep(EVERY_S)
                self._tell_news()
                now, events = time.monotonic(), self._progress.events
                line = self._line((events - before) / (now - then))
                then, before = now, events
                status.update(line)
                if not self._console.is_terminal and now - shown > LINES_EVERY_S:
                    shown = now
                    self._console.print(line, highlight=False)

    def _line(self, rate: float) -> str:
        progress, seen = self._progress, self._seen
        open_alerts = sum(
            1 for alert in seen.alerts if alert.state == monitoring_pb.ALERT_STATE_FIRING
        )
        return (
            f"{progress.now:%Y-%m-%d %H:%M}  {progress.events:,} events ({rate:,.0f}/s)  "
            f"{len(progress.answers):,} predictions  champion v{seen.rollout.champion or '-'}  "
            f"{open_alerts} alerts  {seen.problem or seen.busy}"
        )

    def _tell_news(self) -> None:
        """Print each version and alert once for every state it comes into."""
        for version in reversed(self._seen.versions):
            stage = registry_pb.Stage.Name(version.stage).removeprefix("STAGE_").lower()
            aliases = ", ".join(version.aliases)
            self._once(f"version {version.number} {stage} {aliases} {version.reason}".rstrip())
        for alert in reversed(self._seen.alerts):
            if alert.state == monitoring_pb.ALERT_STATE_FIRING and alert.severity <= 2:
                self._once(f"alert: {alert.summary or alert.subject}")

    def _once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._console.print(f"  {self._progress.now:%m-%d %H:%M}  {text}", highlight=False)
