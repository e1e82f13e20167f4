"""Run one peer's process and say what it used between its first event and its last commit.

A peer prints `step begun` at its first event, `step done` when every record is applied and
committed; what it prints else is its log. Everything is ended by process id.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SAMPLE_S = 0.2
GRACE_S = 10.0
LOG_LINES = 15


class PeerFailed(Exception):
    """A peer could not be run to its end; the message is what the report says."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds on the clock, seconds of processors, and the most memory seen."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    by_process: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Meter:
    """Samples what some processes and their children use; those that ended count as last seen."""

    roots: Sequence[psutil.Process]
    peak: int = 0
    seen: dict[int, float] = field(default_factory=dict)

    def cpu_seconds(self) -> float:
        """Return the processor seconds used so far."""
        memory = 0
        for process in self._family():
            try:
                times = process.cpu_times()
                memory += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            self.seen[process.pid] = times.user + times.system
        self.peak = max(self.peak, memory)
        return sum(self.seen.values())

    def _family(self) -> list[psutil.Process]:
        found = list(self.roots)
        for root in self.roots:
            try:
                found += root.children(recursive=True)
            except psutil.NoSuchProcess:
                continue
        return found


def run(
    argv: Sequence[str], *, log: Path, limit_s: float, environment: Mapping[str, str] | None = None
) -> Usage:
    """Run a peer to its end, or for at most `limit_s`; raise PeerFailed with the log's end."""
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    meter = Meter([psutil.Process(process.pid)])
    lines: list[str] = []
    steps: dict[str, tuple[float, float]] = {}
    reader = threading.Thread(target=_read, args=(process, meter, lines, steps), daemon=True)
    reader.start()
    end = time.monotonic() + limit_s
    try:
        while process.poll() is None and time.monotonic() < end:
            meter.cpu_seconds()
            time.sleep(SAMPLE_S)
        timed_out = process.poll() is None
    finally:
        kill_tree(process.pid)
        process.wait()
        reader.join(GRACE_S)
        log.write_text("".join(lines))
    if timed_out or process.returncode or {"begun", "done"} - steps.keys():
        why = f"not done after {limit_s:.0f} s" if timed_out else f"exit {process.returncode}"
        raise PeerFailed(f"{why}: {' | '.join(one.strip() for one in lines[-LOG_LINES:])}")
    (begun, busy), (done, used) = steps["begun"], steps["done"]
    return Usage(done - begun, used - busy, meter.peak / 2**20)


def _read(
    process: subprocess.Popen[str],
    meter: Meter,
    lines: list[str],
    steps: dict[str, tuple[float, float]],
) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step "):
            steps.setdefault(line.split()[1], (time.perf_counter(), meter.cpu_seconds()))
        lines.append(line)


def kill_tree(pid: int) -> None:
    """Kill a process and its children, if they are still there."""
    try:
        root = psutil.Process(pid)
        family = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family[:-1], timeout=GRACE_S)
