"""Processes by number *and* start time: a number alone may belong to a stranger by now."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

SAME_START_S = 0.5  # the kernel counts in ticks, psutil adds the boot time
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Identity:
    """One process that we started; it leads its own process group."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Identity:
        """Identify a process that runs now."""
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def if_there(cls, pid: int) -> Identity | None:
        """Identify a process that may have ended by now; None if it has."""
        try:
            return cls.of(pid)
        except psutil.NoSuchProcess:
            return None

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < SAME_START_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a process group that we started; one that is gone is no error."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def end_leftovers(leftovers: Iterable[Identity], grace_s: float) -> int:
    """End processes of a stack whose supervisor is gone; say how many there were."""
    alive = [one for one in leftovers if one.is_alive()]
    for one in alive:
        signal_group(one.pid, signal.SIGCONT)
        signal_group(one.pid, signal.SIGTERM)
    wait_until_gone(alive, grace_s)
    for one in alive:
        if one.is_alive():
            signal_group(one.pid, signal.SIGKILL)
    wait_until_gone(alive, grace_s)
    return len(alive)


def wait_until_gone(processes: Iterable[Identity], limit_s: float) -> bool:
    """Wait until all have ended; False if some still run after `limit_s`."""
    waited_for = list(processes)
    end = time.monotonic() + limit_s
    while any(one.is_alive() for one in waited_for):
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True
