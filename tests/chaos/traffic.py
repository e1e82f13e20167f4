"""The events of a run, made from its seed: hot and cold entities, and everything that goes wrong.

Event times lie a month back, as in a replay, so that whatever uses the wall clock in place of the
stream's own time shows.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from tidemill.definitions.v1 import project_pb2
from tidemill.project import loads, normalise

SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US
LATENESS_US: Final = 120 * SECOND_US
DEDUPE_US: Final = 600 * SECOND_US
REPLAYED_US: Final = 30 * DAY_US
HOT, COLD, SHOPS = 64, 5_000, 40
PARTITIONS: Final = 4
CANARY: Final = "canary-"
"""Begins every personal value: it may be in no log, no header and no error."""

_AGGREGATIONS: Final = """
      - {{function: count, windows: [{{length: 1m, hop: 1s}}, {{length: 1h, hop: 10s}}]}}
      - {{function: sum, field: amount, windows: [{{length: 1m, hop: 1s}}, {{length: 1h, hop: 10s}}]}}
      - {{function: max, field: amount, windows: [{{length: 1m, hop: 1s}}, {{length: 1h, hop: 10s}}]}}
"""
PROJECT: Final = f"""
project: chaos
streams:
  {{stream}}:
    key: [user]
    replay: true
    lateness: 2m
    dedupe: 10m
    partitions: 4
    fields:
      user: {{{{type: string, required: true}}}}
      shop: {{{{type: string}}}}
      amount: {{{{type: float64, resolution: 0.01, maximum: 1000000}}}}
      email: {{{{type: string}}}}
views:
  {{stream}}_users:
    stream: {{stream}}
    entity: [user]
    aggregations:{_AGGREGATIONS}
  {{stream}}_shops:
    stream: {{stream}}
    entity: [shop]
    aggregations:{_AGGREGATIONS}
"""
MORE: Final = "note"
"""A field that the stream gets while it runs."""


def widened(stream: str) -> project_pb2.Project:
    """Return the project with a field more."""
    email = "      email: {type: string}\n"
    text = PROJECT.format(stream=stream).replace(email, f"{email}      {MORE}: {{type: string}}\n")
    return normalise(loads(text).project)


WINDOWS: Final = (
    (60 * SECOND_US, SECOND_US, "1m"),
    (3_600 * SECOND_US, 10 * SECOND_US, "1h"),
)
"""Length, hop and name, in the order of the project."""


class Kind(Enum):
    """What is special about a row."""

    PLAIN = "plain"
    DUPLICATE = "duplicate"
    SHUFFLED = "shuffled"
    LATE = "late"
    REFUSED = "refused"  # by the edge: a value out of bounds, or a time in the future
    DEAD = "dead"  # past the edge, straight into the topic: a number that no feature can hold


@dataclass(frozen=True, slots=True)
class Row:
    """One event as its publisher sees it."""

    id: str
    user: str
    shop: str | None
    amount: float
    email: str
    time_us: int
    kind: Kind = Kind.PLAIN


class Traffic:
    """Rows from a seed; `now_us` is the stream's time and moves with the run."""

    def __init__(self, seed: int, base_us: int, name: str = "e") -> None:
        self._random = random.Random(seed)
        self._base_us = base_us
        self._name = name
        self._numbers = 0
        self._sent: deque[Row] = deque(maxlen=5_000)

    def batch(self, rows: int, elapsed_us: int) -> list[Row]:
        """Return the next rows, sent so long after the run's begin."""
        return [self._row(self._base_us + elapsed_us) for _ in range(rows)]

    def dead(self, elapsed_us: int) -> Row:
        """Return a row that only a writer who goes around the edge can bring in."""
        row = self._fresh(self._base_us + elapsed_us)
        amount = self._random.choice([float("nan"), float("inf"), -1e15, 1e300])
        return replace(row, amount=amount, kind=Kind.DEAD)

    def good(self, elapsed_us: int) -> Row:
        """Return a row with nothing special about it."""
        return self._fresh(self._base_us + elapsed_us)

    def garbage(self) -> bytes:
        """Return the value of a record that is none: from nothing at all to a few hundred bytes."""
        return self._random.randbytes(self._random.choice([0, 1, 8, 64, 400]))

    def _row(self, now_us: int) -> Row:
        draw = self._random.random()
        if draw < 0.10 and self._sent:
            return replace(self._random.choice(self._sent), kind=Kind.DUPLICATE)
        row = self._fresh(now_us)
        if draw < 0.15:
            back = self._random.randrange(30 * SECOND_US)
            row = replace(row, time_us=row.time_us - back, kind=Kind.SHUFFLED)
        elif draw < 0.16:
            back = LATENESS_US + self._random.randrange(40, 600) * SECOND_US
            row = replace(row, time_us=row.time_us - back, kind=Kind.LATE)
        elif draw < 0.165:
            row = self._refused(row)
        if row.kind is not Kind.REFUSED:
            self._sent.append(row)
        return row

    def _refused(self, row: Row) -> Row:
        if self._random.random() < 0.5:
            return replace(row, amount=2e6, kind=Kind.REFUSED)
        return replace(row, time_us=row.time_us + 10 * 365 * DAY_US, kind=Kind.REFUSED)

    def _fresh(self, now_us: int) -> Row:
        self._numbers += 1
        hot = self._random.random() < 0.7
        user = self._random.randrange(HOT) if hot else HOT + self._random.randrange(COLD)
        lonely = self._random.random() < 0.02
        return Row(
            id=f"{self._name}{self._numbers}",
            user=f"u{user}",
            shop=None if lonely else f"s{self._random.randrange(SHOPS)}",
            amount=self._random.randrange(-10_000, 100_000) / 100,
            email=f"{CANARY}{self._numbers}@example.org",
            time_us=now_us,
        )
