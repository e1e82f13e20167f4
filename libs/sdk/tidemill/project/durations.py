"""Durations as people write them: 10s, 5m, 1h, 7d, 1h30m."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

UNITS_US: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
SHOWN: Final = ("d", "h", "m", "s", "ms", "us")
LONGEST_US: Final = 100 * 366 * UNITS_US["d"]
PART: Final = re.compile(r"(\d{1,15})(us|ms|s|m|h|d|w)")
WHOLE: Final = re.compile(rf"(?:{PART.pattern})+")
FORM: Final = "write it as 500ms, 10s, 5m, 1h, 7d or 1h30m"


def parse_us(text: str) -> int:
    """Return microseconds; ValueError says what is wrong with the text."""
    if not WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration")
    total = sum(int(count) * UNITS_US[unit] for count, unit in PART.findall(text))
    if total > LONGEST_US:
        raise ValueError(f"{text!r} is longer than 100 years")
    return total


def to_us(span: timedelta) -> int:
    """Return the whole microseconds of a timedelta."""
    return span // timedelta(microseconds=1)


def text_of(us: int) -> str:
    """Write a duration in the shortest exact form: 1h, 90m, 7d; the text in feature names."""
    if us == 0:
        return "0s"
    for unit in SHOWN:
        if us % UNITS_US[unit] == 0:
            return f"{us // UNITS_US[unit]}{unit}"
    return f"{us}us"
