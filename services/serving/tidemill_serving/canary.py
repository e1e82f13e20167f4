"""Count a canary from the prediction log: a pure fold over its records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tidemill_common.prediction_rows import OK
from tidemill_serving.rollout import Counts
from tidemill_serving.routing import Variant

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Canary:
    """One canary: which answers count. Answers logged before the table changed do not."""

    model: str
    table_version: int
    champion: int
    challenger: int
    since_us: int
    slo_us: int


@dataclass(slots=True)
class Counted:
    """The counts so far, and the next offset of each partition: always of the same records."""

    champion: Counts = field(default_factory=Counts)
    challenger: Counts = field(default_factory=Counts)
    positions: dict[int, int] = field(default_factory=dict)

    def take(self, canary: Canary, partition: int, offset: int, batch: pa.RecordBatch) -> None:
        """Count one record; one that was counted already changes nothing."""
        if offset < self.positions.get(partition, 0):
            return
        self.champion += count(canary, Variant.CHAMPION, canary.champion, batch)
        self.challenger += count(canary, Variant.CHALLENGER, canary.challenger, batch)
        self.positions[partition] = offset + 1

    def skip(self, partition: int, offset: int) -> None:
        """Step over a record that cannot be read."""
        self.positions[partition] = max(self.positions.get(partition, 0), offset + 1)

    def to_json(self) -> tuple[dict[str, list[int]], dict[str, int]]:
        """Return counts and positions as JSON values."""
        counts = {
            name: [one.requests, one.errors, one.slow]
            for name, one in (("champion", self.champion), ("challenger", self.challenger))
        }
        return counts, {str(partition): offset for partition, offset in self.positions.items()}

    @classmethod
    def from_json(cls, counts: Mapping[str, Any], positions: Mapping[str, Any]) -> Counted:
        """Read what `to_json` gave."""
        return cls(
            Counts(*(int(n) for n in counts["champion"])),
            Counts(*(int(n) for n in counts["challenger"])),
            {int(partition): int(offset) for partition, offset in positions.items()},
        )


def count(canary: Canary, variant: Variant, version: int, batch: pa.RecordBatch) -> Counts:
    """Count the answers of one version in a batch of the log."""
    since = pa.scalar(canary.since_us, pa.int64())
    logged = pc.greater_equal(batch["_logged"].cast(pa.int64()), since)
    mine = pc.and_(
        pc.and_(pc.equal(batch["_variant"], str(variant)), pc.equal(batch["_version"], version)),
        logged,
    )
    rows = batch.filter(mine)
    good = pc.equal(rows["_status"], OK)
    slow = pc.and_(good, pc.greater(rows["_latency_us"], canary.slo_us))
    answered = rows.num_rows
    return Counts(answered, answered - _true(good), _true(slow))


def _true(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)
