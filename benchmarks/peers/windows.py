"""Row 1: six aggregations over three windows that slide by five minutes, one JSON event a record."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.peers import environments, topics
from benchmarks.peers.contenders import Contender, Run
from benchmarks.peers.expected import Verdict, compare, values_of
from benchmarks.peers.processes import PeerFailed, Usage, run
from benchmarks.peers.workload import CHECK, Workload


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: what it used and whether its values are right."""

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
            "exact": self.verdict.exact,
            "verdict": asdict(self.verdict),
        }


class Row:
    """Runs peers of the windowed row on one broker; each workload's topic is filled once."""

    def __init__(self, kafka: str, folder: Path, limit_s: float) -> None:
        self._kafka, self._folder, self._limit_s = kafka, folder, limit_s
        self._filled: dict[Workload, str] = {}
        self._runs = 0

    def check(self, contender: Contender) -> Outcome:
        """Run over the small workload, in which every window's tail moves."""
        environments.install(contender.environment)
        return self.run(contender, CHECK)

    def run(self, contender: Contender, load: Workload) -> Outcome:
        """Run once over a workload; raise PeerFailed if it does not end."""
        self._runs += 1
        name = f"{contender.name}-{self._runs}"
        given = Run(
            kafka=self._kafka,
            topic=self._topic(load),
            output=f"out-{name}",
            group=name,
            folder=self._folder / name,
            load=load,
        )
        given.folder.mkdir(parents=True)
        asyncio.run(topics.create(self._kafka, [given.output]))
        log = self._folder / f"{name}.log"
        usage = run(contender.argv(given), log=log, limit_s=self._limit_s)
        output = asyncio.run(topics.read(self._kafka, given.output))
        verdict = compare(values_of(load), contender.rows(load, output, given.results))
        shutil.rmtree(given.folder)
        if verdict.compared == 0:
            raise PeerFailed("nothing was expected: the workload is empty")
        return Outcome(load.events, usage, verdict)

    def _topic(self, load: Workload) -> str:
        if load not in self._filled:
            name = f"readings-{len(self._filled)}"
            asyncio.run(topics.fill(self._kafka, name, load))
            self._filled[load] = name
        return self._filled[load]
