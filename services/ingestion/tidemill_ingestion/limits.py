"""How many events one source may publish: a token bucket per source, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

MAX_SOURCES = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True)
class SourceLimit:
    """`rate` events per second and one second of burst for each source; a rate of 0 is no limit."""

    rate: float
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def wait_for(self, source: str, events: int, now: float) -> float:
        """Take `events` tokens and return 0, or take none and return the seconds to wait.

        A batch larger than the burst passes when the bucket is full, and then leaves a debt.
        """
        if self.rate <= 0:
            return 0.0
        bucket = self._buckets.pop(source, None) or _Bucket(self.rate, now)
        bucket.tokens = min(self.rate, bucket.tokens + (now - bucket.at) * self.rate)
        bucket.at = now
        self._buckets[source] = bucket
        if len(self._buckets) > MAX_SOURCES:
            self._buckets.popitem(last=False)
        needed = min(float(events), self.rate)
        if bucket.tokens < needed:
            return (needed - bucket.tokens) / self.rate
        bucket.tokens -= events
        return 0.0
