"""Look in events and dead letters for what of a source is there already."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from tidemill.errors import Misconfigured
from tidemill_common import topics
from tidemill_common.kafka import Admin, Broker, TopicPartition
from tidemill_common.kafka.ranges import Ranges, ranging
from tidemill_ingestion.foreign.progress import Progress, bridged_to, dead_to, places
from tidemill_ingestion.foreign.source import ForeignSource

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KafkaTargets:
    """Reads the targets from where the group's notes say, else from their start."""

    broker: Broker
    admin: Admin
    group: str

    async def progress(
        self, source: ForeignSource, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Progress]:
        """Return the progress of every partition; Misconfigured if its topic was made again.

        A partition whose records were all committed has nothing to look for: whoever appended
        more would have had to read records that did not exist.
        """
        schema = source.schema
        events = [TopicPartition(schema.topic, each) for each in range(schema.partitions)]
        targets = [*events, TopicPartition(topics.dead_letters(schema.topic).name, 0)]
        have = await self.admin.end_offsets(partitions)
        committed = await self.admin.committed(self.group)
        notes = await self.admin.notes(self.group)
        ends = await self.admin.end_offsets(targets)
        found: dict[TopicPartition, Progress] = {}
        open_: dict[TopicPartition, Progress] = {}
        for tp in partitions:
            done = committed.get(tp, 0)
            if done < have[tp]:
                begin = places(notes.get(tp, ""), len(targets))
                open_[tp] = found[tp] = Progress.fresh(begin, done)
            else:
                found[tp] = Progress.fresh([ends[target] for target in targets], done)
        if open_:
            async with ranging(self.broker) as ranges:
                for number, target in enumerate(targets):
                    await _look(ranges, number, target, ends[target], open_)
        for tp, progress in open_.items():
            _check(tp, progress, have[tp])
        logger.info(
            "bridge.looked",
            extra={
                "topic": source.topic,
                "partitions": {
                    tp.partition: [committed.get(tp), int(progress.done.max())]
                    for tp, progress in found.items()
                },
            },
        )
        return found


async def _look(
    ranges: Ranges,
    number: int,
    target: TopicPartition,
    end: int,
    open_: Mapping[TopicPartition, Progress],
) -> None:
    """Go through one target for all partitions at once."""
    wanted = min(int(progress.looked[number]) for progress in open_.values())
    begin = max(await ranges.start(target), wanted if wanted <= end else 0)
    is_dead = number == len(next(iter(open_.values())).done) - 1
    async for records in ranges.stretch(target, begin, end):
        for record in records:
            for tp, progress in open_.items():
                reached = (dead_to if is_dead else bridged_to)(record.headers, *tp)
                progress.done[number] = max(progress.done[number], reached)


def _check(tp: TopicPartition, progress: Progress, have: int) -> None:
    """Refuse a topic that has fewer records than were bridged from it."""
    newest = int(np.max(progress.done))
    if newest > have:
        raise Misconfigured(
            f"{tp.topic}/{tp.partition} ends at {have}, but was bridged up to {newest}",
            hint="the topic was made again: its offsets mean other records; use a new stream",
        )
