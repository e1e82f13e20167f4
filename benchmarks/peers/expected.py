"""What every value must be, by NumPy from the columns alone, and how results differ from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.peers.workload import MINUTE_MS, SENTINEL, WINDOWS_MINUTES, Workload

AGGREGATIONS = ("count", "sum", "mean", "min", "max", "last")
TOLERANCE = 1e-9
SHOWN = 5
Values = tuple[float, ...]
Row = tuple[str, int, Values]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a peer's values compare with the expected ones."""

    compared: int
    missing: int
    unexpected: int
    different: int
    examples: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether every value is there and right."""
        return not (self.missing or self.unexpected or self.different)


def values_of(load: Workload) -> dict[tuple[str, int], Values]:
    """Give the six values per (key, window in minutes) as of the end of the run."""
    found: dict[tuple[str, int], Values] = {}
    for minutes in WINDOWS_MINUTES:
        inside = load.at_ms >= load.end_ms - minutes * MINUTE_MS
        key, cents = load.key[inside], load.cents[inside]
        order = np.argsort(key, kind="stable")
        key, cents = key[order], cents[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        count = np.diff(np.append(first, len(key)))
        total = np.add.reduceat(cents, first)
        columns = (
            count,
            total / 100,
            total / 100 / count,
            np.minimum.reduceat(cents, first) / 100,
            np.maximum.reduceat(cents, first) / 100,
            cents[first + count - 1] / 100,
        )
        rows = zip(key[first].tolist(), *(column.tolist() for column in columns), strict=True)
        found |= {(f"k{number}", minutes): tuple(values) for number, *values in rows}
    return found


def compare(expected: dict[tuple[str, int], Values], rows: Iterable[Row]) -> Verdict:
    """Compare rows with the expected values; a key's window that is named twice counts last."""
    got = {(key, minutes): values for key, minutes, values in rows if SENTINEL not in key}
    missing = expected.keys() - got.keys()
    unexpected = got.keys() - expected.keys()
    examples = [f"{key} {minutes} min is missing" for key, minutes in sorted(missing)[:SHOWN]]
    examples += [f"{key} {minutes} min is too much" for key, minutes in sorted(unexpected)[:SHOWN]]
    different = 0
    for place in expected.keys() & got.keys():
        wrong = list(_differences(expected[place], got[place]))
        different += bool(wrong)
        if wrong and len(examples) < SHOWN:
            examples.append(f"{place[0]} {place[1]} min: {', '.join(wrong)}")
    return Verdict(
        compared=len(expected),
        missing=len(missing),
        unexpected=len(unexpected),
        different=different,
        examples=tuple(examples[:SHOWN]),
    )


def _differences(expected: Values, got: Values) -> Iterator[str]:
    for name, right, seen in zip(AGGREGATIONS, expected, got, strict=True):
        if not abs(seen - right) <= TOLERANCE * max(1.0, abs(right)):
            yield f"{name} is {seen}, not {right}"


def merged(panes: Iterable[tuple[str, int, Values]], end_ms: int, hop_ms: int) -> Iterator[Row]:
    """Merge panes (key, start in ms, their six values) into the windows that end at `end_ms`."""
    by_key: dict[str, dict[int, Values]] = {}
    for key, start, values in panes:
        by_key.setdefault(key, {})[start] = values
    for key, mine in by_key.items():
        for minutes in WINDOWS_MINUTES:
            oldest = end_ms - minutes * MINUTE_MS
            inside = [mine[start] for start in sorted(mine) if oldest <= start <= end_ms - hop_ms]
            if inside:
                count = sum(one[0] for one in inside)
                total = sum(one[1] for one in inside)
                low, high = min(one[3] for one in inside), max(one[4] for one in inside)
                yield key, minutes, (count, total, total / count, low, high, inside[-1][5])
