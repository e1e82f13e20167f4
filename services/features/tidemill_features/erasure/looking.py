"""Look through topics for erased entities, and let go of what holds them when that is safe.

Kafka removes records from the front of a partition only. So what is in front of an entity's last
record goes with it, and a topic is let go only where nobody needs that any more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidemill.errors import Misconfigured, Unavailable
from tidemill_common.kafka import TopicPartition
from tidemill_common.kafka.ranges import stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tidemill_common.erasures import Erased
    from tidemill_common.kafka import Admin, Broker, Record
    from tidemill_features.erasure.sightings import Sight


@dataclass(frozen=True, slots=True)
class Last:
    """The last record of a partition that holds an entity, and when it was appended."""

    offset: int
    appended_ms: int


@dataclass(slots=True)
class _Seen:
    """Where one partition holds one entity: offsets, ascending, and the last record."""

    offsets: list[int] = field(default_factory=list)
    appended_ms: int = 0

    def note(self, record: Record) -> None:
        if not self.offsets or self.offsets[-1] < record.offset:
            self.offsets.append(record.offset)
            self.appended_ms = max(self.appended_ms, record.timestamp_ms)


class Look:
    """What a topic holds of some entities; a further look goes on where the last one ended.

    What a transaction that failed has left counts: readers that take uncommitted records get it.
    """

    def __init__(
        self, broker: Broker, admin: Admin, topic: str, sight: Sight, erased: Erased
    ) -> None:
        """Look for the entities of `erased`, with this eye for the topic's records."""
        self.topic = topic
        self._broker, self._admin, self._sight, self._erased = broker, admin, sight, erased
        self._at: dict[TopicPartition, int] = {}
        self._starts: dict[TopicPartition, int] = {}
        self._seen: dict[tuple[str, TopicPartition], _Seen] = defaultdict(_Seen)

    async def go_on(self) -> None:
        """Look through what was not looked at yet; a topic that is not there holds nothing."""
        count = (await self._admin.topics()).get(self.topic, 0)
        tps = [TopicPartition(self.topic, number) for number in range(count)]
        self._starts = await self._admin.start_offsets(tps)
        for tp, end in (await self._admin.stable_ends(tps)).items():
            begin = max(self._at.get(tp, 0), self._starts[tp])
            try:
                async for records in stretch(
                    self._broker, tp, begin, end, isolation="read_uncommitted"
                ):
                    for record in records:
                        self._note(tp, record)
            except Misconfigured as error:
                raise Unavailable(f"{tp.topic} was trimmed while it was looked at") from error
            self._at[tp] = max(begin, end)

    def _note(self, tp: TopicPartition, record: Record) -> None:
        if not record.value:  # an owner's fence, or a deleted key
            return
        for one in self._sight(self._erased, record.value):
            self._seen[one.erasure_id, tp].note(record)

    def found(self, erasure_id: str) -> int:
        """Return how many records that a reader can still get hold the entity."""
        return sum(
            len(seen.offsets) - bisect_left(seen.offsets, self._starts.get(tp, 0))
            for tp, seen in self._of(erasure_id)
        )

    def last(self, erasure_id: str) -> Mapping[TopicPartition, Last]:
        """Return the entity's last record in every partition that still holds it."""
        return {
            tp: Last(seen.offsets[-1], seen.appended_ms)
            for tp, seen in self._of(erasure_id)
            if seen.offsets[-1] >= self._starts.get(tp, 0)
        }

    def _of(self, erasure_id: str) -> Iterator[tuple[TopicPartition, _Seen]]:
        return ((tp, seen) for (name, tp), seen in self._seen.items() if name == erasure_id)


@dataclass(frozen=True, slots=True)
class Trim:
    """What may be let go of a topic for one entity, or why not, and until when it waits."""

    before: Mapping[TopicPartition, int]
    waiting: str = ""
    due_ms: int | None = None


def decide(
    last: Mapping[TopicPartition, Last],
    positions: Mapping[str, Mapping[TopicPartition, int]],
    *,
    now_ms: int,
    keep_ms: int,
) -> Trim:
    """Decide up to where each partition may be trimmed.

    Its records up to the entity's last one must be older than `keep_ms`, and every reader that has
    a position must have passed them.
    """
    before: dict[TopicPartition, int] = {}
    waiting: list[str] = []
    due_ms = None
    for tp, one in sorted(last.items()):
        behind = [
            name for name, read in positions.items() if read.get(tp, one.offset + 1) <= one.offset
        ]
        young = one.appended_ms + keep_ms > now_ms
        if young:
            due_ms = max(due_ms or 0, one.appended_ms + keep_ms)
        if behind:
            waiting.append(f"{', '.join(sorted(behind))} has not read {tp.topic}/{tp.partition}")
        elif young:
            waiting.append(
                f"records of {tp.topic}/{tp.partition} are kept until they are old enough"
            )
        else:
            before[tp] = one.offset + 1
    return Trim(before, "; ".join(waiting), due_ms)
