"""A wrong clock is wrong in every way in which a service reads it, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

SAID = """
import time
from tests.chaos.skewed import skew
from tidemill_common.clock import SystemClock
skew({ahead}, {drift})
time.sleep(0.5)
clock = SystemClock()
print(time.time(), time.time_ns() / 1e9, clock.now_us() / 1e6, clock.now().timestamp(), clock.monotonic())
"""
SLOW_S = 60.0
"""A starved machine may take so long from the print to the comparison."""


@pytest.mark.parametrize("ahead", [3_600.0, -3_600.0])
def test_every_wall_clock_is_ahead_and_the_monotonic_one_is_not(ahead: float) -> None:
    *walls, monotonic = said(ahead, 0.0)
    for wall in walls:
        assert -SLOW_S < wall - ahead - time.time() < 1.0
    assert abs(monotonic - time.monotonic()) < SLOW_S


def test_a_clock_that_drifts_gains_more_in_each_second() -> None:
    wall, *_ = said(0.0, 10_000.0)
    assert wall - time.time() > 0.5 * 10_000.0 - SLOW_S


def said(ahead: float, drift: float) -> list[float]:
    code = SAID.format(ahead=ahead, drift=drift)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root
    )
    return [float(one) for one in done.stdout.split()]
