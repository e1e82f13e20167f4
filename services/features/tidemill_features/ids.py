"""Rebuild the de-duplication window of a partition from the raw topic: it is stored nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill_common.kafka import Admin, Broker, TopicPartition
from tidemill_common.kafka.ranges import offset_at, stretch
from tidemill_features.decoding import decode
from tidemill_tiles.dedupe import IdWindow

if TYPE_CHECKING:
    from tidemill_features.definitions import StreamWork

_MILLISECOND_US: Final = 1_000


async def ids_before(
    broker: Broker, admin: Admin, work: StreamWork, partition: int, position: int
) -> IdWindow:
    """Return the ids of the rows in the de-duplication window that ends before `position`."""
    ids = IdWindow(work.spec.dedupe_us)
    tp = TopicPartition(work.topic, partition)
    start = (await admin.start_offsets([tp]))[tp]
    if position <= start:
        return ids
    last = [record async for some in stretch(broker, tp, position - 1, position) for record in some]
    oldest_ms = last[0].timestamp_ms - work.spec.dedupe_us // _MILLISECOND_US
    first = await offset_at(broker, tp, oldest_ms)
    begin = position if first is None else max(first, start)
    async for records in stretch(broker, tp, begin, position):
        events = decode(work.spec, work.schema, records)
        ids.check_and_add(events.ids, events.append_us)
    return ids
