"""Rebuild the de-duplication window of a partition from the raw topic: it is stored nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill_common.kafka import TopicPartition
from tidemill_common.kafka.ranges import Ranges, ranging
from tidemill_features.decoding import decode
from tidemill_tiles.dedupe import IdWindow

if TYPE_CHECKING:
    from tidemill_common.kafka import Broker
    from tidemill_features.definitions import StreamWork

_MILLISECOND_US: Final = 1_000


async def ids_before(broker: Broker, work: StreamWork, partition: int, position: int) -> IdWindow:
    """Return the ids of the rows in the de-duplication window that ends before `position`."""
    ids = IdWindow(work.spec.dedupe_us)
    if position <= 0:
        return ids
    tp = TopicPartition(work.topic, partition)
    async with ranging(broker) as ranges:
        begin = await _begin(ranges, tp, position, work.spec.dedupe_us)
        async for records in ranges.stretch(tp, begin, position):
            events = decode(work.spec, work.schema, records)
            ids.check_and_add(events.ids, events.append_us)
    return ids


async def _begin(ranges: Ranges, tp: TopicPartition, position: int, dedupe_us: int) -> int:
    """Return the first offset whose rows can still make a later row a duplicate."""
    start = await ranges.start(tp)
    if position <= start:
        return position
    last = [one async for some in ranges.stretch(tp, position - 1, position) for one in some]
    oldest_ms = last[0].timestamp_ms - dedupe_us // _MILLISECOND_US
    first = await ranges.offset_at(tp, oldest_ms)
    return position if first is None else max(first, start)
