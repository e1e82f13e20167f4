"""Promises of how many workers are said to be alive."""

from __future__ import annotations

from tidemill_common.testing.clock import FrozenClock
from tidemill_training.workers import Workers


def test_a_worker_is_alive_while_it_asks_or_works_and_counts_once(clock: FrozenClock) -> None:
    workers = Workers(clock, silent_s=30)
    workers.asked("a")
    workers.asked("b", run_id="r1")
    workers.beat("r1")
    assert workers.alive() == 2
    clock.advance(25)
    workers.beat("r1")
    clock.advance(25)
    assert workers.alive() == 1
    clock.advance(31)
    assert workers.alive() == 0


def test_a_run_of_another_controller_counts_as_a_worker(clock: FrozenClock) -> None:
    workers = Workers(clock, silent_s=30)
    workers.beat("r9")
    assert workers.alive() == 1
