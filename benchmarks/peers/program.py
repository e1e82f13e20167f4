"""What the Python peers' programs share; each runs in its own environment, without the project."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

HOP_S = 300
WINDOWS_MINUTES = (60, 360, 1440)
EMPTY = (0, 0.0, float("inf"), float("-inf"), 0.0)
Stats = tuple[int, float, float, float, float]


def options() -> dict[str, str]:
    """Return the arguments, which come as `--name value` pairs."""
    return {
        name.removeprefix("--"): value
        for name, value in zip(sys.argv[1::2], sys.argv[2::2], strict=True)
    }


def say(step: str) -> None:
    """Print the line that the harness waits for."""
    os.write(1, f"step {step}\n".encode())  # some libraries put a logger in the place of stdout


def add(stats: Sequence[float], value: float) -> Stats:
    """Count one value: (count, sum, min, max, last)."""
    count, total, low, high, _ = stats
    return (int(count) + 1, total + value, min(low, value), max(high, value), value)


def six(stats: Sequence[float]) -> list[float]:
    """Return count, sum, mean, min, max and last."""
    count, total, low, high, last = stats
    return [count, total, total / count, low, high, last]
