"""Feature logs of versions that nothing computes any more: they go as a whole.

Nobody renews them, so an entity would stay in them. Should their version come back, it is built
from the archive and the raw topic like any new one.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill_common.kafka import TopicPartition
from tidemill_common.kafka.ranges import ranging
from tidemill_features.erasure.sightings import logs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidemill_common.kafka import Admin, Broker
    from tidemill_features.definitions import Work
    from tidemill_features.erasure.account import Account

logger = logging.getLogger(__name__)

SILENT_MS: Final = 600_000
"""An owner writes every second: a log that is silent for so long has none."""
PREFIX: Final = "features."
KIND: Final = "retired_log"


@dataclass(frozen=True, slots=True)
class Retired:
    """Finds and removes them."""

    broker: Broker
    admin: Admin

    async def let_go(self, work: Work, accounts: Iterable[Account]) -> None:
        """Remove retired logs that are silent; one that is not yet is waited for."""
        known = logs(work)
        found = {
            name: count
            for name, count in (await self.admin.topics()).items()
            if name.startswith(PREFIX) and name not in known
        }
        for account in accounts:
            for kind, name in list(account.places):
                if kind == KIND and name not in found:
                    account.saw(KIND, name, 0)
        for name, partitions in sorted(found.items()):
            if await self._is_silent(name, partitions):
                await self.admin.delete_topics([name])
                logger.info("erasure.retired_log_removed", extra={"topic": name})
                gone = True
            else:
                gone = False
            for account in accounts:
                waiting = "a version that is being replaced is still written"
                account.saw(KIND, name, 0 if gone else 1, waiting=waiting)

    async def _is_silent(self, topic: str, partitions: int) -> bool:
        since_ms = time.time_ns() // 1_000_000 - SILENT_MS
        async with ranging(self.broker) as ranges:
            return not [
                number
                for number in range(partitions)
                if await ranges.offset_at(TopicPartition(topic, number), since_ms) is not None
            ]
