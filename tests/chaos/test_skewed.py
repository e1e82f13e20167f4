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
    return run(SAID.format(ahead=ahead, drift=drift))


def run(code: str) -> list[float]:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root
    )
    return [float(one) for one in done.stdout.split()]


CALLED = """
import asyncio
import grpc
from tests.chaos.skewed import skew
skew({ahead}, 0.0)

async def answer(request, context):
    return str(context.time_remaining()).encode()

async def call():
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s", {{"m": method}}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{{port}}") as channel:
        print((await channel.unary_unary("/s/m")(b"", timeout=50.0)).decode())
    await server.stop(0)

asyncio.run(call())
"""


@pytest.mark.parametrize("ahead", [7_200.0, -7_200.0])
def test_a_deadline_of_a_call_is_what_it_is_with_a_right_clock(ahead: float) -> None:
    (seconds,) = run(CALLED.format(ahead=ahead))
    assert 0.0 < seconds < 60.0  # 50 as sent, and what a machine's clocks differ by
