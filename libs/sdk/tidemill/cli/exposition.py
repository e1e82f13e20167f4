"""What processes say of themselves at /metrics, in Prometheus' text form: read twice, compared."""

from __future__ import annotations

import http.client
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

TIMEOUT_SECONDS: Final = 2.0
MAX_BYTES: Final = 8 << 20
SAMPLE: Final = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Samples:
    """Every sample of all processes that answered at a moment; equal ones are added up."""

    at: float
    values: Mapping[str, Mapping[Labels, float]] = field(default_factory=dict)

    def of(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """Return the samples of a metric that have these labels, with all their labels."""
        found = ((dict(one), value) for one, value in self.values.get(name, {}).items())
        return [(known, value) for known, value in found if labels.items() <= known.items()]

    def total(self, name: str, **labels: str) -> float | None:
        """Return the sum of a metric; None if nobody has it."""
        found = [value for _, value in self.of(name, **labels)]
        return sum(found) if found else None


def read(text: str) -> Iterator[tuple[str, Labels, float]]:
    """Read the samples of one answer; lines of another form are passed over."""
    for line in text.splitlines():
        match = SAMPLE.match(line)
        if match:
            name, labels, value = match.groups()
            yield name, tuple(sorted(LABEL.findall(labels or ""))), float(value)


def added(at: float, texts: Iterable[str]) -> Samples:
    """Add the answers of several processes up."""
    values: dict[str, dict[Labels, float]] = {}
    for text in texts:
        for name, labels, value in read(text):
            known = values.setdefault(name, {})
            known[labels] = known.get(labels, 0.0) + value
    return Samples(at, values)


def fetch(addresses: Iterable[str]) -> Samples:
    """Ask every process; one that does not answer is left out."""
    return added(time.monotonic(), filter(None, map(_text, addresses)))


def _text(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read(MAX_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def rate(before: Samples, after: Samples, name: str, **labels: str) -> float | None:
    """Return how much a counter grows a second; None if it is not there or began anew."""
    last, seconds = after.total(name, **labels), after.at - before.at
    if last is None or seconds <= 0:
        return None
    grown = last - (before.total(name, **labels) or 0.0)
    return grown / seconds if grown >= 0 else None


def quantile(
    before: Samples, after: Samples, name: str, share: float, **labels: str
) -> float | None:
    """Return a quantile of what a histogram took between two moments, else of all it ever took.

    Within a bucket values are taken as spread evenly; beyond the last bound it is that bound.
    """
    counts = _buckets(after, name, labels)
    recent = {bound: count - _buckets(before, name, labels).get(bound, 0.0)
              for bound, count in counts.items()}  # fmt: skip
    if recent.get(math.inf, 0.0) > 0 and min(recent.values()) >= 0:
        counts = recent
    total = counts.get(math.inf, 0.0)
    if not total:
        return None
    wanted, low, below = share * total, 0.0, 0.0
    for bound, count in sorted(counts.items()):
        if count >= wanted and count > below:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low


def _buckets(samples: Samples, name: str, labels: Mapping[str, str]) -> dict[float, float]:
    counts: dict[float, float] = {}
    for known, value in samples.of(f"{name}_bucket", **labels):
        bound = float(known["le"])
        counts[bound] = counts.get(bound, 0.0) + value
    return counts
