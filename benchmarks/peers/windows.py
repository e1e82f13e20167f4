"""Peers on the windowed row: one JSON event a record, values compared at the end of the run."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from benchmarks.peers import topics
from benchmarks.peers.contenders import Contender, Run
from benchmarks.peers.expected import compare, values_of
from benchmarks.peers.outcome import Outcome
from benchmarks.peers.processes import run
from benchmarks.peers.workload import Workload


class Peers:
    """Runs peers of the windowed row on one broker."""

    def __init__(self, kafka: str, filled: topics.Topics, folder: Path, limit_s: float) -> None:
        self._kafka, self._filled, self._folder, self._limit_s = kafka, filled, folder, limit_s
        self._runs = 0

    def run(self, contender: Contender, load: Workload) -> Outcome:
        """Run once over a workload; raise PeerFailed if it does not end."""
        self._runs += 1
        name = f"{contender.name}-{self._runs}"
        given = Run(
            kafka=self._kafka,
            topic=self._filled.of(load),
            output=f"out-{name}",
            group=name,
            folder=self._folder / name,
            load=load,
        )
        given.folder.mkdir(parents=True)
        asyncio.run(topics.create(self._kafka, given.output))
        log = self._folder / f"{name}.log"
        usage = run(contender.argv(given), log=log, limit_s=self._limit_s)
        output = asyncio.run(topics.read(self._kafka, given.output))
        verdict = compare(values_of(load), contender.rows(load, output, given.results))
        shutil.rmtree(given.folder)
        return Outcome(load.events, usage, verdict)
