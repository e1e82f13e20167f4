"""How old the oldest record is that a feature log has not decided yet, by the broker's stamps."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from tidemill.errors import Misconfigured
from tidemill_common.kafka.ranges import ranging

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill_common.kafka import Broker, TopicPartition

PATIENCE_SECONDS: Final = 2.0


async def stamps_ms(
    broker: Broker, waiting: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Return when the record at each position was appended; what is not known in time is left out.

    A record that is gone has no stamp either: its topic was trimmed below its reader.
    """
    found: dict[TopicPartition, int] = {}
    if not waiting:
        return found
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS), ranging(broker) as ranges:
            for tp, position in waiting.items():
                with contextlib.suppress(Misconfigured):
                    async for records in ranges.stretch(tp, position, position + 1):
                        found[tp] = records[0].timestamp_ms
    return found
